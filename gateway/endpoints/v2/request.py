"""InferRequest: tensors in, and what is wanted of those that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gateway.endpoints.v2.framing import Blobs
from gateway.endpoints.v2.tensor import KEYS, Tensor, by_name
from gateway.errors import InvalidBody

BINARY, ALL_BINARY = "binary_data", "binary_data_output"
NOT_SERVED = ("shared_memory_region", "classification")
"""Parameters of a tensor that would change what its data means, of extensions that are not served."""
SCALARS = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request in tensors."""

    id: str | int | None
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Tensor]
    wanted: Mapping[str, bool | None]
    """The outputs that are asked for, and whether as binary data; all of them if there are none."""
    binary: bool
    """Whether outputs that say nothing of it shall be binary data."""

    @classmethod
    def of(cls, body: Mapping[str, Any], raw: memoryview | None) -> Self:
        """The request in a parsed body whose inputs are tensors, and the raw bytes behind it.

        Raises:
            InvalidBody: when it is none; the message names the part that is wrong.
        """
        parameters = parameters_of(body, "the request")
        blobs = Blobs(raw)
        inputs = [_input(wire, blobs) for wire in body["inputs"]]
        blobs.finish()
        binary = parameters.get(ALL_BINARY, False)
        if type(binary) is not bool:
            raise InvalidBody(f"{ALL_BINARY} must be true or false")
        return cls(id_of(body), parameters, by_name(inputs), _wanted(body.get("outputs")), binary)

    def is_binary(self, output: str) -> bool:
        """Whether an output shall be binary data."""
        said = self.wanted.get(output)
        return self.binary if said is None else said


def is_in_tensors(body: Mapping[str, Any], raw: memoryview | None, *, of_objects: bool = False) -> bool:
    """Whether a request is one in tensors; else it is in MLRun's loose form, whose inputs may be anything but objects,
    or with ``of_objects`` just these.

    Raises:
        InvalidBody: when it is neither.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        if raw is None and "inputs" not in body:
            return False
        raise InvalidBody("'inputs' must be a list with at least one element")
    objects = [isinstance(row, dict) for row in inputs]
    if all(objects) and all(row.keys() >= KEYS for row in inputs):
        return True
    if raw is not None or (any(objects) and not of_objects):
        raise InvalidBody(
            "'inputs' must be rows of features or texts, or tensors with name, shape, datatype and data, "
            "and no mixture of both"
        )
    return False


def id_of(body: Mapping[str, Any]) -> str | int | None:
    """The id that a client gave its request.

    Raises:
        InvalidBody: when it is neither a string nor a whole number.
    """
    given = body.get("id")
    if given is not None and type(given) not in (str, int):
        raise InvalidBody("'id' must be a string or a whole number")
    return given


def parameters_of(wire: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """The ``parameters`` of a request or a tensor.

    Raises:
        InvalidBody: when they are no object of strings, numbers and booleans.
    """
    parameters = wire.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict) or any(type(value) not in SCALARS for value in parameters.values()):
        raise InvalidBody(f"the parameters of {whose} must be an object of strings, numbers and booleans")
    return parameters


def _input(wire: dict[str, Any], blobs: Blobs) -> Tensor:
    _served(parameters_of(wire, "an input"))
    return Tensor.of(wire, blobs.take(wire))


def _wanted(outputs: Any) -> dict[str, bool | None]:
    if outputs is None:
        return {}
    if not isinstance(outputs, Sequence) or any(type(wire) is not dict for wire in outputs):
        raise InvalidBody("'outputs' must be a list of objects, each with a 'name'")
    wanted: dict[str, bool | None] = {}
    for wire in outputs:
        name, binary = wire.get("name"), _served(parameters_of(wire, "an output")).get(BINARY)
        if type(name) is not str or name in wanted:
            raise InvalidBody("'outputs' must be a list of objects, each with a 'name' of its own")
        if type(binary) not in (bool, type(None)):
            raise InvalidBody(f"output '{name}': {BINARY} must be true or false")
        wanted[name] = binary
    return wanted


def _served(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in NOT_SERVED:
        if name in parameters:
            raise InvalidBody(f"the parameter {name} is not served")
    return parameters
