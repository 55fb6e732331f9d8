"""/v2: the Open Inference Protocol and the loose form of MLRun, on the same URLs, for every model and graph.

What a graph is given is a chat request with the input as the user's text, so that one graph serves both APIs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from secrets import token_hex
from typing import Any

from fastapi import APIRouter, Request

from gateway.answers import collected
from gateway.catalog import Catalog, Served
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from gateway.errors import InvalidBody
from graph import Event, Hooks
from llm import ChatRequest

MAX_INPUTS = 64
"""How many inputs one request may hold; each is a run of its own."""
MAX_RANK = 8
"""How many dimensions a tensor may have."""
OUTPUT = "text"
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
        text = {"name": OUTPUT, "datatype": "BYTES", "shape": [-1]}
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
        _check_rest(body)
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


def _check_rest(body: Mapping[str, Any]) -> None:
    if type(body.get("id")) not in (str, int, type(None)):
        raise InvalidBody("'id' must be a string or a whole number")
    outputs = body.get("outputs") or []
    if not isinstance(outputs, list) or any(not isinstance(output, dict) for output in outputs):
        raise InvalidBody("'outputs' must be a list of objects, each with a 'name'")
    for output in outputs:
        if output.get("name") != OUTPUT:
            raise InvalidBody(f"there is no output '{output.get('name')}'; there is '{OUTPUT}'")


def _tensor_texts(tensors: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(tensors) > 1:
        raise InvalidBody(f"one input tensor is expected, and there are {len(tensors)}")
    tensor = tensors[0]
    if tensor["datatype"] != "BYTES":
        raise InvalidBody(f"input '{tensor['name']}' has datatype {tensor['datatype']}; BYTES is expected")
    shape, data = tensor["shape"], _flat(tensor.get("data"))
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidBody(f"input '{tensor['name']}': shape must be a list of whole numbers from 0 on")
    if len(shape) > MAX_RANK or not _holds(shape, len(data)):
        raise InvalidBody(f"input '{tensor['name']}': shape does not match true shape of 'data' field")
    return data


def _holds(shape: Sequence[int], elements: int) -> bool:
    """Whether a tensor of this shape has so many elements; sizes come from callers, so no product grows beyond that."""
    if 0 in shape:
        return elements == 0
    count = 1
    for size in shape:
        count *= size
        if count > elements:
            return False
    return count == elements


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

    def __init__(self, catalog: Catalog, hooks: Hooks, bodies: BodyReader) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        served = self._catalog.get(context.params["model"], context.principal)
        body = await self._bodies.json(receive)
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
        return (await collected(served.flow.start(event, self._hooks))).content


def _to_wire(model: str, body: Mapping[str, Any], inputs: Inputs, answers: list[str]) -> dict[str, Any]:
    given_id = body.get("id")
    if inputs.tensor:
        output = {"name": OUTPUT, "shape": [len(answers)], "datatype": "BYTES", "data": answers}
        echoed = {} if given_id is None else {"id": given_id}
        return {"model_name": model, **echoed, "outputs": [output]}
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return {
        "id": token_hex(16) if given_id is None else given_id,
        "model_name": model,
        "outputs": answers,
        "timestamp": now,
    }
