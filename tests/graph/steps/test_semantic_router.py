"""SemanticRouter: nearest examples, with embeddings that are given."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from graph import Event, Flow, InvalidInput, InvalidStep, RunError, SemanticRouter, TokensExceeded, UnknownStep
from graph.recording.tape import Recording, Replay
from llm import ChatRequest, EmbeddingRequest, Embeddings, Model, Price, Usage
from llm.testing import ScriptedProvider

WORDS = ("refund", "invoice", "pay", "crash", "error", "slow")
ROUTES = {"billing": ["I want a refund", "pay my invoice"], "support": ["it has a crash", "error error"]}


def counted(texts: list[str]) -> list[list[float]]:
    """A small embedding: how often each known word stands in the text."""
    return [[float(text.lower().split().count(word)) for word in WORDS] for text in texts]


class Provider:
    """The same, later, as an object; it counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def embed(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(texts)
        return counted(texts)


def of(router: SemanticRouter, *followers: str) -> Flow:
    flow = Flow("semantic")
    step = flow.to(router, name="route")
    for follower in followers or ("billing", "support"):
        step.to(lambda body, name=follower: name, name=follower)
    return flow


def given(made: Any, texts: list[str]) -> Any:
    return made


async def went(flow: Flow, body: Any) -> Any:
    """The notes of the router: where it went, and how near that was."""
    event = Event(body)
    await flow.run(event)
    return event.notes["route"]


async def test_the_nearest_example_decides() -> None:
    """By the cosine of the embeddings."""
    flow = of(SemanticRouter(ROUTES, counted))
    assert await went(flow, "Where is my refund") == {"route": "billing", "score": pytest.approx(1.0)}
    assert (await went(flow, "an error and a crash"))["route"] == "support"


async def test_the_examples_are_embedded_once() -> None:
    """The first event has them embedded; then each event is one text. An object with embed will do."""
    provider = Provider()
    flow = of(SemanticRouter(ROUTES, provider))
    for _ in range(2):
        await went(flow, "pay")
    examples = [text for texts in ROUTES.values() for text in texts]
    assert provider.asked == [examples, ["pay"], ["pay"]]


async def test_what_is_like_nothing_goes_to_the_default() -> None:
    """Below the threshold, also a text that has nothing in common with any."""
    router = SemanticRouter(ROUTES, counted, threshold=0.5, default="human")
    flow = of(router, "billing", "support", "human")
    assert (await went(flow, "good morning"))["route"] == "human"
    assert (await went(flow, "refund"))["route"] == "billing"


async def test_the_text_of_a_body() -> None:
    """A key, a function, or the last text of a chat request; anything else is refused."""
    assert (await went(of(SemanticRouter(ROUTES, counted, text="q")), {"q": "pay"}))["route"] == "billing"
    by_function = SemanticRouter(ROUTES, counted, text=lambda body: body["q"][0])
    assert (await went(of(by_function), {"q": ["crash"]}))["route"] == "support"
    assert (await went(of(SemanticRouter(ROUTES, counted)), ChatRequest.of_text("m", "crash")))["route"] == "support"
    with pytest.raises(InvalidInput, match="the text to compare is a dict; say by text="):
        await went(of(SemanticRouter(ROUTES, counted)), {"q": "pay"})


async def test_embeddings_that_are_none() -> None:
    """Too few vectors, of different lengths, not finite, or other lengths than before."""
    for made, message in (
        ([[1.0]], "must be 4 vectors of finite numbers; they have the shape"),
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], "are no vectors of one length"),
        ([[float("nan")]] * 4, "must be 4 vectors of finite numbers"),
    ):
        with pytest.raises(RunError, match=message):
            await went(of(SemanticRouter(ROUTES, partial(given, made))), "pay")
    with pytest.raises(RunError, match="the examples have vectors of 4, and the text one of 1"):
        await went(of(SemanticRouter(ROUTES, lambda texts: [[1.0] * len(texts)] * len(texts))), "pay")


async def test_a_replay_asks_nobody_for_the_text() -> None:
    """The vector of the text goes over the tape."""
    provider = Provider()
    flow = of(SemanticRouter(ROUTES, provider))
    event, tape = Event("pay", id="e"), Recording()
    event.tape = tape
    await flow.run(event)
    again = Event("pay", id="e")
    again.tape = Replay(tape.entries, tape.steps)
    await flow.run(again)
    assert again.notes == event.notes
    assert len(provider.asked) == 2


class Embeds(ScriptedProvider):
    """A provider that embeds, at one token a text; it counts how often it was asked."""

    asked = 0

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        self.asked += 1
        return Embeddings(counted([str(text) for text in request.inputs]), Usage.of(len(request.inputs), 0))


async def test_a_model_embeds_at_the_cost_of_the_run() -> None:
    """The run that comes first pays for the examples too; the price is the model's, and caps hold."""
    model = Model("m", Embeds.of(), "theirs", price=Price(input=1_000_000, output=0))
    flow, costs = of(SemanticRouter(ROUTES, model)), []
    for _ in range(2):
        event = Event("pay")
        await flow.run(event)
        assert event.notes["route"]["route"] == "billing"
        costs.append((event.usage.total_tokens, event.meter.usd, [call.step for call in event.meter.calls]))
    assert costs == [(5, 5.0, ["route", "route"]), (1, 1.0, ["route"])]
    capped = of(SemanticRouter(ROUTES, model))
    capped.max_tokens = 4
    with pytest.raises(TokensExceeded):
        await capped.run("pay")


@pytest.mark.parametrize("before", [0, 1], ids=["the first run", "a later run"])
async def test_a_replay_needs_no_model(before: int) -> None:
    """The examples go over the tape too, whoever had them embedded, and it cost what it had cost."""
    provider, other = Embeds.of(), Embeds.of()
    flow = of(SemanticRouter(ROUTES, Model("m", provider, "theirs")))
    for _ in range(before):
        await flow.run("pay")
    event, tape = Event("pay", id="e"), Recording()
    event.tape = tape
    await flow.run(event)
    again = Event("pay", id="e")
    again.tape = Replay(tape.entries, tape.steps)
    await of(SemanticRouter(ROUTES, Model("m", other, "theirs"))).run(again)
    assert (again.notes, again.usage) == (event.notes, event.usage)
    assert (provider.asked, other.asked) == (2 + before, 0)


def test_faults_are_found_at_build() -> None:
    """Nothing is downloaded, so embeddings must be given, by a model that makes some; every route must follow."""
    with pytest.raises(InvalidStep, match=r"needs embeddings=: a Model that embeds, a function"):
        SemanticRouter(ROUTES)
    with pytest.raises(InvalidStep, match="the model 'm' does not make embeddings"):
        SemanticRouter(ROUTES, Model("m", ScriptedProvider.of(), "m"))
    wrong: list[dict[str, Any]] = [{}, {"a": []}, {"a": "text"}]
    for routes in wrong:
        with pytest.raises(InvalidStep, match="maps each follower to a list of at least one example"):
            SemanticRouter(routes, counted)
    with pytest.raises(InvalidStep, match="threshold=5 is no cosine; write a number from -1 to 1"):
        SemanticRouter(ROUTES, counted, threshold=5, default="human")
    with pytest.raises(InvalidStep, match="threshold= and default= go together"):
        SemanticRouter(ROUTES, counted, threshold=0.5)
    with pytest.raises(UnknownStep, match="may choose 'support', which does not follow it; it has Complete, billing"):
        of(SemanticRouter(ROUTES, counted), "billing").validate()
