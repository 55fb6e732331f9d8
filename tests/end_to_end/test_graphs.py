"""Graphs of one's own behind the API, and what the admin sees of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from llm.testing import ScriptedUpstream, Stream
from llm.testing.upstream import answer, choice, frame
from tests.serving import serving, serving_upstream

MESSAGES: Any = [{"role": "user", "content": "hey"}]


def own(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "build": f"tests.end_to_end.own_graphs:{name}"} for name in names]


async def test_a_graph_without_a_model_streams_to_the_sdk() -> None:
    """Whatever a responder yields becomes content: text, or an object as JSON."""
    async with serving_upstream(graphs=own("spelling", "counting")) as (gateway, _), gateway.sdk() as client:
        stream = await client.chat.completions.create(model="spelling", messages=MESSAGES, stream=True)
        letters = [chunk.choices[0].delta.content async for chunk in stream]
        whole = await client.chat.completions.create(model="spelling", messages=MESSAGES)
        counted = await client.chat.completions.create(model="counting", messages=MESSAGES)
        _, _, v2 = await gateway.post("/v2/models/spelling/infer", {"inputs": ["ab", "c"]})
    assert letters == ["", "H", "E", "Y", None]
    assert whole.choices[0].message.content == "HEY"
    assert counted.choices[0].message.content == '{"letters":3}'
    assert v2["outputs"] == ["AB", "C"]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_in_a_step_tells_nothing(stream: bool) -> None:
    """An exception of a step is a 500 without its words, its traceback or the names of files."""
    async with serving_upstream(graphs=own("failing")) as (gateway, _), gateway.sdk() as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(model="failing", messages=MESSAGES, stream=stream)
        _, _, runs = await gateway.get("/admin/runs")
    assert raised.value.status_code == 500
    for word in ("division", "secret", "Traceback", ".py"):
        assert word not in str(raised.value.body)
    record = runs["runs"][0]
    assert (record["outcome"], record["error"], record["steps"][0]["error"]) == (
        "failed",
        "ZeroDivisionError",
        "ZeroDivisionError",
    )


async def test_a_cap_is_an_error_of_its_own() -> None:
    """The client is told which cap it was, and that trying again is of no use."""
    async with serving_upstream(graphs=own("looping")) as (gateway, _), gateway.sdk() as client:
        with pytest.raises(openai.InternalServerError, match="Max iterations exceeded in step 'again'") as raised:
            await client.chat.completions.create(model="looping", messages=MESSAGES)
    assert raised.value.code == "max_iterations_exceeded"
    assert raised.value.response.headers["x-should-retry"] == "false"


async def test_a_cap_that_ends_with_the_best_draft_is_told_as_a_length() -> None:
    """The answer ends with finish_reason "length", streamed or not, and the run is recorded as limited by that cap."""
    async with serving_upstream(graphs=own("drafting")) as (gateway, _), gateway.sdk() as client:
        whole = await client.chat.completions.create(model="drafting", messages=MESSAGES)
        stream = await client.chat.completions.create(model="drafting", messages=MESSAGES, stream=True)
        chunks = [chunk.choices[0] async for chunk in stream]
        runs = await gateway.runs(2)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("a draft", "length")
    assert "".join(chunk.delta.content or "" for chunk in chunks) == "a draft"
    assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert {(run["outcome"], run["error"]) for run in runs} == {("limited", "MaxIterationsExceeded")}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_ran_out_of_tokens_is_told_as_a_length(stream: bool) -> None:
    """Its own word for that goes through a graph as it came."""
    cut = answer("Hel")
    cut.body["choices"][0]["finish_reason"] = "length"
    pieces = [*Stream.words("Hel"), frame(choice({}, finish_reason="length")), b"data: [DONE]\n\n"]
    reply = Stream(pieces) if stream else cut
    async with serving_upstream(reply, graphs=own("relay")) as (gateway, _), gateway.sdk() as client:
        if stream:
            chunks = await client.chat.completions.create(model="relay", messages=MESSAGES, stream=True)
            ends = [chunk.choices[0].finish_reason async for chunk in chunks]
        else:
            completion = await client.chat.completions.create(model="relay", messages=MESSAGES)
            ends = [completion.choices[0].finish_reason]
    assert ends[-1] == "length"


@pytest.mark.parametrize(("roles", "asked"), [({"speaker": "two"}, "upstream-two"), ({}, "upstream-one")])
async def test_a_role_is_played_by_the_model_that_the_settings_name(roles: dict[str, str], asked: str) -> None:
    """A role that they do not name is played by the default model."""
    async with ScriptedUpstream(answer("Hello")) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url}
        models = [{"name": name, "provider": "scripted", "model": f"upstream-{name}"} for name in ("one", "two")]
        graphs = [{**own("relay")[0], "models": roles}]
        async with serving(providers=[provider], models=models, graphs=graphs) as gateway:
            await gateway.post("/v1/chat/completions", {"model": "relay", "messages": MESSAGES})
    assert upstream.received[0].body["model"] == asked


async def test_steps_of_a_graph_inside_another_stand_under_it() -> None:
    """In the record of runs they are called ``outer/inner``, with what they cost; the client's usage counts it once."""
    async with serving_upstream(answer("Hello"), graphs=own("nested")) as (gateway, _):
        _, _, body = await gateway.post("/v1/chat/completions", {"model": "nested", "messages": MESSAGES})
        (run,) = await gateway.runs()
    assert body["usage"]["total_tokens"] == run["usage"]["total_tokens"] == 10
    assert [step["step"] for step in run["steps"]] == ["outer", "outer/speaker"]
    assert [usage["total_tokens"] for usage in run["steps"][1]["usage"]] == [10]


