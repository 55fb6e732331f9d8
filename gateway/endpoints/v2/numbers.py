"""Numbers of a tensor as NumPy arrays of their datatype. BF16, which NumPy does not have, is held as FP32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from gateway.endpoints.v2.elements import BF16, CODES
from gateway.errors import InvalidBody

Numbers: TypeAlias = np.ndarray[Any, Any]

HELD_AS: Mapping[str, np.dtype[Any]] = {name: np.dtype(code) for name, code in CODES.items()}
"""By datatype, what its numbers are held as."""
RAW_AS: Mapping[str, np.dtype[Any]] = {**HELD_AS, "BOOL": np.dtype("u1"), BF16: np.dtype("<u2")}
"""By datatype, what its raw numbers are read as."""
JSON_OF: Mapping[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}
"""By kind of number, what may stand for it in JSON: a whole number is a decimal, and nothing else is anything else."""


def from_json(datatype: str, data: list[Any]) -> Numbers:
    """The numbers in a flat list of JSON values.

    Raises:
        InvalidBody: when one is of another type, or does not fit into the datatype.
    """
    held = HELD_AS[datatype]
    if not set(map(type, data)) <= JSON_OF[held.kind]:
        raise InvalidBody(f"an element is no {datatype}")
    if held.kind in "ui":
        return _whole(datatype, held, data)
    return _decimals(datatype, held, data) if held.kind == "f" else np.array(data, held)


def _whole(datatype: str, held: np.dtype[Any], data: list[Any]) -> Numbers:
    limits = np.iinfo(held)
    if data and (min(data) < limits.min or max(data) > limits.max):
        raise InvalidBody(f"an element is out of the range of {datatype}, {limits.min} to {limits.max}")
    return np.array(data, held)


def _decimals(datatype: str, held: np.dtype[Any], data: list[Any]) -> Numbers:
    with np.errstate(over="ignore"):
        numbers = np.array(data, np.float64).astype(held)
    if np.isinf(numbers).any():
        raise InvalidBody(f"an element is out of the range of {datatype}")
    return numbers


def from_bytes(datatype: str, raw: memoryview, count: int) -> Numbers:
    """The ``count`` numbers in raw bytes.

    Raises:
        InvalidBody: when there are more or fewer.
    """
    size = count * RAW_AS[datatype].itemsize
    if len(raw) != size:
        raise InvalidBody(f"binary_data_size is {len(raw)}; {count} elements of {datatype} take {size} bytes")
    held = np.frombuffer(raw, RAW_AS[datatype])
    if datatype == BF16:
        upper: Numbers = np.left_shift(held, 16, dtype="<u4")
        return upper.view(HELD_AS[BF16])
    return held != 0 if datatype == "BOOL" else held.copy()


def to_bytes(datatype: str, numbers: Numbers) -> bytes:
    """The numbers as raw bytes."""
    if datatype == BF16:
        return _rounded(numbers.astype("<f4")).tobytes()
    return numbers.astype(HELD_AS[datatype], copy=False).tobytes()


def _rounded(numbers: Numbers) -> Numbers:
    """The upper half of each FP32, rounded to the nearest, ties to even; what is no number stays none."""
    bits = numbers.view("<u4").astype("<u8")
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(numbers), 0x7FC0, upper).astype("<u2")
