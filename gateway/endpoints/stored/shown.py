"""Messages of a completion that is kept, in the form that the API shows them in."""

from __future__ import annotations

from typing import Any

from gateway.kept import KeptAnswer
from llm import Message


def messages_of(kept: KeptAnswer) -> list[dict[str, Any]]:
    """The messages that it answers, each with an id of its own."""
    return [{**_shown(message), "id": f"{kept.id}-{index}"} for index, message in enumerate(kept.asked)]


def _shown(message: Message) -> dict[str, Any]:
    """A content that came in parts stands in ``content_parts``, any other in ``content``."""
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    return {"name": None, "refusal": None, **message, "content": None if parts else content, "content_parts": parts}
