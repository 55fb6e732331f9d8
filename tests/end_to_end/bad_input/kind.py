"""A kind of bad input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_BODY = 2**18
"""How long bodies may be at the gateway that is asked."""
INVALID, TYPE, MISSING = "invalid_value", "invalid_type", "missing_required_parameter"
UNSUPPORTED, VALUE, SCHEMA = "unsupported_parameter", "unsupported_value", "invalid_json_schema"


@dataclass(frozen=True)
class Bad:
    """A request that is wrong. ``param`` and ``code`` are those of OpenAI's bodies; ``says`` stands in the message."""

    kind: str
    path: str
    body: Any = None
    status: int = 400
    param: str | None = None
    code: str | None = None
    says: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes | None:
        """What is sent."""
        return self.body if isinstance(self.body, bytes | None) else orjson.dumps(self.body)


CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, COUNT, RESPONSES = "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"
INFER, GENERATE, STREAM = "/v2/models/up/infer", "/v2/models/up/generate", "/v2/models/up/generate_stream"
