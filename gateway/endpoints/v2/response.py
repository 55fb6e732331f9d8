"""InferResponse: the tensors that a model made, those of them that were asked for, each in the form that it was asked
for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.edge.context import Send
from gateway.endpoints.v2.elements import to_bytes, to_json
from gateway.endpoints.v2.framing import SIZE, send_framed
from gateway.endpoints.v2.request import InferRequest
from gateway.endpoints.v2.tensor import Tensor
from gateway.errors import InvalidBody


async def send_tensors(send: Send, request: InferRequest, model: str, version: str, outputs: Sequence[Tensor]) -> None:
    """Sends the answer to a request, with the id of the client, if it gave one.

    Raises:
        InvalidBody: when it asks for an output that there is not, or cannot have one in JSON.
    """
    named = {output.name: output for output in outputs}
    for name in request.wanted:
        if name not in named:
            raise InvalidBody(f"there is no output '{name}'; there is {', '.join(map(repr, named))}")
    blobs: list[bytes] = []
    wires = [_to_wire(named[name], request.is_binary(name), blobs) for name in (request.wanted or named)]
    head: dict[str, Any] = {"model_name": model}
    if version:
        head["model_version"] = version
    if request.id is not None:
        head["id"] = request.id
    await send_framed(send, {**head, "outputs": wires}, blobs)


def _to_wire(output: Tensor, binary: bool, blobs: list[bytes]) -> Mapping[str, Any]:
    wire = {"name": output.name, "shape": output.shape, "datatype": output.datatype}
    if not binary:
        return {**wire, "data": to_json(output.elements)}
    blobs.append(to_bytes(output.datatype, output.elements))
    return {**wire, "parameters": {SIZE: len(blobs[-1])}}
