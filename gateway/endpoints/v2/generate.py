"""POST /v2/models/{model}[/versions/{version}]/generate and …/generate_stream: Triton's extension, text in, text out.

A stream is server-sent events without a ``[DONE]`` at its end; an error after the first of them is an event too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.answers import as_chunk
from gateway.catalog.catalog import Catalog
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.edge.sse import HEADERS, frame
from gateway.endpoints.v2.call import Call
from gateway.endpoints.v2.chat_parameters import chat_request
from gateway.endpoints.v2.infer import answerer_of, found
from gateway.endpoints.v2.request import id_of, parameters_of
from gateway.errors import InvalidBody
from gateway.faults import Fault
from graph import Hooks

BESIDE = ("max_tokens", "temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty")
"""Parameters that may stand beside ``text_input``, as clients of some models write them."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text, and the parameters of the model beside it."""

    text: str
    parameters: Mapping[str, Any]
    head: Mapping[str, Any]
    """What every answer begins with."""

    @classmethod
    def of(cls, body: Any, model: str, version: str) -> Prompt:
        """The prompt in a parsed body.

        Raises:
            InvalidBody: when it is none.
        """
        if not isinstance(body, dict) or type(body.get("text_input")) is not str:
            raise InvalidBody("the body must be a JSON object with a text under 'text_input'")
        beside = {name: value for name, value in body.items() if name in BESIDE}
        parameters = {**beside, **parameters_of(body, "the request")}
        given = id_of(body)
        named = {} if given is None else {"id": given}
        return cls(body["text_input"], parameters, {**named, "model_name": model, "model_version": version})

    def answer(self, text: str) -> dict[str, Any]:
        """The answer with a text, or the piece of one."""
        return {**self.head, "text_output": text}


class GenerateEndpoint:
    """The whole answer, or with ``streamed`` piece by piece."""

    def __init__(self, catalog: Catalog, hooks: Hooks, bodies: BodyReader, *, streamed: bool) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._bodies = bodies
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        served = found(self._catalog, context)
        body = await self._bodies.json(scope, receive)
        prompt = Prompt.of(body, served.name, served.version)
        call = Call.of(context, served, "infer", self._hooks)
        async with ClientWatch(receive):
            if self._streamed:
                await _stream(call, prompt, send)
            else:
                said = await answerer_of(served).text(call, prompt.text, prompt.parameters)
                await send_json(send, 200, prompt.answer(said))


async def _stream(call: Call, prompt: Prompt, send: Send) -> None:
    """Sends each piece of text as it is said; the status goes out with the first, so what fails before is a status."""
    async with aclosing(_pieces(call, prompt)) as pieces:
        piece = await anext(pieces, "")
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        try:
            await _write(send, prompt.answer(piece))
            async for text in pieces:
                await _write(send, prompt.answer(text))
        except Exception as error:
            await send({"type": "http.response.body", "body": frame(Fault.of(error).v2())})
            raise
    await send({"type": "http.response.body", "body": b""})


async def _pieces(call: Call, prompt: Prompt) -> AsyncGenerator[str, None]:
    """What is said, piece by piece; a model that takes inputs says it in one."""
    if call.served.takes != "chat":
        yield await answerer_of(call.served).text(call, prompt.text, prompt.parameters)
        return
    request = chat_request(call.served.name, prompt.text, prompt.parameters)
    request.stream = True
    async with aclosing(call.served.start(call.event(request), call.hooks).chunks()) as values:
        async for value in values:
            if text := as_chunk(value).content:
                yield text


async def _write(send: Send, wire: dict[str, Any]) -> None:
    await send({"type": "http.response.body", "body": b"data: " + orjson.dumps(wire) + b"\n\n", "more_body": True})
