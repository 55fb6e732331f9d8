"""Nothing is lost and nothing is added: steps, run, client and record say the same, in tokens and in money."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gateway.catalog.catalog import Catalog
from gateway.config import Settings, load
from gateway.config.faults import InvalidSettings
from graph import Choice, Event, Flow, Merge
from graph.parts import Parts
from graph.steps.model_call import listen
from graph.steps.responder import ResponderStep
from llm import Model, Price, Usage, collect
from llm.testing import Cut, Hang, Json, ScriptedUpstream, Stream
from llm.testing.upstream import Piece, Reply, choice, frame
from tests.serving import Gateway, serving

MESSAGES = [{"role": "user", "content": "hi"}]
PRICE = {"input": 2.0, "output": 8.0, "cached": 0.5}


class Asks:
    """A step that asks a model, and leaves the body as it was."""

    full_event = True

    def __init__(self, model: Model) -> None:
        self.model = model

    async def do(self, event: Event) -> None:
        event.body.stream = True  # as the upstream's script is one of streams
        await collect(listen(self.model, event.body, event))


class Again(Choice):
    """Goes back once."""

    def select_outlets(self, event: Event) -> str:
        event.own_notes["visits"] = event.own_notes.get("visits", 0) + 1
        return "asks" if event.own_notes["visits"] < 2 else "both"

    full_event = True


def busy(parts: Parts) -> Flow:
    """Asks twice in a cycle, twice side by side, once of them in a flow of its own, all tried again; then answers."""
    model = parts.model("any")
    inner = Flow("inner")
    inner.to(Asks(model), name="asks", retries=1, backoff=0.001).respond()
    flow = Flow("busy", allow_cyclic=True, max_iterations=3)
    again = flow.to(Asks(model), name="asks", retries=2, backoff=0.001).to(Again(), name="again").cycle_to("asks")
    both = again.to(lambda body: body, name="both")
    both.to(Asks(model), name="beside", retries=1, backoff=0.001)
    both.to(inner, name="inside")
    answer = flow.to(Merge(lambda bodies: bodies[0]), name="joins", after=["beside", "inside"])
    answer.to(ResponderStep(model), name="answers").respond()
    return flow


def capped(parts: Parts) -> Flow:
    """An answer that may cost a tenth of a cent."""
    flow = Flow("capped", max_usd=0.001)
    flow.to(ResponderStep(parts.model("any")), name="answers").respond()
    return flow


def sneaking(parts: Parts) -> Flow:
    """The same with the default model, asked for behind the settings' back."""
    flow = Flow("sneaking", max_usd=0.001)
    flow.to(ResponderStep(parts.default), name="answers").respond()
    return flow


