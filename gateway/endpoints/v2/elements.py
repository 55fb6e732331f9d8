"""The elements of a tensor, flat and row by row, as JSON and as raw little-endian bytes.

Numbers are a NumPy array of their datatype (:mod:`gateway.endpoints.v2.numbers`, imported with the first of them),
BYTES a list of texts, or of bytes where one of them is no UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.errors import InvalidBody

if TYPE_CHECKING:
    from gateway.endpoints.v2.numbers import Numbers

Elements: TypeAlias = "Numbers | list[Any]"

BYTES = "BYTES"
BF16 = "BF16"
CODES: Mapping[str, str] = {
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
}
"""By datatype, NumPy's code for what its numbers are held as."""
DATATYPES = (*CODES, BYTES)
LENGTH = 4
"""How many bytes the length of an element of BYTES takes."""


def from_json(datatype: str, data: list[Any]) -> Elements:
    """The elements in a flat list of JSON values.

    Raises:
        InvalidBody: when one is of another type, or does not fit into the datatype.
    """
    if datatype != BYTES:
        from gateway.endpoints.v2 import numbers  # noqa: PLC0415 - NumPy is only for who sends numbers

        return numbers.from_json(datatype, data)
    if set(map(type, data)) <= {str}:
        return data
    raise InvalidBody("an element of BYTES must be a text")


def from_bytes(datatype: str, raw: memoryview, count: int) -> Elements:
    """The ``count`` elements in raw bytes.

    Raises:
        InvalidBody: when there are more or fewer.
    """
    if datatype == BYTES:
        return _as_texts(_cut(raw, count))
    from gateway.endpoints.v2 import numbers  # noqa: PLC0415 - NumPy is only for who sends numbers

    return numbers.from_bytes(datatype, raw, count)


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
    from gateway.endpoints.v2 import numbers  # noqa: PLC0415 - they are NumPy's already

    return numbers.to_bytes(datatype, elements)
