"""Models of one's own, and graphs that begin with a V2 model or router: they are given the body of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.endpoints.v2.call import Call
from gateway.endpoints.v2.declared import check_declared
from gateway.endpoints.v2.elements import BYTES
from gateway.endpoints.v2.framing import OPTIONS, plain
from gateway.endpoints.v2.request import InferRequest
from gateway.endpoints.v2.tensor import Tensor
from gateway.errors import InvalidBody
from graph import V2ModelServer
from graph.models.v2 import INFER


class Own:
    """How models of one's own answer."""

    async def tensors(self, call: Call, request: InferRequest) -> Sequence[Tensor]:
        """What the model makes of the rows of the one tensor, or of objects with a member for each of several."""
        model = call.served.own
        check_declared(request.inputs, model.inputs if model else ())
        body: dict[str, Any] = {"inputs": _given(request.inputs, model.as_arrays if model else False)}
        if request.id is not None:
            body["id"] = request.id
        if request.parameters:
            body["parameters"] = dict(request.parameters)
        from gateway.endpoints.v2.outputs import tensors_of  # noqa: PLC0415 - NumPy is only for models of one's own

        return tensors_of(_outputs(await _asked(call, body)), model.outputs if model else ())

    async def rows(self, call: Call, body: dict[str, Any]) -> Any:
        """What the model answers."""
        model = call.served.own
        if model and len(model.inputs) > 1 and call.operation in (*INFER, "explain"):
            raise InvalidBody(f"model '{call.served.name}' takes the tensors {', '.join(_names(model))}, and no rows")
        return await _asked(call, body)

    async def text(self, call: Call, text: str, parameters: Mapping[str, Any]) -> str:
        """The output for a row that is a text, as text or JSON."""
        model = call.served.own
        if model and model.inputs and [row["datatype"] for row in model.inputs] != [BYTES]:
            raise InvalidBody(f"model '{call.served.name}' takes {', '.join(_names(model))}, and no text")
        body = {"inputs": [text], **({"parameters": dict(parameters)} if parameters else {})}
        outputs = _outputs(await _asked(call, body))
        outputs = outputs.tolist() if hasattr(outputs, "tolist") else outputs
        said = outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs
        return said if isinstance(said, str) else orjson.dumps(said, default=plain, option=OPTIONS).decode()


async def _asked(call: Call, body: dict[str, Any]) -> Any:
    """The answer to a body; a graph finds its route in that, as the URL names the graph."""
    if call.served.own is not None:
        event = call.event(body)
    else:
        event = call.event({**body, "operation": call.operation}, path="/")
    return await call.served.start(event, call.hooks).result()


def _names(model: V2ModelServer) -> list[str]:
    return [f"{row['name']} ({row['datatype']})" for row in model.inputs]


def _outputs(answer: Any) -> Any:
    return answer["outputs"] if isinstance(answer, Mapping) and "outputs" in answer else answer


def _given(inputs: Mapping[str, Tensor], as_arrays: bool) -> Any:
    if as_arrays:
        arrays = {name: tensor.array() for name, tensor in inputs.items()}
        return next(iter(arrays.values())) if len(arrays) == 1 else arrays
    rows = {name: tensor.rows() for name, tensor in inputs.items()}
    if len(rows) == 1:
        return next(iter(rows.values()))
    if len(set(map(len, rows.values()))) > 1:
        raise InvalidBody("several inputs must have the same first dimension, that of their rows")
    return [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