async def test_the_record_of_runs() -> None:
    """Each run stands there step by step, with what it cost, under the request id of the answer."""
    async with serving_upstream(answer("a"), Stream.of_text("b"), graphs=own("relay", "spelling")) as (gateway, _):
        body = {"model": "relay", "messages": MESSAGES}
        _, headers, _ = await gateway.post("/v1/chat/completions", body)
        async with gateway.http.post(
            f"{gateway.address}/v1/chat/completions", json={**body, "stream": True}
        ) as answered:
            await answered.read()
        await gateway.post("/v1/chat/completions", {**body, "model": "spelling"})
        _, _, listed = await gateway.get("/admin/runs?limit=2")
        status, _, first = await gateway.get(f"/admin/runs/{headers['x-request-id']}")
        missing, _, _ = await gateway.get("/admin/runs/req_nope")
        bad, _, refused = await gateway.get("/admin/runs?limit=0")
    assert [run["graph"] for run in listed["runs"]] == ["spelling", "relay"]
    assert listed["runs"][1]["streamed"]
    assert (status, missing, bad) == (200, 404, 400)
    assert refused["error"]["type"] == "invalid_request_error"
    assert (first["graph"], first["outcome"], first["caller"]) == ("relay", "answered", "local")
    assert 0 <= first["seconds_to_first_chunk"] <= first["seconds"]
    step = first["steps"][0]
    assert (step["step"], step["error"]) == ("speaker", None)
    cost = {"source": "real", "usd": None, "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert step["usage"] == [{"model": "up", **cost}]
    assert first["usage"]["total_tokens"] == 10
    assert "hey" not in str(first)


async def test_what_the_admin_sees_of_graphs() -> None:
    """Every model name is a graph: its steps, its drawing, and the verdict on its stream."""
    async with serving_upstream(graphs=own("spelling", "counting")) as (gateway, _):
        _, _, listed = await gateway.get("/admin/graphs")
        _, _, one = await gateway.get("/admin/graphs/spelling")
        missing, _, _ = await gateway.get("/admin/graphs/nope")
    assert {graph["name"]: graph["streaming"]["kind"] for graph in listed["graphs"]} == {
        "up": "live",
        "spelling": "live",
        "counting": "whole",
    }
    assert one["steps"] == ["spell", "upper"]
    assert one["mermaid"].startswith("flowchart LR")
    assert one["streaming"]["because"].startswith("spell → upper streams")
    assert missing == 404


async def test_models_say_what_they_are() -> None:
    """The list of models has graphs in it, and each can be retrieved, by an encoded name too."""
    tree = {"models": [{"name": "a/b", "provider": "mini"}], "graphs": own("spelling")}
    catalog = Catalog.of(Settings.model_validate(tree))
    assert [(served.name, served.kind) for served in catalog] == [("a/b", "model"), ("spelling", "graph")]
    async with serving_upstream(graphs=own("spelling")) as (gateway, _), gateway.sdk() as client:
        models = [model async for model in client.models.list()]
        one = await client.models.retrieve("spelling")
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("not/here")
    assert [model.id for model in models] == ["up", "spelling"]
    assert (one.object, one.owned_by) == ("model", "penstock")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("tests.end_to_end.own_graphs:not_a_flow", "graph 'g': .*returned a str, not a Flow"),
        ("tests.end_to_end.own_graphs:nope", "graph 'g': .*nope"),
        ("tests.no_such_module:build", "graph 'g': No module named 'tests.no_such_module'"),
        ("tests.end_to_end.own_graphs:wrong", "graph 'g': Streaming on top of streaming is not allowed"),
    ],
)
def test_a_graph_that_cannot_be_built_stops_the_start(build: str, message: str) -> None:
    """The error names the graph and what is wrong with it, before anything is served."""
    settings = Settings.model_validate({"graphs": [{"name": "g", "build": build}]})
    with pytest.raises(InvalidSettings, match=message):
        Catalog.of(settings)


