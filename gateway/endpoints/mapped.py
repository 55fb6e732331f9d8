"""Endpoints of one's own, which rows of the settings add: a path onto a graph or a model.

What the graph is given and what becomes of its answer is in :mod:`gateway.mappings`. A graph that answers in text, or
in chunks of chat, answers ``{"answer", "finish_reason", "usage"}``; any other value is the answer itself, and a
:class:`graph.Response` has its own status, body and headers.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson

from gateway.answers import as_chunk
from gateway.catalog.catalog import Catalog
from gateway.config.api import ApiRow
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.gate import raw_path
from gateway.edge.sse import DONE, HEADERS, frame, takes_events
from gateway.errors import UnusableResponse
from gateway.faults import Fault
from gateway.json_path import MISSING
from gateway.mappings import Input, Output, query_of
from graph import Event, Flow, FlowRun, Hooks, Response
from graph.steps.judge import JudgeStep
from graph.steps.responder import ResponderStep
from graph.steps.router import RouterStep
from graph.steps.tools import ToolsStep
from graph.sub_flow import SubFlow
from llm import ChatChunk, ChatCompletion, ChatRequest

CHAT_STEPS = (JudgeStep, ResponderStep, RouterStep, ToolsStep)
"""Steps that take nothing but a chat request."""
SAID = (ChatChunk, ChatRequest, str, bytes, type(None))
"""What is an answer in words; any other value is one by itself."""
NOTHING: Final = object()
OURS = frozenset({"content-length", "transfer-encoding", "connection", "date", "server", "x-request-id"})
"""Headers that a response of a graph cannot have."""


class MappedEndpoint:
    """A graph or a model under a path of the operator's own.

    Raises:
        ValueError: when the catalog has no such graph or model, or it cannot be asked in words.
    """

    def __init__(self, row: ApiRow, catalog: Catalog, hooks: Hooks, bodies: BodyReader) -> None:
        kind = "graph" if row.graph else "model"
        served = {served.name: served for served in catalog if served.kind == kind}
        if row.target not in served:
            raise ValueError(f"there is no {kind} '{row.target}'; there are: {', '.join(served) or 'none'}")
        if row.text and served[row.target].takes == "inputs":
            raise ValueError(f"text: {kind} '{row.target}' does not chat, it is given inputs; leave it out")
        self.row = row
        self.answers = f"{kind} {row.target}"
        self._catalog, self._hooks, self._bodies = catalog, hooks, bodies
        self._input, self._output = Input(row), Output(row.output)
        self._chat = takes_chat(served[row.target].flow)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        served = self._catalog.find(self.row.target, context.principal)
        query = query_of(scope.get("query_string", b""))
        values = self._input.values(context.params, query, await self._bodies.json(scope, receive, empty=MISSING))
        given = self._input.given(values, chat=self._chat)
        streams = self.row.stream and takes_events(scope)
        if isinstance(given, ChatRequest):
            given.stream = streams
        event = Event(
            given,
            id=context.request_id,
            path=_asked(scope),
            method=scope["method"],
            caller=context.principal.name,
        )
        async with ClientWatch(receive):
            run = served.start(event, self._hooks)
            await (_stream(run, send, scope["path"]) if streams else self._whole(run, send))

    async def _whole(self, run: FlowRun, send: Send) -> None:
        answer = await _answer(run)
        if not isinstance(answer, Response):
            await send_json(send, 200, self._output.of(answer))
        elif answer.status < 300:
            await _respond(send, answer, self._output.of(_plain(answer.body)))
        else:
            await _respond(send, answer, answer.body)


def _asked(scope: Scope) -> str:
    """The path that was asked for, in one spelling; of a row with a star what stands there too."""
    return "/".join(quote(unquote(segment), safe="") for segment in raw_path(scope).split("/"))


def takes_chat(flow: Flow) -> bool:
    """Whether a flow begins with a step that takes nothing but a chat request."""
    first = flow.plan.first
    step = first.instance if first is not None else None
    return takes_chat(step.flow) if isinstance(step, SubFlow) else isinstance(step, CHAT_STEPS)


async def _answer(run: FlowRun) -> Any:
    """What a run answered: words, as an object; or a value, of several the list of them."""
    completion, values = ChatCompletion(), []
    async with aclosing(run.chunks()) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, SAID):
                completion.add(as_chunk(chunk))
            else:
                values.append(chunk if isinstance(chunk, Response) else _plain(chunk))
    if values:
        return values[0] if len(values) == 1 else values
    message = completion.message()
    answer = {"answer": completion.content, "finish_reason": _finish_reason(run, completion)}
    calls = {"tool_calls": message["tool_calls"]} if message.get("tool_calls") else {}
    return {**answer, **calls, "usage": run.usage.to_wire()}


def _finish_reason(run: FlowRun, completion: ChatCompletion) -> str:
    return "length" if run.limit is not None else completion.finish_reason or "stop"


async def _stream(run: FlowRun, send: Send, path: str) -> None:
    """The answer as events, each a part of it. The status goes out with the first, so what fails before is a status."""
    async with aclosing(run.chunks()) as chunks:
        first = await anext(chunks, NOTHING)
        if isinstance(first, Response):
            await _respond(send, first, first.body)
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        try:
            async with aclosing(_frames(first, chunks)) as frames:
                async for one in frames:
                    await send({"type": "http.response.body", "body": one, "more_body": True})
        except Exception as error:
            broken = frame(Fault.of(error).body_for(path))
            await send({"type": "http.response.body", "body": broken, "more_body": False})
            raise
    await send({"type": "http.response.body", "body": DONE, "more_body": False})


async def _frames(first: Any, rest: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    """The frames of a stream, the first chunk of which has been taken. Words without any text are none."""
    if first is not NOTHING and (data := _frame(first)):
        yield data
    async for chunk in rest:
        if data := _frame(chunk):
            yield data


def _frame(value: Any) -> bytes:
    if isinstance(value, SAID):
        text = as_chunk(value).content
        return frame({"answer": text}) if text else b""
    body = value.body if isinstance(value, Response) else value
    return b"data: " + orjson.dumps(body, default=str) + b"\n\n"


async def _respond(send: Send, response: Response, body: Any) -> None:
    """Sends an answer with its own status and headers: bytes and texts as they are, anything else as JSON.

    Raises:
        UnusableResponse: when the status is no status, or a header cannot be one.
    """
    if not 200 <= response.status <= 599:
        raise UnusableResponse(f"{response.status!r} is no status; write one from 200 to 599")
    headers = {name.lower(): value for name, value in response.headers.items()}
    for name, value in headers.items():
        _check_header(name, value)
    content = body.encode() if isinstance(body, str) else body
    if not isinstance(content, bytes):
        content = orjson.dumps(content, default=str)
    usual = "application/json" if not isinstance(body, (str, bytes)) else "text/plain; charset=utf-8"
    if response.status in (204, 304):
        content = b""
    else:
        headers = {"content-type": usual, **headers, "content-length": str(len(content))}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})


def _check_header(name: str, value: Any) -> None:
    """A header of a response must be one line, so that no value in it begins another."""
    if name in OURS or re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+", name) is None:
        raise UnusableResponse(f"{name!r} is no header that a graph may send")
    if not isinstance(value, str) or re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value) is None:
        raise UnusableResponse(f"the header {name!r} has a value that fits into no header")


def _plain(value: Any) -> Any:
    """A value as JSON has it, so that paths find their way in it."""
    return orjson.loads(orjson.dumps(value, default=str))
