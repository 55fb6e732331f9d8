"""Tensors: their shapes, and what they are in Python."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.endpoints.v2.tensor import MAX_LISTED, Tensor
from gateway.errors import InvalidBody


def of(shape: Any, data: Any, datatype: Any = "INT32", name: Any = "x") -> Tensor:
    return Tensor.of({"name": name, "shape": shape, "datatype": datatype, "data": data}, None)


@pytest.mark.parametrize(
    ("shape", "data", "rows"),
    [
        ([2, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]),
        ([2, 2], [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([1, 2, 1], [[[1], [2]]], [[[1], [2]]]),
        ([0], [], []),
        ([2, 0], [], [[], []]),
        ([], [7], [7]),
    ],
)
def test_data_is_flat_or_nested(shape: list[int], data: list[Any], rows: list[Any]) -> None:
    """Both are the same tensor; its rows are plain lists of plain numbers."""
    tensor = of(shape, data)
    assert tensor.rows() == rows
    assert tensor.array().shape == tuple(shape)
    assert of(shape, [str(number) for number in tensor.array().reshape(-1)], "BYTES").array().shape == tuple(shape)


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        ([3], [1, 2], "shape does not match true shape of 'data' field"),
        ([2**40, 2**40], [], "fewer than 2"),
        ([0, 2**62], [], "fewer than 2"),
        ([1] * 9, [1], "at most 8 dimensions"),
        ([-1], [1], "whole numbers from 0 on"),
        ([True], [1], "whole numbers from 0 on"),
        ([1.0], [1], "whole numbers from 0 on"),
        ("1", [1], "whole numbers from 0 on"),
        ([1], None, "needs 'data'"),
        ([1], {"a": 1}, "needs 'data'"),
        ([1], [{}], "an element is no INT32"),
    ],
)
def test_a_shape_that_does_not_hold_is_refused(shape: Any, data: Any, message: str) -> None:
    """However large its sizes are; the message names the input."""
    with pytest.raises(InvalidBody, match=f"input 'x': .*{message}"):
        of(shape, data)


@pytest.mark.parametrize(("datatype", "name"), [([], "x"), ("fp32", "x"), (None, "x"), ("INT32", 1), ("INT32", [])])
def test_names_and_datatypes_are_checked(datatype: Any, name: Any) -> None:
    """They are texts, the datatype one that there is."""
    with pytest.raises(InvalidBody):
        of([1], [1], datatype, name)


def test_a_tensor_does_not_become_endless_lists() -> None:
    """A shape may be large although nothing is in it; its rows are refused, its array is not."""
    tensor = of([MAX_LISTED + 1, 0], [])
    assert tensor.array().size == 0
    with pytest.raises(InvalidBody, match="send it in parts"):
        tensor.rows()


def test_deep_data_is_flattened_without_recursion() -> None:
    """As deep as JSON may be."""
    data: Any = [1]
    for _ in range(5000):
        data = [data]
    assert of([1], data).rows() == [1]
