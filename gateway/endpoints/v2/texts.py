"""Chat models and graphs: each text that comes in is a chat request, and each answer a text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from gateway.answers import collected
from gateway.endpoints.v2.call import Call
from gateway.endpoints.v2.chat_parameters import chat_request
from gateway.endpoints.v2.elements import BYTES
from gateway.endpoints.v2.request import InferRequest, id_of, parameters_of
from gateway.endpoints.v2.tensor import Tensor
from gateway.errors import InvalidBody
from graph import Event, UnknownRoute
from graph.models.v2 import INFER, as_lists, response_of

MAX_INPUTS = 64
"""How many texts one request may hold; each is a run of its own."""
NAME = "text"
DECLARED = ({"name": NAME, "datatype": BYTES, "shape": [-1]},)
"""What a chat model takes, and what it gives."""


class Texts:
    """How chat models and graphs answer."""

    async def tensors(self, call: Call, request: InferRequest) -> Sequence[Tensor]:
        """One text for each text of the one input."""
        _check_operation(call)
        for name in request.wanted:
            if name != NAME:
                raise InvalidBody(f"there is no output '{name}'; there is '{NAME}'")
        if len(request.inputs) > 1:
            raise InvalidBody(f"one input tensor is expected, and there are {len(request.inputs)}")
        (tensor,) = request.inputs.values()
        if tensor.datatype != BYTES:
            raise InvalidBody(f"input '{tensor.name}' has datatype {tensor.datatype}; BYTES is expected")
        answers = await _answers(call, tensor.elements, request.parameters)
        return [Tensor(NAME, BYTES, (len(answers),), answers)]

    async def rows(self, call: Call, body: dict[str, Any]) -> Any:
        """One text for each row, which is a text, or a list or an object that holds just one."""
        _check_operation(call)
        if "inputs" not in body:
            raise InvalidBody('Expected key "inputs" in request body')
        given = id_of(body)
        rows = as_lists(body["inputs"]) if call.operation.endswith("_dict") else body["inputs"]
        texts = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
        answers = await _answers(call, texts, parameters_of(body, "the request"))
        identified = {"id": token_hex(16) if given is None else given}
        return response_of(identified, call.served.name, call.served.version, answers, datetime.now(UTC))

    async def text(self, call: Call, text: str, parameters: Mapping[str, Any]) -> str:
        """The answer to one text."""
        (answer,) = await _answers(call, [text], parameters)
        return answer


def _check_operation(call: Call) -> None:
    if call.operation not in INFER:
        raise UnknownRoute(
            f"model '{call.served.name}' has no operation '{call.operation}'; it has {', '.join(INFER)}, generate"
        )


async def _answers(call: Call, texts: Iterable[Any], parameters: Mapping[str, Any]) -> list[str]:
    """The answers, made side by side; the first failure ends the others and is the one that is told."""
    texts = list(texts)
    if any(type(text) is not str for text in texts):
        raise InvalidBody("'inputs' must be texts, or BYTES tensors of texts, and no mixture of both")
    if len(texts) > MAX_INPUTS:
        raise InvalidBody(f"'inputs' holds {len(texts)} texts; at most {MAX_INPUTS} are taken at once")
    events = [call.event(chat_request(call.served.name, text, parameters), number) for number, text in enumerate(texts)]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_answer(call, event)) for event in events]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _answer(call: Call, event: Event) -> str:
    return (await collected(call.served.start(event, call.hooks))).content
