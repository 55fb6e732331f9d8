"""Requests in tensors: whatever comes is a request, or refused as one that is wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.edge.body import parsed
from gateway.endpoints.v2.elements import DATATYPES
from gateway.endpoints.v2.framing import OPTIONS, split
from gateway.endpoints.v2.outputs import tensors_of
from gateway.endpoints.v2.request import InferRequest, is_in_tensors
from gateway.errors import InvalidBody

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
anything = st.recursive(scalars, lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=3))
parameters = st.fixed_dictionaries(
    {}, optional={"binary_data_size": st.integers(-1, 9) | scalars, "binary_data": scalars, "x": anything}
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from("abc") | anything,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | anything,
        "datatype": st.sampled_from(DATATYPES) | anything,
    },
    optional={"data": anything, "parameters": parameters | anything},
)
bodies = st.fixed_dictionaries(
    {"inputs": st.lists(tensors | anything, max_size=3) | anything},
    optional={
        "id": anything,
        "parameters": st.dictionaries(st.just("binary_data_output") | st.text(), scalars) | anything,
        "outputs": st.lists(st.fixed_dictionaries({}, optional={"name": anything, "parameters": parameters}))
        | anything,
    },
)


@settings(max_examples=300)
@given(bodies, st.none() | st.binary(max_size=12))
def test_any_body_is_a_request_or_refused(body: Any, raw: bytes | None) -> None:
    """Nothing but InvalidBody is raised; and what is a request can be given to a model."""
    with suppress(InvalidBody):
        view = None if raw is None else memoryview(raw)
        if is_in_tensors(body, view):
            for tensor in InferRequest.of(body, view).inputs.values():
                tensor.rows()
                assert tensor.array().shape == tensor.shape


@given(st.binary(max_size=40), st.none() | st.text(max_size=4))
def test_any_frame_is_cut_or_refused(body: bytes, length: str | None) -> None:
    """Whatever the header says."""
    with suppress(InvalidBody):
        document, raw = split(body, length)
        assert document + bytes(raw or b"") == body
        parsed(document)


@given(anything)
def test_whatever_a_model_returns_can_be_sent(outputs: Any) -> None:
    """Each output has as many elements as its shape says, in JSON."""
    for tensor in tensors_of(outputs):
        assert tensor.array().size == len(orjson.loads(orjson.dumps(tensor.elements, option=OPTIONS)))


INPUT = {"name": "x", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}
JSON = {"name": "y", "shape": [1], "datatype": "INT8", "data": [7]}


def test_json_and_binary_may_be_mixed() -> None:
    """The blobs are those of the inputs that say so, in their order."""
    body = {"inputs": [INPUT, JSON, {**INPUT, "name": "z"}]}
    request = InferRequest.of(body, memoryview(b"\x01\x02\x03\x04"))
    assert {name: tensor.rows() for name, tensor in request.inputs.items()} == {"x": [1, 2], "y": [7], "z": [3, 4]}


@pytest.mark.parametrize(
    ("all_binary", "one", "expected"), [(True, None, True), (True, False, False), (False, True, True)]
)
def test_what_is_said_of_an_output_goes_before_what_is_said_of_all(all_binary: bool, one: Any, expected: bool) -> None:
    """binary_data beats binary_data_output."""
    said = {} if one is None else {"parameters": {"binary_data": one}}
    body = {
        "inputs": [JSON],
        "parameters": {"binary_data_output": all_binary},
        "outputs": [{"name": "o", **said}],
    }
    assert InferRequest.of(body, None).is_binary("o") is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputs": [JSON]}, True),
        ({"inputs": [1, [2]]}, False),
        ({"inputs": ["a"]}, False),
        ({"inputs": [[{"x": 1}]]}, False),
        ({}, False),
    ],
)
def test_the_two_forms_are_told_apart(body: dict[str, Any], expected: bool) -> None:
    """All tensors, or no object at all; without inputs it is for the model to say what is missing."""
    assert is_in_tensors(body, None) is expected


@pytest.mark.parametrize("inputs", [[], None, {}, "x", [JSON, 1], [{}], [{"name": "x", "shape": [1]}], [JSON, {}]])
def test_what_is_in_neither_form_is_refused(inputs: Any) -> None:
    """A mixture, objects that are no tensors, and nothing."""
    with pytest.raises(InvalidBody):
        is_in_tensors({"inputs": inputs}, None)


@pytest.mark.parametrize("inputs", [None, ["a"], [1]])
def test_binary_data_is_of_tensors(inputs: Any) -> None:
    """With the header a request is one in tensors."""
    with pytest.raises(InvalidBody):
        is_in_tensors({"inputs": inputs}, memoryview(b""))
