"""What can go wrong with the embedded model, named for the state and for who must act.

EmbeddedError
├── ModelFolderError          the folder cannot be used: which file, and what is wrong with it   (the operator)
└── RequestError              the request cannot be served as it is                              (the caller)
    ├── PromptTooLong         more tokens than the context holds: `tokens`, `limit`
    ├── UnsupportedMessage    a role or a kind of content that the model does not read: `reason`
    └── InvalidSchema         a JSON Schema, tool or label that cannot be followed: `reason`
"""

from llm.errors import ModelError


class EmbeddedError(ModelError):
    """The root of this tree."""


class ModelFolderError(EmbeddedError):
    """The folder of the model cannot be used; the message names the file and what is wrong with it."""


class RequestError(EmbeddedError):
    """The caller's request cannot be served as it is."""


class PromptTooLong(RequestError):
    """The prompt leaves no room for an answer. `tokens` is what was counted before giving up, at least `limit`."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"the prompt has {tokens} tokens or more; the context holds {limit}, answer included")
        self.tokens = tokens
        self.limit = limit


class UnsupportedMessage(RequestError):
    """A message has a role or a content that this model does not read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidSchema(RequestError):
    """A JSON Schema, a tool or a label cannot be followed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
