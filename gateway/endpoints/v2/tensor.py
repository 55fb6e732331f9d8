"""Tensor: a name, a datatype, a shape and elements, as the Open Inference Protocol carries them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Self

from gateway.endpoints.v2.elements import DATATYPES, Elements, from_bytes, from_json
from gateway.errors import InvalidBody

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"name", "shape", "datatype"})
"""What an object needs to be a tensor."""
MAX_RANK = 8
"""How many dimensions a tensor may have."""
MAX_SIZE = 2**31 - 1
"""How many elements a tensor may have."""
MAX_LISTED = 1_000_000
"""How many elements and lists a tensor may become in Python, where each takes some ten times its own memory."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; ``elements`` are flat, row by row."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    elements: Elements

    @classmethod
    def of(cls, wire: Mapping[str, Any], raw: memoryview | None) -> Self:
        """The tensor of an input, whose elements are raw bytes or stand in its ``data``, nested or flat.

        Raises:
            InvalidBody: when it is not what it says; the message names the input.
        """
        name, datatype = wire["name"], wire["datatype"]
        if type(name) is not str:
            raise InvalidBody("the name of an input must be a text")
        with _named(name):
            if type(datatype) is not str or datatype not in DATATYPES:
                raise InvalidBody(f"datatype {datatype} is not known; there are {', '.join(DATATYPES)}")
            shape = _checked(wire["shape"])
            if raw is not None:
                return cls(name, datatype, shape, from_bytes(datatype, raw, prod(shape)))
            data = _flat(wire.get("data"))
            if len(data) != prod(shape):
                raise InvalidBody("shape does not match true shape of 'data' field")
            return cls(name, datatype, shape, from_json(datatype, data))

    def array(self) -> np.ndarray[Any, Any]:
        """The elements in their shape, as a NumPy array."""
        if isinstance(self.elements, list):
            import numpy as np  # noqa: PLC0415 - most gateways do without

            boxed = np.empty(len(self.elements), object)
            boxed[:] = self.elements
            return boxed.reshape(self.shape)
        return self.elements.reshape(self.shape)

    def rows(self) -> list[Any]:
        """The elements in their shape, as nested lists; of a tensor without dimensions a list of its one element.

        Raises:
            InvalidBody: when that would be more than :data:`MAX_LISTED` elements and lists.
        """
        sizes = [prod(self.shape[:depth]) for depth in range(1, len(self.shape) + 1)]
        if sum(sizes) > MAX_LISTED:
            raise InvalidBody(f"input '{self.name}' has more than {MAX_LISTED} rows and elements; send it in parts")
        rows = self.array().tolist()
        return rows if isinstance(rows, list) else [rows]


@contextmanager
def _named(name: str) -> Generator[None, None, None]:
    try:
        yield
    except InvalidBody as error:
        raise InvalidBody(f"input '{name}': {error}") from None


def _checked(shape: Any) -> tuple[int, ...]:
    """The shape of an input; whatever sizes callers write, it can be the shape of an array."""
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidBody("shape must be a list of whole numbers from 0 on")
    if len(shape) > MAX_RANK or prod(size or 1 for size in shape) > MAX_SIZE:
        raise InvalidBody(f"shape must have at most {MAX_RANK} dimensions, and fewer than 2^31 elements")
    return tuple(shape)


def _flat(data: Any) -> list[Any]:
    """The elements of nested lists, row by row."""
    if not isinstance(data, list):
        raise InvalidBody("a tensor needs 'data', a list of its elements")
    if list not in set(map(type, data)):
        return data
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


def by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Tensors by their names.

    Raises:
        InvalidBody: when two have the same.
    """
    named = {tensor.name: tensor for tensor in tensors}
    if len(named) < len(tensors):
        raise InvalidBody("two inputs have the same name")
    return named
