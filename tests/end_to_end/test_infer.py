"""V2: the Open Inference Protocol and MLRun's loose form, for a model and for a graph."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from llm.testing import Hang, Json
from llm.testing.upstream import answer
from tests.serving import serving_upstream

TENSOR: dict[str, Any] = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}


async def test_the_loose_form() -> None:
    """Texts in, texts out, each a run of its own; the client's id is echoed, or there is one."""
    async with serving_upstream(answer("A"), answer("A")) as (gateway, upstream):
        status, _, body = await gateway.post("/v2/models/up/infer", {"id": "mine", "inputs": ["a", "b"]})
    assert status == 200
    assert (body["id"], body["model_name"], body["outputs"]) == ("mine", "up", ["A", "A"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", body["timestamp"])
    asked = [received.body["messages"] for received in upstream.received]
    assert sorted(messages[0]["content"] for messages in asked) == ["a", "b"]


async def test_the_order_of_outputs_is_that_of_inputs() -> None:
    """However the runs end, each answer stands where its input stood."""
    async with serving_upstream(*(answer(str(index)) for index in range(5))) as (gateway, upstream):
        _, _, body = await gateway.post("/v2/models/up/infer", {"inputs": list("abcde")})
    served = {received.body["messages"][0]["content"]: str(index) for index, received in enumerate(upstream.received)}
    assert body["outputs"] == [served[text] for text in "abcde"]
    assert body["id"]


async def test_the_open_inference_protocol() -> None:
    """A BYTES tensor in, one out; an id only if the client gave one; shape and data nested or flat."""
    async with serving_upstream(*[answer("A")] * 4) as (gateway, _):
        _, _, flat = await gateway.post("/v2/models/up/infer", {"id": "7", "inputs": [TENSOR]})
        nested = {**TENSOR, "shape": [1, 2], "data": [["a", "b"]]}
        _, _, body = await gateway.post("/v2/models/up/infer", {"inputs": [nested]})
    output = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["A", "A"]}
    assert flat == {"model_name": "up", "id": "7", "outputs": [output]}
    assert body == {"model_name": "up", "outputs": [output]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'Expected key "inputs" in request body'),
        ([], "must be a JSON object"),
        ({"inputs": "a"}, "must be a list"),
        ({"inputs": []}, "at least one element"),
        ({"inputs": [1]}, "must be texts, or BYTES tensors"),
        ({"inputs": ["a", TENSOR]}, "no mixture"),
        ({"inputs": [{"name": "text"}]}, "or tensors with name, shape, datatype and data"),
        ({"inputs": [{}, "a"]}, "no mixture"),
        ({"inputs": [TENSOR, TENSOR]}, "two inputs have the same name"),
        ({"inputs": [TENSOR, {**TENSOR, "name": "b"}]}, "one input tensor is expected, and there are 2"),
        ({"inputs": [{**TENSOR, "datatype": "INT8", "data": [1, 2]}]}, "datatype INT8; BYTES is expected"),
        ({"inputs": [{**TENSOR, "datatype": "STRING"}]}, "datatype STRING is not known; there are BOOL"),
        ({"inputs": [{**TENSOR, "parameters": {"binary_data_size": 3}}]}, "needs the header"),
        ({"inputs": [{**TENSOR, "parameters": {"shared_memory_region": "x"}}]}, "shared_memory_region is not served"),
        ({"inputs": [TENSOR], "parameters": {"temperature": "hot"}}, "Invalid type for 'temperature'"),
        ({"inputs": [TENSOR], "parameters": {"messages": "x"}}, "'messages' is no parameter"),
        ({"inputs": [TENSOR], "parameters": {"stop": ["x"]}}, "strings, numbers and booleans"),
        ({"inputs": [TENSOR], "outputs": [{"name": "nope"}]}, "there is no output 'nope'; there is 'text'"),
        ({"inputs": [TENSOR], "id": [1]}, "'id' must be a string"),
        ({"inputs": [{**TENSOR, "shape": [3]}]}, "shape does not match true shape of 'data' field"),
        ({"inputs": [{**TENSOR, "shape": [-2]}]}, "whole numbers from 0 on"),
        ({"inputs": [{**TENSOR, "shape": "2"}]}, "whole numbers from 0 on"),
        ({"inputs": [{**TENSOR, "data": "ab"}]}, "needs 'data', a list"),
        ({"inputs": [{**TENSOR, "data": [1, 2]}]}, "an element of BYTES must be a text"),
        ({"inputs": ["x"] * 65}, "at most 64"),
    ],
)
async def test_bad_input_names_its_fault(body: Any, message: str) -> None:
    """A 400 with a string for an error."""
    async with serving_upstream() as (gateway, _):
        status, _, refused = await gateway.post("/v2/models/up/infer", body)
    assert status == 400
    assert message in refused["error"]


async def test_the_first_failure_is_told_and_ends_the_others() -> None:
    """One failing input fails the request, with its own status; the others are cancelled."""
    async with serving_upstream(Json({"error": {}}, 429), Hang()) as (gateway, upstream):
        status, _, body = await gateway.post("/v2/models/up/infer", {"inputs": ["a", "b"]})
        await asyncio.wait_for(upstream.left.wait(), 5)
    assert (status, body) == (429, {"error": "The upstream provider limits our rate."})


@pytest.mark.parametrize("inputs", [["a"], ["a", "b"]])
async def test_a_client_that_leaves_ends_the_upstreams_work(inputs: list[str]) -> None:
    """Every run of the request is ended, the upstream sees its connections closed, and each run is recorded as left."""
    async with serving_upstream(*[Hang() for _ in inputs]) as (gateway, upstream):
        asked = asyncio.create_task(gateway.post("/v2/models/up/infer", {"inputs": inputs}))
        while len(upstream.received) < len(inputs):
            await asyncio.sleep(0)
        assert not upstream.left.is_set()
        asked.cancel()
        await asyncio.wait_for(upstream.left.wait(), 5)
        runs = await gateway.runs(len(inputs))
    assert [run["outcome"] for run in runs] == ["left"] * len(inputs)


async def test_metadata() -> None:
    """Server and model say what they are; unknown models are 404."""
    async with serving_upstream() as (gateway, _):
        _, _, server = await gateway.get("/v2")
        _, _, models = await gateway.get("/v2/models")
        _, _, slash = await gateway.get("/v2/models/")
        _, _, model = await gateway.get("/v2/models/up")
        _, _, ready = await gateway.get("/v2/models/up/ready")
        missing, _, body = await gateway.get("/v2/models/nope/ready")
    assert set(server) == {"name", "version", "extensions"}
    assert models == slash == {"models": ["up"]}
    assert (model["name"], model["inputs"][0]["datatype"]) == ("up", "BYTES")
    assert ready == {"name": "up", "ready": True}
    assert missing == 404
    assert "nope" in body["error"]
