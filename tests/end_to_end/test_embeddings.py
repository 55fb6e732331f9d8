"""/v1/embeddings through the official SDK, over the embedded model, a real upstream and a graph."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

from graph import Flow
from graph.parts import Parts
from graph.steps.embedding import EmbeddingStep
from llm import Embeddings
from llm.testing import Json, ScriptedUpstream
from llm.testing.upstream import Hang
from tests.serving import serving, serving_upstream

UPSTREAM = Json(
    {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 1, "embedding": [0.0, 1.0]},
            {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]},
        ],
        "model": "upstream-model",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
)
TAKEN = [
    ({"model": "penstock-demo"}, "input", "missing_required_parameter"),
    ({"model": "penstock-demo", "input": 5}, "input", "invalid_type"),
    ({"model": "penstock-demo", "input": []}, "input", "empty_array"),
    ({"model": "penstock-demo", "input": ""}, "input", "invalid_value"),
    ({"model": "penstock-demo", "input": ["a", ""]}, "input", "invalid_value"),
    ({"model": "penstock-demo", "input": ["a", 1]}, "input[1]", "invalid_type"),
    ({"model": "penstock-demo", "input": [[1, "a"]]}, "input[0][1]", "invalid_type"),
    ({"model": "penstock-demo", "input": [[True]]}, "input[0][0]", "invalid_type"),
    ({"model": "penstock-demo", "input": [-1]}, "input[0][0]", "integer_below_min_value"),
    ({"model": "penstock-demo", "input": [100256]}, "input", "invalid_value"),
    ({"model": "penstock-demo", "input": ["a"] * 2049}, "input", "array_above_max_length"),
    ({"model": "penstock-demo", "input": "a", "encoding_format": "hex"}, "encoding_format", "invalid_value"),
    ({"model": "penstock-demo", "input": "a", "dimensions": 0}, "dimensions", "integer_below_min_value"),
    ({"model": "penstock-demo", "input": "a", "dimensions": 3}, "dimensions", "unsupported_parameter"),
    ({"model": "penstock-demo", "input": "a", "user": 1}, "user", "invalid_type"),
    ({"model": "penstock-demo", "input": "word " * 9000}, "input", "context_length_exceeded"),
    ({"model": "trip-planner", "input": "a"}, "model", "unsupported_value"),
    ({"input": "a"}, None, None),
]


def doubled(parts: Parts) -> Flow:
    """A graph that embeds, and makes vectors twice as long of what comes."""
    flow = Flow("doubled")
    embed = flow.to(EmbeddingStep(parts.default), name="embed")
    embed.to(double, name="double").respond()
    return flow


def double(made: Embeddings) -> Embeddings:
    """Vectors of twice the length."""
    return Embeddings([[2 * number for number in vector] for vector in made.vectors], made.usage)


async def test_the_embedded_model_embeds() -> None:
    """Vectors have length 1, like texts lie nearer than unlike ones, base64 and numbers are the same, the run is
    recorded with its tokens."""
    async with serving() as gateway, gateway.sdk() as client:
        texts = ["weather in Lisbon in May", "weather in Porto in May", "my share of the stock market"]
        made = await client.embeddings.create(model="penstock-demo", input=texts)
        plain = await client.embeddings.create(model="penstock-demo", input=texts[0], encoding_format="float")
        (last, _) = await gateway.runs(2)
    one, like, unlike = (row.embedding for row in made.data)
    assert math.isclose(math.dist(one, [0.0] * len(one)), 1.0, rel_tol=1e-5)
    assert math.dist(one, like) < math.dist(one, unlike)
    assert plain.data[0].embedding == pytest.approx(one, abs=1e-6)
    assert made.usage.total_tokens == made.usage.prompt_tokens > 12
    assert last["usage"]["total_tokens"] == plain.usage.total_tokens
    assert (last["usage"]["source"], last["steps"][0]["step"]) == ("real", "embedding")


async def test_token_ids_of_clients_are_texts_to_the_embedded_model() -> None:
    """Clients that send ids know no vocabulary but cl100k_base; the vector is that of the text."""
    async with serving() as gateway, gateway.sdk() as client:
        made = await client.embeddings.create(model="penstock-demo", input=[[15561, 304, 81801], [15339]])
        texts = await client.embeddings.create(model="penstock-demo", input=["weather in Lisbon", "hello"])
    assert [row.embedding for row in made.data] == [row.embedding for row in texts.data]
    assert made.usage == texts.usage


async def test_an_upstream_embeds() -> None:
    """Dimensions and user go upstream, with its model name; numbers are asked for, whatever the client reads."""
    async with serving_upstream(UPSTREAM, UPSTREAM) as (gateway, upstream), gateway.sdk() as client:
        made = await client.embeddings.create(model="up", input=["a", "b"], dimensions=2, user="me")
        ids = await client.embeddings.create(model="up", input=[[1, 2], [3]], encoding_format="float")
    assert [row.embedding for row in made.data] == [[0.5, 0.25], [0.0, 1.0]]
    assert (made.model, made.usage.total_tokens, ids.data[1].embedding) == ("up", 4, [0.0, 1.0])
    first, second = (sent.body for sent in upstream.received)
    expected = {"model": "upstream-model", "input": ["a", "b"], "dimensions": 2, "user": "me"}
    assert first == {**expected, "encoding_format": "float"}
    assert second["input"] == [[1, 2], [3]]


async def test_a_graph_embeds() -> None:
    """A graph that says so in the settings is given the texts and answers vectors."""
    graphs = [{"name": "doubled", "build": "tests.end_to_end.test_embeddings:doubled", "embeddings": True}]
    async with serving(graphs=graphs) as gateway, gateway.sdk() as client:
        made = await client.embeddings.create(model="doubled", input="weather")
    (row,) = made.data
    assert math.isclose(math.dist(row.embedding, [0.0] * len(row.embedding)), 2.0, rel_tol=1e-5)


async def test_tokens_that_the_upstream_does_not_report_are_counted() -> None:
    """The usage is then marked as estimated, token ids count one each."""
    silent = Json({"data": [{"index": 0, "embedding": [1.0]}]})
    async with serving_upstream(silent, silent) as (gateway, _):
        _, _, text = await gateway.post("/v1/embeddings", {"model": "up", "input": "some words"})
        _, _, ids = await gateway.post("/v1/embeddings", {"model": "up", "input": [5, 6, 7]})
    assert (text["usage"]["estimated"], text["usage"]["prompt_tokens"] > 0) == (True, True)
    assert ids["usage"] == {"prompt_tokens": 3, "total_tokens": 3, "estimated": True}


@pytest.mark.parametrize(("body", "param", "code"), TAKEN)
async def test_what_is_wrong_is_named(body: Any, param: str | None, code: str | None) -> None:
    """A body that is wrong gets a 400 that names the member and says what is the matter with it."""
    async with serving() as gateway:
        status, _, answer = await gateway.post("/v1/embeddings", body)
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, param, code)


async def test_failures_of_the_upstream() -> None:
    """Too few vectors are no answer, and a refusal keeps its status and code."""
    refused = Json(
        {"error": {"message": "too many", "type": "invalid_request_error", "code": "x", "param": "input"}}, 400
    )
    async with serving_upstream(UPSTREAM, refused) as (gateway, _), gateway.sdk() as client:
        with pytest.raises(openai.InternalServerError) as garbled:
            await client.embeddings.create(model="up", input=["only one"])
        with pytest.raises(openai.BadRequestError) as error:
            await client.embeddings.create(model="up", input="b")
    assert (garbled.value.status_code, garbled.value.code) == (502, "upstream_garbled")
    assert (error.value.code, error.value.param) == ("x", "input")


@pytest.mark.parametrize("routing", [{}, {"routing": {"retries": 0}}], ids=["plain", "routed"])
async def test_a_call_that_may_have_been_made_is_counted(routing: dict[str, Any]) -> None:
    """Its provider has not said what it costs: that is estimated, and no money is not nothing."""
    async with ScriptedUpstream(Hang()) as upstream:
        provider = {"name": "far", "kind": "openai", "base_url": upstream.base_url, "total_seconds": 0.2}
        model = {"name": "up", "provider": "far", **routing}
        async with serving(providers=[provider], models=[model], graphs=[]) as gateway:
            status, _, _ = await gateway.post("/v1/embeddings", {"model": "up", "input": "twelve signs"})
            (run,) = await gateway.runs()
    assert status == 504
    assert (run["usage"]["source"], run["usage"]["prompt_tokens"], run["usage"]["usd"]) == ("estimated", 3, None)