def test_prompts_of_ones_own_that_are_wrong_stop_the_start(tmp_path: Any) -> None:
    """So does a broken prompt file, by its name."""
    (tmp_path / "bad.toml").write_text('prompt_template = [{role = "wizard", content = "x"}]')
    settings = Settings.model_validate({"prompts": {"path": tmp_path}})
    with pytest.raises(InvalidSettings, match=r"^prompts: [^:]*bad\.toml:1: .*role is 'wizard'"):
        Catalog.of(settings)


async def test_a_graph_may_be_a_yaml_file(tmp_path: Path) -> None:
    """Steps by their names, models and prompts by their roles; served like any other."""
    path = tmp_path / "answers.yaml"
    path.write_text("""
steps:
  speaker:
    class_name: graph.steps.responder:ResponderStep
    class_args: {model: {$llm: {role: speaker, prompt: writer}}}
    respond: true
""")
    async with serving_upstream(answer("Hello"), graphs=[{"name": "own", "file": str(path)}]) as (gateway, upstream):
        status, _, body = await gateway.post("/v1/chat/completions", {"model": "own", "messages": MESSAGES})
        _, _, shown = await gateway.get("/admin/graphs/own")
    assert (status, body["choices"][0]["message"]["content"]) == (200, "Hello")
    assert upstream.received[0].body["messages"][0]["content"].startswith("You write short, polite answers.")
    assert shown["steps"] == ["speaker"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "the file holds no graph"),
        ("a: b: c", "mapping values are not allowed"),
        (
            "steps: {a: {class_name: 'no.such:Thing'}}",
            "graph 'g': step 'a' of flow 'graph': 'no.such:Thing' cannot be found",
        ),
        (
            "steps: {a: {class_name: 'graph:Merge', class_args: {into: {$llm: {role: x, prompt: nope}}}}}",
            "no prompt 'nope'",
        ),
    ],
)
def test_a_graph_file_that_cannot_be_used_stops_the_start(tmp_path: Path, text: str, message: str) -> None:
    """The error names the graph, and in it the step."""
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    settings = Settings.model_validate({"graphs": [{"name": "g", "file": path}]})
    with pytest.raises(InvalidSettings, match=message):
        Catalog.of(settings)


@pytest.mark.parametrize("entry", [{"name": "g"}, {"name": "g", "build": "a:b", "file": "c"}])
def test_a_graph_comes_from_a_function_or_from_a_file(entry: dict[str, str]) -> None:
    """Neither and both are refused."""
    with pytest.raises(ValueError, match="graph 'g' needs either build or file"):
        Settings.model_validate({"graphs": [entry]})
