"""What is served: which model plays which role, and that everything that was opened is closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Deployed, Served
from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from gateway.job import started
from graph import Flow
from llm import ChatChunk, ChatRequest, Model, collect
from llm.testing import COMPLETIONS, RESPONSES, ScriptedUpstream

RELAY = "tests.end_to_end.own_graphs:relay"
FAR = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}


def catalog(**graph: Any) -> Catalog:
    models = [{"name": "one", "provider": "far"}, {"name": "two", "provider": "far"}]
    tree = {"providers": [FAR], "models": models, "graphs": [{"name": "g", **graph}]}
    return Catalog.of(Settings.model_validate(tree))


@pytest.mark.parametrize(
    ("build", "roles"),
    [(RELAY, "speaker"), ("tests.end_to_end.own_graphs:spelling", "none")],
)
def test_a_role_that_the_graph_does_not_have_stops_the_start(build: str, roles: str) -> None:
    """A misspelt role would silently get the default model; the error names the graph, the role and those there are."""
    with pytest.raises(InvalidSettings, match=f"graph 'g': models: it has no role 'speekr'; it has: {roles}$"):
        catalog(build=build, models={"speekr": "two"})


@pytest.mark.parametrize(
    ("agent", "roles"),
    [("trip_planner", ("router", "judge", "responder")), ("reviewed_answer", ("writer", "judge"))],
)
def test_the_roles_of_the_agents_that_ship(agent: str, roles: tuple[str, ...]) -> None:
    """Each may have a model of its own."""
    catalog(build=f"graph.agents.{agent}:build", models=dict.fromkeys(roles, "two"))


async def test_the_apis_of_an_openai_provider() -> None:
    """Chats go to the one that its row names, raw prompts to the legacy one where the upstream has it."""
    async with ScriptedUpstream(RESPONSES.answer("a"), COMPLETIONS.answer("b")) as upstream:
        row = {"name": "far", "kind": "openai", "base_url": upstream.base_url, "api": "responses", "completions": True}
        tree = {"providers": [row], "models": [{"name": "one", "provider": "far"}]}
        built = Catalog.of(Settings.model_validate(tree))
        model = Model("one", built.providers["far"], "one")
        for request in (ChatRequest.of_text("one", "hi"), ChatRequest.of_prompt("one", "hi")):
            await collect(model.stream(request))
        await built.close()
    assert [sent.path for sent in upstream.received] == ["/v1/responses", "/v1/completions"]


def test_faulty_prompts_leave_those_in_force_and_stand_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An agent's prompt may change while it is served, but not into one that its step cannot fill."""
    prompt = "[[prompt_template]]\nrole = 'system'\ncontent = 'Choose: {{ labels }}'\n"
    path = tmp_path / "router.toml"
    path.write_text(prompt)
    models = [{"name": "one", "provider": "far"}]
    graphs = [{"name": "g", "build": "graph.agents.trip_planner:build"}]
    tree = {"providers": [FAR], "models": models, "graphs": graphs, "prompts": {"path": tmp_path}}
    built = Catalog.of(Settings.model_validate(tree))
    path.write_text(prompt.replace("labels", "topics"))
    assert not built.prompts.refresh()
    path.write_text(prompt.replace("Choose", "Now choose"))
    assert built.prompts.refresh()
    refused, reloaded = map(orjson.loads, capfd.readouterr().err.splitlines())
    assert (refused["event"], refused["level"]) == ("prompts_refused", "warning")
    assert refused["because"] == f"{path}: prompt 'router' needs 'topics'; here labels can be used"
    assert (reloaded["event"], reloaded["level"]) == ("prompts_reloaded", "info")
    assert built.prompts["router"].render({"labels": "a"})[0]["content"] == "Now choose: a"


class Provider:
    """A provider that says what is done with it, and perhaps cannot be started or closed."""

    compares = True

    def __init__(self, name: str, told: list[str], *, closes: bool = True, starts: bool = True) -> None:
        self.name, self.told, self.closes, self.starts = name, told, closes, starts

    async def start(self) -> None:
        self.told.append(f"{self.name} starts")
        if not self.starts:
            raise OSError(f"{self.name} will not start")

    async def close(self) -> None:
        self.told.append(f"{self.name} closes")
        if not self.closes:
            raise OSError(f"{self.name} will not close")

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        yield ChatChunk()


async def test_providers_are_closed_at_the_end() -> None:
    """All of them, after what was done with them."""
    told: list[str] = []
    async with started(Catalog({}, {name: Provider(name, told) for name in "ab"})):
        assert told == ["a starts", "b starts"]
    assert sorted(told[2:]) == ["a closes", "b closes"]


async def test_a_provider_that_will_not_start_leaves_none_open() -> None:
    """Those that did start are closed."""
    told: list[str] = []
    providers = {"a": Provider("a", told), "b": Provider("b", told, starts=False)}
    with pytest.raises(OSError, match="b will not start"):
        async with started(Catalog({}, providers)):
            pass
    assert "a closes" in told


async def test_what_will_not_close_keeps_nothing_else_open() -> None:
    """Neither a provider nor a flow; the error is told all the same."""
    told: list[str] = []

    class Stuck(Flow):
        def close(self) -> None:
            told.append("flow closes")
            raise OSError("the flow will not close")

    served = {"g": Deployed.of(Served("g", "graph", Stuck("g"), "penstock", "", 0))}
    providers = {name: Provider(name, told, closes=name != "b") for name in "abc"}
    with pytest.raises(OSError, match="will not close"):
        await Catalog(served, providers).close()
    assert told[0] == "flow closes"
    assert sorted(told[1:]) == ["a closes", "b closes", "c closes"]
