"""The codec of tensors: what goes in comes out, in JSON and in bytes, and what is wrong is told."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoints.v2.elements import BF16, BYTES, DATATYPES, HELD_AS, from_bytes, from_json, to_bytes, to_json
from gateway.endpoints.v2.framing import OPTIONS
from gateway.errors import InvalidBody

FLOATS = {"FP16": 16, "FP32": 32, "FP64": 64}


def elements_of(datatype: str) -> st.SearchStrategy[list[Any]]:
    """Lists of JSON values of a datatype."""
    if datatype == BYTES:
        return st.lists(st.text(st.characters(codec="utf-8")))
    held = HELD_AS[datatype]
    if held.kind == "b":
        return st.lists(st.booleans())
    if held.kind in "iu":
        return st.lists(st.integers(int(np.iinfo(held).min), int(np.iinfo(held).max)))
    if datatype == BF16:
        return st.lists(
            st.integers(0, 0x7F7F).map(lambda upper: struct.unpack("<f", struct.pack("<I", upper << 16))[0])
        )
    return st.lists(st.floats(width=FLOATS[datatype], allow_nan=False, allow_infinity=False))  # type: ignore[arg-type]


samples = st.sampled_from(DATATYPES).flatmap(lambda name: st.tuples(st.just(name), elements_of(name)))


@given(samples)
def test_json_comes_back(sample: tuple[str, list[Any]]) -> None:
    """JSON to elements to JSON is the same list, for every datatype."""
    datatype, data = sample
    back = orjson.loads(orjson.dumps(to_json(from_json(datatype, data)), option=OPTIONS))
    held = np.float64 if datatype == BYTES or HELD_AS[datatype].kind != "f" else HELD_AS[datatype]
    assert back == data or np.array_equal(np.array(back, held), np.array(data, held))


@given(samples)
def test_bytes_come_back(sample: tuple[str, list[Any]]) -> None:
    """Elements to bytes to elements to bytes are the same bytes, for every datatype."""
    datatype, data = sample
    elements = from_json(datatype, data)
    raw = to_bytes(datatype, elements)
    back = from_bytes(datatype, memoryview(raw), len(data))
    assert list(back) == list(elements)
    assert to_bytes(datatype, back) == raw


@given(st.sampled_from(DATATYPES), st.binary(max_size=64), st.integers(0, 20))
def test_any_bytes_are_elements_or_refused(datatype: str, raw: bytes, count: int) -> None:
    """Whatever a client sends, it is so many elements, which come back as these bytes, or it is refused."""
    try:
        elements = from_bytes(datatype, memoryview(raw), count)
    except InvalidBody:
        return
    assert len(elements) == count
    if datatype not in ("BOOL", BF16):
        assert to_bytes(datatype, elements) == raw


@given(st.sampled_from(DATATYPES), st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.floats()))
def test_any_values_are_elements_or_refused(datatype: str, data: list[Any]) -> None:
    """Whatever stands in JSON, it is a list of that datatype or refused."""
    with suppress(InvalidBody):
        assert len(from_json(datatype, data)) == len(data)


@pytest.mark.parametrize(
    ("datatype", "raw", "expected"),
    [
        ("INT16", b"\x01\x00\xff\xff", [1, -1]),
        ("UINT32", b"\x01\x02\x00\x00", [513]),
        ("BOOL", b"\x01\x00\x02", [True, False, True]),
        ("FP16", b"\x00\x3c", [1.0]),
        ("FP32", struct.pack("<2f", 1.5, -2), [1.5, -2.0]),
        (BF16, b"\x80\x3f\x20\xc0", [1.0, -2.5]),
        (BYTES, b"\x02\x00\x00\x00ab\x00\x00\x00\x00", ["ab", ""]),
        (BYTES, b"\x01\x00\x00\x00\xff\x01\x00\x00\x00a", [b"\xff", b"a"]),
    ],
)
def test_the_layout_is_that_of_the_protocol(datatype: str, raw: bytes, expected: list[Any]) -> None:
    """Little-endian, a byte for a BOOL, the length before each element of BYTES; what is no text stays bytes."""
    assert list(from_bytes(datatype, memoryview(raw), len(expected))) == expected


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("UINT8", [256], "out of the range of UINT8, 0 to 255"),
        ("INT8", [-129], "out of the range of INT8"),
        ("INT32", [1.0], "an element is no INT32"),
        ("INT32", [True], "an element is no INT32"),
        ("BOOL", [1], "an element is no BOOL"),
        ("FP32", [1e39], "out of the range of FP32"),
        ("FP16", [70000], "out of the range of FP16"),
        ("FP64", [None], "an element is no FP64"),
        ("FP64", ["1"], "an element is no FP64"),
        (BYTES, [1], "must be a text"),
        (BYTES, [["a"]], "must be a text"),
    ],
)
def test_what_does_not_fit_is_refused(datatype: str, data: list[Any], message: str) -> None:
    """Nothing is coerced but a whole number to a decimal."""
    with pytest.raises(InvalidBody, match=message):
        from_json(datatype, data)


@pytest.mark.parametrize(
    ("datatype", "raw", "count"),
    [
        ("INT16", b"\x01", 1),
        ("INT16", b"\x01\x00", 2),
        (BYTES, b"\x05\x00\x00\x00ab", 1),
        (BYTES, b"\x05\x00\x00", 1),
        (BYTES, b"\xff\xff\xff\xffab", 1),
        (BYTES, b"", 1),
        (BYTES, b"\x00\x00\x00\x00\x00", 1),
    ],
)
def test_bytes_that_are_too_few_or_too_many_are_refused(datatype: str, raw: bytes, count: int) -> None:
    """Also lengths that say more than is there."""
    with pytest.raises(InvalidBody):
        from_bytes(datatype, memoryview(raw), count)


def test_bytes_that_are_no_text_have_no_json() -> None:
    """Such an output can be had as binary data only."""
    with pytest.raises(InvalidBody, match="ask for it with the parameter binary_data"):
        to_json([b"\xff"])


def test_bf16_is_rounded_to_the_nearest() -> None:
    """Ties go to the even one, infinity stays, and what is no number stays none."""
    numbers = np.array([1.00390625, 1.01171875, np.inf, np.nan], np.float32)
    back = from_bytes(BF16, memoryview(to_bytes(BF16, numbers)), 4)
    assert list(back[:3]) == [1.0, 1.015625, np.inf]
    assert np.isnan(back[3])
