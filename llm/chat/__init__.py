"""The chat wire: a request, the chunks of its answer, and the answer put together again."""

from llm.chat.chunk import ChatChunk, ToolCallDelta
from llm.chat.completion import ChatCompletion, collect
from llm.chat.request import TEXT, ChatRequest, Message, text_of
from llm.chat.tool_choice import ToolChoice

__all__ = [
    "TEXT",
    "ChatChunk",
    "ChatCompletion",
    "ChatRequest",
    "Message",
    "ToolCallDelta",
    "ToolChoice",
    "collect",
    "text_of",
]
