"""What a run of any graph says, as the answer of a chat model."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson

from graph import FlowRun
from llm import ChatChunk, ChatCompletion, ChatRequest, text_of


def as_chunk(value: Any) -> ChatChunk:
    """What a graph yields, as a chunk of an answer: text is text, a dict's ``answer`` too, anything else is JSON."""
    if isinstance(value, ChatChunk):
        return value
    if isinstance(value, dict) and isinstance(value.get("answer"), str):
        return ChatChunk.text(value["answer"])
    if isinstance(value, ChatRequest):
        return ChatChunk.text(text_of(value.messages[-1]))
    if isinstance(value, bytes):
        return ChatChunk.text(value.decode("utf-8", "replace"))
    if value is None:
        return ChatChunk()
    return ChatChunk.text(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())


async def collected(run: FlowRun) -> ChatCompletion:
    """The whole answer of a run that has not begun; the run is closed on every way out."""
    completion = ChatCompletion()
    async with aclosing(run.chunks()) as values:
        async for value in values:
            completion.add(as_chunk(value))
    return completion
