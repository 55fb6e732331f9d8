"""ResponderStep: the step whose tokens the client reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from graph.event import Event
from graph.steps.evidence import as_messages, gathered
from graph.steps.model_call import listen
from llm import TEXT, ChatChunk, ChatCompletion, ChatRequest, LLModel, Message, Model, ToolCallDelta

NOT_FOR_RESPONDERS = {"tools": None, "tool_choice": None, "parallel_tool_calls": None}
"""Parameters that a responder with a prompt of its own does not pass on: its tools have run already."""


class ResponderStep:
    """Streams the model's answer. With a bare Model the request goes on as it came: a graph of one step."""

    full_event = True
    needs_whole = True

    def __init__(self, model: LLModel | Model) -> None:
        self._prompted = model.filled_by() if isinstance(model, LLModel) else None
        self._model = model.model if isinstance(model, LLModel) else model

    async def do(self, event: Event) -> AsyncGenerator[ChatChunk, None]:
        request: ChatRequest = event.body
        if calls := request.calls_of_client:
            yield _handed_back(calls)
            return
        own = self._prompted.artifact.invocation_config.keys() - request.parameters.keys() if self._prompted else ()
        async with aclosing(listen(self._model, self._asked(request), event, own)) as chunks:
            async for chunk in chunks:
                yield chunk if self._prompted is None or chunk.common is None else replace(chunk, common=None)

    def gather(self, request: ChatRequest, chunks: list[ChatChunk]) -> ChatRequest:
        """The request with the answer appended, for steps that follow."""
        request.messages.append(ChatCompletion.of(chunks).message())
        return request

    def as_reasoning(self, chunk: ChatChunk) -> ChatChunk | None:
        """A chunk of a draft as the client may see it before it is accepted."""
        return ChatChunk(extra={"reasoning_content": chunk.content}) if chunk.content else None

    def _asked(self, request: ChatRequest) -> ChatRequest:
        if self._prompted is None:
            return request
        said = request.gathered if not (evidence := gathered(request)) else as_messages(evidence)
        own: dict[str, Any] = dict(request.parameters) | NOT_FOR_RESPONDERS
        if "max_completion_tokens" in own:
            own["max_tokens"] = None
        asked = self._prompted.request([*request.conversation, *said], **own)
        asked.copies = {TEXT: [value for piece in evidence for value in piece.strings]}
        asked.stream = request.stream
        return asked


def _handed_back(calls: Iterable[Message]) -> ChatChunk:
    """The tool calls that are the client's to run, as the end of the answer."""
    deltas = (
        ToolCallDelta(index, call["function"]["arguments"], call["id"], call["function"]["name"])
        for index, call in enumerate(calls)
    )
    return ChatChunk(tool_calls=tuple(deltas), finish_reason="tool_calls")
