"""The elements of a tensor, flat and row by row, as JSON and as raw little-endian bytes.

Numbers are a NumPy array of their datatype, BYTES a list of texts, or of bytes where one of them is no UTF-8. BF16,
which NumPy does not have, is held as FP32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from gateway.errors import InvalidBody

Elements: TypeAlias = np.ndarray[Any, Any] | list[Any]

BYTES = "BYTES"
BF16 = "BF16"
HELD_AS: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "UINT8": "u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "INT8": "i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
        BF16: "<f4",
    }.items()
}
"""By datatype, what its numbers are held as."""
RAW_AS: Mapping[str, np.dtype[Any]] = {"BOOL": np.dtype("u1"), BF16: np.dtype("<u2")}
"""By datatype, what its raw numbers are read as where that is something else."""
DATATYPES = (*HELD_AS, BYTES)
LENGTH = 4
"""How many bytes the length of an element of BYTES takes."""
JSON_OF: Mapping[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}
"""By kind of number, what may stand for it in JSON: a whole number is a decimal, and nothing else is anything else."""


def from_json(datatype: str, data: list[Any]) -> Elements:
    """The elements in a flat list of JSON values.

    Raises:
        InvalidBody: when one is of another type, or does not fit into the datatype.
    """
    found = set(map(type, data))
    if datatype == BYTES:
        if found <= {str}:
            return data
        raise InvalidBody("an element of BYTES must be a text")
    held = HELD_AS[datatype]
    if not found <= JSON_OF[held.kind]:
        raise InvalidBody(f"an element is no {datatype}")
    if held.kind in "ui":
        return _whole(datatype, held, data)
    return _decimals(datatype, held, data) if held.kind == "f" else np.array(data, held)


def _whole(datatype: str, held: np.dtype[Any], data: list[Any]) -> Elements:
    limits = np.iinfo(held)
    if data and (min(data) < limits.min or max(data) > limits.max):
        raise InvalidBody(f"an element is out of the range of {datatype}, {limits.min} to {limits.max}")
    return np.array(data, held)


def _decimals(datatype: str, held: np.dtype[Any], data: list[Any]) -> Elements:
    with np.errstate(over="ignore"):
        numbers = np.array(data, np.float64).astype(held)
    if np.isinf(numbers).any():
        raise InvalidBody(f"an element is out of the range of {datatype}")
    return numbers


def from_bytes(datatype: str, raw: memoryview, count: int) -> Elements:
    """The ``count`` elements in raw bytes.

    Raises:
        InvalidBody: when there are more or fewer.
    """
    if datatype == BYTES:
        return _as_texts(_cut(raw, count))
    width = width_of(datatype)
    if len(raw) != count * width:
        raise InvalidBody(f"binary_data_size is {len(raw)}; {count} elements of {datatype} take {count * width} bytes")
    held = np.frombuffer(raw, RAW_AS.get(datatype) or HELD_AS[datatype])
    if datatype == BF16:
        upper: np.ndarray[Any, Any] = np.left_shift(held, 16, dtype="<u4")
        return upper.view(HELD_AS[BF16])
    return held != 0 if datatype == "BOOL" else held.copy()


def width_of(datatype: str) -> int:
    """How many bytes an element takes; BYTES have no width."""
    return (RAW_AS.get(datatype) or HELD_AS[datatype]).itemsize


def _cut(raw: memoryview, count: int) -> list[bytes]:
    elements: list[bytes] = []
    at = 0
    while at < len(raw) and len(elements) < count:
        start = at + LENGTH
        at = start + int.from_bytes(raw[at:start], "little")
        if start > len(raw) or at > len(raw):
            raise InvalidBody("an element of BYTES is longer than what is there of it")
        elements.append(bytes(raw[start:at]))
    if at < len(raw) or len(elements) < count:
        raise InvalidBody(f"the binary data does not hold {count} elements of BYTES")
    return elements


def _as_texts(elements: list[bytes]) -> list[Any]:
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError:
        return elements


def to_json(elements: Elements) -> Any:
    """The elements as the encoder of JSON takes them.

    Raises:
        InvalidBody: when they are bytes that are no text, which only binary data can carry.
    """
    if isinstance(elements, list) and bytes in set(map(type, elements)):
        raise InvalidBody("an output holds bytes that are no text; ask for it with the parameter binary_data")
    return elements


def to_bytes(datatype: str, elements: Elements) -> bytes:
    """The elements as raw bytes."""
    if isinstance(elements, list):
        pieces = [element if isinstance(element, bytes) else element.encode() for element in elements]
        return b"".join(part for piece in pieces for part in (len(piece).to_bytes(LENGTH, "little"), piece))
    if datatype == BF16:
        return _rounded(elements.astype("<f4")).tobytes()
    return elements.astype(HELD_AS[datatype], copy=False).tobytes()


def _rounded(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The upper half of each FP32, rounded to the nearest, ties to even; what is no number stays none."""
    bits = numbers.view("<u4").astype("<u8")
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(numbers), 0x7FC0, upper).astype("<u2")