@dataclass(frozen=True)
class Call:
    """What the upstream does with one request."""

    kind: str
    usage: tuple[int, int, int]

    def reply(self) -> Reply:
        asked, answered, cached = self.usage
        words, end = Stream.words("some ", "words"), frame(choice({}, finish_reason="stop"))
        wire = {
            "prompt_tokens": asked + cached,
            "completion_tokens": answered,
            "total_tokens": asked + cached + answered,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        counted: list[Piece] = [frame(choice({})), frame({**choice({}), "choices": [], "usage": wire})]
        others: dict[str, Reply] = {
            "refused": Json({"error": {"message": "no"}}, status=400),
            "busy": Json({"error": {"message": "later"}}, status=503),
            "cut": Stream([*words, Cut()]),
            "cut at once": Stream([Cut()]),
            "uncounted": Stream([*words, end, b"data: [DONE]\n\n"]),
            "hangs": Stream([*words, Hang()]),
            "hangs at once": Hang(),
        }
        return others.get(self.kind, Stream([*words, end, *counted, b"data: [DONE]\n\n"]))


NUMBERS = some.tuples(*[some.integers(0, 10**6)] * 3)
KINDS = some.sampled_from(["counted"] * 9 + ["uncounted"] * 3 + ["busy", "cut", "cut at once", "refused"])
CALLS = some.lists(some.builds(Call, KINDS, NUMBERS), min_size=5, max_size=12)
LEAVES = some.none() | some.none() | some.tuples(some.integers(0, 5), some.sampled_from(["hangs", "hangs at once"]))


@given(calls=CALLS, leaves=LEAVES, stream=some.booleans(), priced=some.booleans())
@settings(max_examples=25)
def test_usage_is_conserved(calls: list[Call], leaves: tuple[int, str] | None, stream: bool, priced: bool) -> None:
    """Steps = run = what the client is told = the record = the metrics, whatever fails, is tried again, or is left."""
    asyncio.run(conserved(calls, leaves, stream, PRICE if priced else None))


async def conserved(calls: list[Call], leaves: tuple[int, str] | None, stream: bool, price: Any) -> None:
    if leaves is not None:
        calls = [*calls[: leaves[0]], Call(leaves[1], (0, 0, 0)), *calls[leaves[0] :]]
    script = [call.reply() for call in [*calls, *[Call("counted", (1, 2, 3))] * 10]]
    async with ScriptedUpstream(*script) as upstream, gateway_over(upstream, price, "busy") as gateway:
        told, run = await asked(gateway, upstream, stream, None if leaves is None else leaves[0] + 1)
        counted = await counted_by(gateway)
        upstream.script.clear()
    rows = [row for step in run["steps"] for row in step["usage"]] + run["usage_of_other_steps"]
    usages = [Usage.from_wire({name: row[name] for name in row if name not in OURS}) for row in rows]
    total = sum(usages, start=Usage())
    assert told is None or told == total.to_wire()
    assert run["usage"] == {"source": total.source, "usd": run["usage"]["usd"], **total.to_wire()}
    assert run["usage_of_other_steps"] == []
    assert (counted["prompt"], counted["completion"]) == (total.prompt_tokens, total.completion_tokens)
    assert counted["cached"] == total.cached_tokens
    assert counted["usd"] == pytest.approx(run["usage"]["usd"] or 0)
    if price is None:
        assert {row["usd"] for row in rows} <= {None}
        assert run["usage"]["usd"] == (None if rows else 0)
    else:
        assert [row["usd"] for row in rows] == [pytest.approx(Price(**price).usd(usage)) for usage in usages]
        assert run["usage"]["usd"] == pytest.approx(sum(row["usd"] for row in rows))
    if run["outcome"] == "answered":
        made = calls[: len(upstream.received)] + [Call("counted", (1, 2, 3))] * (len(upstream.received) - len(calls))
        real = sorted(usage.to_wire()["prompt_tokens"] for usage in usages if not usage.estimated)
        assert real == sorted(call.usage[0] + call.usage[2] for call in made if call.kind == "counted")
        counted_here = sum(call.kind in ("uncounted", "cut") for call in made)
        at_once = sum(call.kind == "cut at once" for call in made)  # whose head may or may not come through the cut
        assert counted_here <= len(rows) - len(real) <= counted_here + at_once


async def counted_by(gateway: Gateway) -> dict[str, float]:
    """What the metrics say: tokens by kind, and US dollars."""
    async with gateway.http.get(f"{gateway.address}/metrics") as answer:
        text = await answer.text()
    counted: dict[str, float] = defaultdict(float)
    for name, labels, number in METRIC.findall(text):
        kind = re.search(r'kind="(\w+)"', labels)
        counted[kind[1] if name == "tokens" and kind else "usd"] += float(number)
    return counted


METRIC = re.compile(r"^penstock_(tokens|cost_usd)_total\{(.*)\} (\S+)$", re.MULTILINE)
OURS = ("source", "usd", "model", "step")


def gateway_over(upstream: ScriptedUpstream, price: Any, *graphs: str) -> Any:
    """A gateway with one model, ``up``, and graphs of this module over it."""
    return serving(**tree_of(upstream.base_url, price, *graphs))


def tree_of(base_url: str, price: Any, *graphs: str) -> dict[str, Any]:
    model = {"name": "up", "provider": "scripted", "tokenizer": "characters"}
    return {
        "providers": [{"name": "scripted", "kind": "openai", "base_url": base_url}],
        "models": [model | ({} if price is None else {"price": price})],
        "graphs": [{"name": name, "build": f"tests.end_to_end.test_usage:{name}"} for name in graphs],
    }


async def asked(
    gateway: Gateway, upstream: ScriptedUpstream, stream: bool, leaves: int | None
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What the client was told, if it stayed for it and there was an answer; and the record."""
    body = {"model": "busy", "messages": MESSAGES, "stream": stream}
    options = {"stream_options": {"include_usage": True}} if stream else {}

    async def ask() -> dict[str, Any] | None:
        address = f"{gateway.address}/v1/chat/completions"
        async with gateway.http.post(address, json={**body, **options}) as answered:
            text = await answered.read()
        if not stream:
            usage: dict[str, Any] | None = orjson.loads(text).get("usage")
            return usage
        frames = [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith(b"data: {")]
        return next((frame["usage"] for frame in frames if frame.get("usage")), None)

    task = asyncio.create_task(ask())
    while leaves is not None and not task.done() and len(upstream.received) < leaves:
        await asyncio.sleep(0)
    if leaves is not None:
        task.cancel()
    await asyncio.wait([task])
    (run,) = await gateway.runs()
    return (None if task.cancelled() else task.result()), run


@pytest.mark.parametrize("tells", [False, True], ids=["usage at the end", "usage with each chunk"])
async def test_a_cap_on_money_ends_an_answer_in_the_making(tells: bool) -> None:
    """The upstream is closed in mid stream, when what has been said costs more than is allowed; also where it tells
    with each chunk what it has cost so far, as some do unasked."""
    words = Stream.words(*["many words "] * 60)
    if tells:
        costs = [{"prompt_tokens": 1, "completion_tokens": count * 11 // 4} for count in range(1, 61)]
        words = [frame({**choice({"content": "many words "}), "usage": cost}) for cost in costs]
    async with ScriptedUpstream(Stream([*words, Hang()])) as upstream:
        async with gateway_over(upstream, PRICE, "capped") as gateway:
            body = {"model": "capped", "messages": MESSAGES, "stream": True}
            async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=body) as answered:
                text = await answered.read()
            (run,) = await gateway.runs()
        await asyncio.wait_for(upstream.left.wait(), 5)
    assert b"max_usd_exceeded" in text
    assert run["error"] == "MoneyExceeded"
    assert 0.001 < run["usage"]["usd"] < 0.0012


@pytest.mark.parametrize("price", [None, {"input": 0, "output": 0}])
def test_a_cap_on_money_needs_prices(price: Any) -> None:
    """A graph with such a cap is refused at the start when one of its models has none; 0 is one."""
    tree = Settings.model_validate(tree_of("http://127.0.0.1:9", price, "capped"))
    if price is None:
        with pytest.raises(InvalidSettings, match=r"graph 'capped': a run may cost \$0.001, and what model 'up' costs"):
            Catalog.of(tree)
    else:
        assert len(list(Catalog.of(tree))) == 2


async def test_a_model_that_the_start_could_not_see_is_refused_before_it_is_called() -> None:
    """Nothing is spent under a cap that could not hold."""
    async with ScriptedUpstream() as upstream, gateway_over(upstream, None, "sneaking") as gateway:
        status, _, body = await gateway.post("/v1/chat/completions", {"model": "sneaking", "messages": MESSAGES})
        (run,) = await gateway.runs()
    assert (status, body["error"]["code"]) == (500, "price_unknown")
    assert "give the model a price" in body["error"]["message"]
    assert (run["error"], run["usage"]["usd"]) == ("PriceUnknown", 0)


async def test_the_client_is_told_that_tokens_were_counted() -> None:
    """Where the upstream reports none; and asked for usage it was, though the client had not asked."""
    calls = [Call("uncounted", (0, 0, 0)), Call("counted", (5, 6, 7))]
    async with (
        ScriptedUpstream(*(call.reply() for call in calls)) as upstream,
        gateway_over(upstream, None) as gateway,
        gateway.sdk() as client,
    ):
        asking = client.chat.completions.create
        options = {"include_usage": True}
        told = await asking(model="up", messages=MESSAGES, stream=True, stream_options=options)
        first = [chunk async for chunk in told]
        untold = await asking(model="up", messages=MESSAGES, stream=True)
        second = [chunk async for chunk in untold]
        second_run, first_run = await gateway.runs(2)
    assert first[-1].usage.to_dict() == {
        "prompt_tokens": 1,
        "completion_tokens": 3,
        "total_tokens": 4,
        "estimated": True,
    }
    assert first_run["usage"]["source"] == "estimated"
    assert not any(chunk.usage for chunk in second)
    assert second_run["usage"]["prompt_tokens_details"] == {"cached_tokens": 7}
    assert [request.body["stream_options"] for request in upstream.received] == [{"include_usage": True}] * 2


def test_prices_are_numbers_from_0_on(tmp_path: Path) -> None:
    """Another one is a fault, with its line."""
    path = tmp_path / "penstock.yaml"
    path.write_text("models:\n  - {name: a, provider: mini, price: {input: -1, output: 2}}\ngraphs: []\n")
    with pytest.raises(InvalidSettings, match="price"):
        load(path)
