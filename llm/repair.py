"""Checked answers: JSON of a model that is not held to it is checked, and asked for once more where it is wrong.

What is checked cannot leave before it is whole: content that must be JSON comes in one piece at the end, and so do tool
calls. Everything else of the answer (text beside tool calls, reasoning) streams as it comes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import orjson

from llm.chat import ChatChunk, ChatCompletion, ChatRequest, Message, ToolCallDelta
from llm.chat.completion import ToolCall
from llm.errors import InvalidRequest, UpstreamAnswerInvalid, UpstreamAnswerTooLong
from llm.json_schema import Schema
from llm.packing import pack_chunk
from llm.usage import Usage

Turn: TypeAlias = Callable[[ChatRequest], AsyncGenerator[ChatChunk, None]]
"""What asks a model once."""
WHOLE = (None, "stop", "tool_calls", "function_call")
"""Reasons to end after which an answer is checked; one that was cut off, or held back, is passed on as it is."""
MAX_HELD_BYTES = 32 * 1024 * 1024
"""The longest answer that is kept for the check, in bytes of JSON, with its reasoning and logprobs."""
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(slots=True)
class Expected:
    """What an answer must be for its request: the schema of the content, if it must be JSON, and of each tool."""

    content: Schema | None = None
    tools: dict[str, Schema] = field(default_factory=dict)

    @classmethod
    def of(cls, request: ChatRequest) -> Self | None:
        """What a request expects; None when that is nothing that could be checked.

        Raises:
            InvalidRequest: when a schema in it cannot be used.
        """
        expected = cls()
        asked = request.parameters.get("response_format") or {}
        if asked.get("type") == "json_object":
            expected.content = Schema.of(dict(_OBJECT))
        elif asked.get("type") == "json_schema":
            place = "response_format.json_schema.schema"
            expected.content = _schema(asked["json_schema"].get("schema") or {}, place)
        for at, tool in enumerate(request.tools):
            if tool["type"] == "function":
                declared = tool["function"]
                place = f"tools[{at}].function.parameters"
                expected.tools[declared["name"]] = _schema(declared.get("parameters") or dict(_OBJECT), place)
        return expected if expected.content or expected.tools else None

    def faults(self, answer: ChatCompletion) -> list[str]:
        """What is wrong with an answer."""
        faults = []
        for call in answer.tool_calls:
            if call.kind == "function":
                faults += self._faults_of_call(call.name, call.arguments)
        if self.content is not None and not answer.tool_calls:
            faults += _faults(self.content, answer.content, "the answer")
        return faults

    def _faults_of_call(self, name: str, arguments: str) -> list[str]:
        if name not in self.tools:
            return [f"there is no tool '{name}'; there are {', '.join(self.tools) or 'none'}"]
        return _faults(self.tools[name], arguments or "{}", f"the arguments of {name}")


async def checked(
    turn: Turn, request: ChatRequest, *, max_bytes: int = MAX_HELD_BYTES
) -> AsyncGenerator[ChatChunk, None]:
    """The answer of ``turn`` to a request, with what must be JSON checked; if it is wrong, that of one repair turn,
    which is told what was wrong. The usage in the last chunk is that of both.

    Raises:
        InvalidRequest: when a schema in the request cannot be used.
        UpstreamAnswerInvalid: when the second answer is wrong too.
        UpstreamAnswerTooLong: when an answer has more than ``max_bytes``.
    """
    expected = Expected.of(request)
    if expected is None:
        async with aclosing(turn(request)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    answer, usage = ChatCompletion(), None
    for repairs in (False, True):
        first, answer = answer, ChatCompletion()
        asked = _again(request, first, expected.faults(first)) if repairs else request
        held = 0
        async with aclosing(turn(asked)) as chunks:
            async for chunk in chunks:
                held += len(orjson.dumps(pack_chunk(chunk)))
                if held > max_bytes:
                    raise UpstreamAnswerTooLong(f"the answer is to be checked, and longer than {max_bytes} bytes")
                answer.add(chunk)
                if (passed := _unchecked(chunk, expected, repairs=repairs)) is not None:
                    yield passed
        usage = _sum(usage, answer.usage) if repairs else answer.usage
        if _passes(answer, expected):
            yield _whole(answer, expected, repairs=repairs)
            yield ChatChunk(finish_reason=answer.finish_reason)
            yield ChatChunk(usage=usage)
            return
    raise UpstreamAnswerInvalid(f"the answer is wrong after a repair too: {'; '.join(expected.faults(answer))}")


def _passes(answer: ChatCompletion, expected: Expected) -> bool:
    """Whether an answer can leave: it is right, or was cut off, held back or refused, which no repair changes."""
    if answer.finish_reason not in WHOLE or answer.extra.get("refusal"):
        return True
    return not expected.faults(answer)


def _unchecked(chunk: ChatChunk, expected: Expected, *, repairs: bool) -> ChatChunk | None:
    """What of a chunk may leave at once. Text beside tool calls has left once; a repair does not say it again."""
    content = None if expected.content is not None or repairs else chunk.content
    if content is None and not chunk.extra and not chunk.common:
        return None
    logprobs = None if content is None else chunk.logprobs
    return ChatChunk(content, extra=chunk.extra, logprobs=logprobs, common=chunk.common)


def _whole(answer: ChatCompletion, expected: Expected, *, repairs: bool) -> ChatChunk:
    """What was held back of an answer that is right."""
    content = None
    if expected.content is not None:
        content = _unfenced(answer.content) if not answer.tool_calls else answer.content
    cut = answer.finish_reason not in WHOLE
    calls = tuple(
        ToolCallDelta(at, call.arguments if cut else _arguments(call), call.id, call.name, call.kind)
        for at, call in enumerate(answer.tool_calls)
    )
    return ChatChunk(content or None, calls, logprobs=answer.logprobs if content else None)


def _again(request: ChatRequest, answer: ChatCompletion, faults: list[str]) -> ChatRequest:
    """The request for another answer, with the wrong one and what is wrong with it behind the conversation."""
    said = [answer.content] if answer.content else []
    said += [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    listed = "\n".join(f"- {fault}" for fault in faults)
    form = "the corrected tool calls" if answer.tool_calls else "the corrected JSON and nothing else"
    more: list[Message] = [
        {"role": "assistant", "content": "\n".join(said) or "(nothing)"},
        {"role": "user", "content": f"That cannot be used:\n{listed}\nAnswer again, with {form}."},
    ]
    again = request.having([*request.messages, *more])
    again.asked = request.asked
    return again


def _schema(schema: Any, param: str) -> Schema:
    try:
        return Schema.of(schema)
    except ValueError as error:
        raise InvalidRequest(
            f"Invalid schema for '{param}': {error}", param=param, code="invalid_json_schema"
        ) from None


def _faults(schema: Schema, text: str, what: str) -> list[str]:
    try:
        value = orjson.loads(_unfenced(text))
    except orjson.JSONDecodeError as error:
        return [f"{what}: no JSON ({error})"]
    return [f"{what}: {fault}" for fault in schema.faults(value)]


def _arguments(call: ToolCall) -> str:
    """The arguments of a call as they were checked; those of a custom tool are any text."""
    return (_unfenced(call.arguments) or "{}") if call.kind == "function" else call.arguments


def _unfenced(text: str) -> str:
    """JSON out of the fence of Markdown that models like to put around it."""
    fenced = _FENCED.fullmatch(text)
    return fenced[1] if fenced else text


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    return one + other if one is not None and other is not None else other or one
