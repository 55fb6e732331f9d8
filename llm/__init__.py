"""Models and the wire: what a chat is, what it costs, and who answers it."""

from llm.chat import TEXT, ChatChunk, ChatCompletion, ChatRequest, Message, ToolCallDelta, collect, text_of
from llm.embeddings import EmbeddingProvider, EmbeddingRequest, Embeddings
from llm.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    ModelError,
    ModelNotLoaded,
    QuestionRefused,
    ScriptError,
    UnknownModel,
    UpstreamAnswerInvalid,
    UpstreamAnswerTooLong,
    UpstreamBrokeOff,
    UpstreamConnectTimeout,
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from llm.model import LLModel, Model
from llm.price import Price
from llm.provider import ModelProvider
from llm.tokens import CharacterCounter, TiktokenCounter, TokenCounter
from llm.trail import FailedCall, Trail
from llm.usage import Usage

__all__ = [
    "TEXT",
    "CharacterCounter",
    "ChatChunk",
    "ChatCompletion",
    "ChatRequest",
    "ContextLengthExceeded",
    "EmbeddingProvider",
    "EmbeddingRequest",
    "Embeddings",
    "FailedCall",
    "InvalidRequest",
    "LLModel",
    "Message",
    "Model",
    "ModelError",
    "ModelNotLoaded",
    "ModelProvider",
    "Price",
    "QuestionRefused",
    "ScriptError",
    "TiktokenCounter",
    "TokenCounter",
    "ToolCallDelta",
    "Trail",
    "UnknownModel",
    "UpstreamAnswerInvalid",
    "UpstreamAnswerTooLong",
    "UpstreamBrokeOff",
    "UpstreamConnectTimeout",
    "UpstreamCredentialsRefused",
    "UpstreamError",
    "UpstreamGarbled",
    "UpstreamQuotaExceeded",
    "UpstreamRateLimited",
    "UpstreamRequestRefused",
    "UpstreamTimeout",
    "UpstreamUnavailable",
    "UpstreamUnreachable",
    "Usage",
    "collect",
    "text_of",
]
