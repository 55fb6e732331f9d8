"""What a model of one's own returned, as tensors.

An object is one output a member, anything else one output. Without a declaration the datatype is that of the values:
BOOL, INT64 (UINT64), FP64, BYTES for texts, that of NumPy for its arrays; and rows that are none of these, or do not
have the same length, are BYTES of JSON, one element a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from gateway.endpoints.v2.elements import BF16, BYTES, Elements
from gateway.endpoints.v2.framing import OPTIONS, plain
from gateway.endpoints.v2.numbers import HELD_AS
from gateway.endpoints.v2.tensor import Tensor
from graph import RunError

OUTPUT = "output"
"""The name of an output that has none."""
INT64, UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)
DATATYPE_OF = {held: datatype for datatype, held in HELD_AS.items() if datatype != BF16}


def tensors_of(outputs: Any, declared: Sequence[Mapping[str, Any]] = ()) -> list[Tensor]:
    """The outputs of a model, in the order of its declaration if it has one.

    Raises:
        RunError: when they are not what the model declares.
    """
    datatypes = {row["name"]: row["datatype"] for row in declared}
    if isinstance(outputs, Mapping):
        names = list(datatypes) or [str(name) for name in outputs]
        values = {str(name): value for name, value in outputs.items()}
    else:
        names = list(datatypes) or [OUTPUT]
        values = {names[0]: outputs}
    missing = [name for name in names if name not in values]
    if missing:
        raise RunError(f"the model declares the output '{missing[0]}' and did not make it")
    return [_tensor(name, values[name], datatypes.get(name, "")) for name in names]


def _tensor(name: str, value: Any, declared: str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype in DATATYPE_OF:
        datatype, shape = DATATYPE_OF[value.dtype], value.shape or (1,)
        elements: Elements = np.ascontiguousarray(value).reshape(-1)
    else:
        datatype, shape, elements = _inferred(value)
    if declared and declared != datatype:
        elements = _converted(name, declared, elements)
    return Tensor(name, declared or datatype, shape, elements)


def _inferred(value: Any) -> tuple[str, tuple[int, ...], Elements]:
    value = _as_lists(value)
    rows = value if isinstance(value, list) else [value]
    shape, flat = _shaped(rows)
    datatype = _datatype(flat)
    if datatype == BYTES:
        return BYTES, shape, flat
    if datatype:
        return datatype, shape, np.array(flat, HELD_AS[datatype])
    return BYTES, (len(rows),), [orjson.dumps(row, default=plain, option=OPTIONS).decode() for row in rows]


def _as_lists(value: Any) -> Any:
    """Arrays, scalars and tuples, anywhere inside lists, as lists and plain values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_as_lists(part) for part in value]
    return value


def _shaped(rows: list[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested lists and their elements; where rows differ in length, those rows are the elements."""
    shape, flat = [len(rows)], rows
    while flat and all(isinstance(row, list) for row in flat) and len(set(map(len, flat))) == 1:
        shape.append(len(flat[0]))
        flat = [element for row in flat for element in row]
    return tuple(shape), flat


def _datatype(flat: list[Any]) -> str:
    """The datatype of elements; nothing when they are neither numbers nor texts."""
    kinds = set(map(type, flat))
    if kinds <= {str, bytes}:
        return BYTES if kinds else "FP64"
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        least, most = min(flat), max(flat)
        fits = [
            name for name, limits in (("INT64", INT64), ("UINT64", UINT64)) if limits.min <= least <= most <= limits.max
        ]
        return fits[0] if fits else ""
    return "FP64" if kinds <= {int, float} else ""


def _converted(name: str, declared: str, elements: Elements) -> Elements:
    """Numbers as those of another datatype."""
    if not len(elements):
        return [] if declared == BYTES else np.array([], HELD_AS[declared])
    if declared == BYTES or isinstance(elements, list):
        raise RunError(f"the model declares the output '{name}' as {declared}, and made something else")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = elements.astype(HELD_AS[declared])
    exact = HELD_AS[declared].kind == "f" or np.array_equal(converted, elements)
    if not exact:
        raise RunError(f"the model declares the output '{name}' as {declared}, and what it made does not fit")
    return converted
