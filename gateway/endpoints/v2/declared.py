"""What a model of one's own declares of its tensors, and whether a request is that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.endpoints.v2.tensor import Tensor
from gateway.errors import InvalidBody


def check_declared(inputs: Mapping[str, Tensor], declared: Sequence[Mapping[str, Any]]) -> None:
    """Looks whether the inputs of a request are those that a model declares, if it declares any.

    Raises:
        InvalidBody: when one is missing, too much, or of another datatype or shape.
    """
    if not declared:
        return
    known = {row["name"]: row for row in declared}
    for name in known.keys() | inputs.keys():
        if name not in inputs or name not in known:
            raise InvalidBody(f"the inputs must be {', '.join(known)}; there are {', '.join(inputs)}")
    for name, tensor in inputs.items():
        datatype, shape = known[name]["datatype"], known[name]["shape"]
        if tensor.datatype != datatype:
            raise InvalidBody(f"input '{name}' has datatype {tensor.datatype}; {datatype} is expected")
        if not _fits(tensor.shape, shape):
            raise InvalidBody(f"input '{name}' has shape {list(tensor.shape)}; {list(shape)} is expected")


def _fits(shape: Sequence[int], declared: Sequence[int]) -> bool:
    """Whether a shape is one of those declared; there -1 is any size."""
    return len(shape) == len(declared) and all(
        wanted in (size, -1) for size, wanted in zip(shape, declared, strict=True)
    )
