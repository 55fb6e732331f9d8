"""The embedded demonstration model `penstock-demo`: NumPy and llguidance, no download, no GPU, no torch.

engine = Engine.load()
for piece in engine.generate([{"role": "user", "content": "Hello!"}]): ...
"""

from llm.embedded.constraint import Constraint, Constraints, ToolMode
from llm.embedded.engine import FOLDER, Engine
from llm.embedded.errors import (
    EmbeddedError,
    InvalidSchema,
    ModelFolderError,
    PromptTooLong,
    RequestError,
    UnsupportedMessage,
)
from llm.embedded.generation import DEFAULT_MAX_TOKENS, FinishReason, Generation, GenerationOptions
from llm.embedded.speech import CallArguments, CallStart, Piece, TextPiece

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "FOLDER",
    "CallArguments",
    "CallStart",
    "Constraint",
    "Constraints",
    "EmbeddedError",
    "Engine",
    "FinishReason",
    "Generation",
    "GenerationOptions",
    "InvalidSchema",
    "ModelFolderError",
    "Piece",
    "PromptTooLong",
    "RequestError",
    "TextPiece",
    "ToolMode",
    "UnsupportedMessage",
]
