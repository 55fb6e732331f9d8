"""/v2: the Open Inference Protocol and the loose form of MLRun, on the same URLs, for every model and graph.

What a graph is given is a chat request with the input as the user's text, so that one graph serves both APIs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import prod
from secrets import token_hex
from typing import Any

from fastapi import APIRouter, Request

from gateway.catalog import Catalog, Served
from gateway.edge.body import read_json, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.endpoints.chat import as_chunk
from gateway.errors import InvalidBody
from graph import Event, Hooks
from llm import ChatCompletion, ChatRequest

MAX_INPUTS = 64
"""How many inputs one request may hold; each is a run of its own."""
TENSOR_KEYS = frozenset({"name", "shape", "datatype"})


def router(catalog: Catalog) -> APIRouter:
    """The routes that are not hot."""
    routes = APIRouter(tags=["inference"])

    @routes.get("/v2")
    async def server_metadata() -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {"name": "penstock", "version": version("penstock"), "extensions": []}

    @routes.get("/v2/models")
    @routes.get("/v2/models/")
    async def list_models(request: Request) -> dict[str, Any]:
        """The names of the models and graphs."""
        visible = catalog.visible_to(context_of(request.scope).principal)
        return {"models": [served.name for served in visible]}

    @routes.get("/v2/models/{model}")
    async def model_metadata(request: Request) -> dict[str, Any]:
        """What a model takes and gives."""
        text = {"name": "text", "datatype": "BYTES", "shape": [-1]}
        return {"name": _served(catalog, request).name, "platform": "penstock", "inputs": [text], "outputs": [text]}

    @routes.get("/v2/models/{model}/ready")
    async def model_ready(request: Request) -> dict[str, Any]:
        """Whether a model can be asked."""
        return {"name": _served(catalog, request).name, "ready": True}

    return routes


def _served(catalog: Catalog, request: Request) -> Served:
    context = context_of(request.scope)
    return catalog.get(context.params["model"], context.principal)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The texts of a request, and in which of the two forms they came."""

    texts: Sequence[str]
    tensor: bool

    @classmethod
    def of(cls, body: Any) -> Inputs:
        """The inputs in a parsed body.

        Raises:
            InvalidBody: when they are in neither form; the message says which part is wrong.
        """
        if not isinstance(body, dict):
            raise InvalidBody("the body must be a JSON object with the key 'inputs'")
        if "inputs" not in body:
            raise InvalidBody('Expected key "inputs" in request body')
        inputs = body["inputs"]
        if not isinstance(inputs, list) or not inputs:
            raise InvalidBody("'inputs' must be a list with at least one element")
        tensors = [isinstance(row, dict) and row.keys() >= TENSOR_KEYS for row in inputs]
        texts = _tensor_texts(inputs) if all(tensors) else inputs
        if any(not isinstance(text, str) for text in texts):
            raise InvalidBody(
                "'inputs' must be texts, or BYTES tensors with name, shape, datatype and data, and no mixture of both"
            )
        if len(texts) > MAX_INPUTS:
            raise InvalidBody(f"'inputs' holds {len(texts)} texts; at most {MAX_INPUTS} are taken at once")
        return cls(texts, all(tensors))


def _tensor_texts(tensors: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(tensors) > 1:
        raise InvalidBody(f"one input tensor is expected, and there are {len(tensors)}")
    tensor = tensors[0]
    if tensor["datatype"] != "BYTES":
        raise InvalidBody(f"input '{tensor['name']}' has datatype {tensor['datatype']}; BYTES is expected")
    shape, data = tensor["shape"], _flat(tensor.get("data"))
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidBody(f"input '{tensor['name']}': shape must be a list of whole numbers from 0 on")
    if prod(shape) != len(data):
        raise InvalidBody(f"input '{tensor['name']}': shape does not match true shape of 'data' field")
    return data


def _flat(data: Any) -> list[Any]:
    """The elements of nested lists, row by row."""
    if not isinstance(data, list):
        raise InvalidBody("a tensor needs 'data', a list of its elements")
    flat: list[Any] = []
    stack = [iter(data)]
    while stack:
        for element in stack[-1]:
            if isinstance(element, list):
                stack.append(iter(element))
                break
            flat.append(element)
        else:
            stack.pop()
    return flat


class InferEndpoint:
    """POST /v2/models/{model}/infer."""

    def __init__(self, catalog: Catalog, hooks: Hooks, max_body_bytes: int) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        served = self._catalog.get(context.params["model"], context.principal)
        body = await read_json(receive, self._max_body_bytes)
        inputs = Inputs.of(body)
        events = [
            Event(
                ChatRequest.of_text(served.name, text),
                id=f"{context.request_id}-{index}" if index else context.request_id,
                path=scope["path"],
                caller=context.principal.name,
            )
            for index, text in enumerate(inputs.texts)
        ]
        async with ClientWatch(receive):
            answers = await self._answers(served, events)
            await send_json(send, 200, _to_wire(served.name, body, inputs, answers))

    async def _answers(self, served: Served, events: Sequence[Event]) -> list[str]:
        """The answers, made side by side; the first failure ends the others and is the one that is told."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._answer(served, event)) for event in events]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _answer(self, served: Served, event: Event) -> str:
        completion = ChatCompletion()
        async with aclosing(served.flow.start(event, self._hooks).chunks()) as values:
            async for value in values:
                completion.add(as_chunk(value))
        return completion.content


def _to_wire(model: str, body: Mapping[str, Any], inputs: Inputs, answers: list[str]) -> dict[str, Any]:
    given_id = body.get("id")
    if inputs.tensor:
        output = {"name": "text", "shape": [len(answers)], "datatype": "BYTES", "data": answers}
        echoed = {"id": given_id} if given_id is not None else {}
        return {"model_name": model, **echoed, "outputs": [output]}
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return {"id": given_id or token_hex(16), "model_name": model, "outputs": answers, "timestamp": now}
