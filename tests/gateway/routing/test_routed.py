"""RoutedProvider: who is asked, what follows a failure, and what is noted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from gateway.routing.backoff import Backoff
from gateway.routing.deployment import Deployment
from gateway.routing.failures import failure_of
from gateway.routing.patience import Patience
from gateway.routing.routed import RoutedProvider
from graph import Event, Flow, SemanticRouter
from llm import (
    ChatChunk,
    ChatRequest,
    ContextLengthExceeded,
    EmbeddingRequest,
    InvalidRequest,
    Model,
    ModelError,
    Price,
    Trail,
    UpstreamBrokeOff,
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
    Usage,
)
from llm.testing import FaultyProvider, ScriptedProvider, broken, fail, hanging, say, vectors
from llm.testing.scripted import Turn
from tests.gateway.routing.parts import Clock, asked, deployment, routed

DOWN = UpstreamUnavailable("it is down", upstream_status=503)


def refused(code: str) -> UpstreamRequestRefused:
    """A refusal with this code."""
    return UpstreamRequestRefused("no", upstream_status=400, param=None, code=code)


def answering(name: str, clock: Clock, *turns: Any, **options: Any) -> Deployment:
    """A deployment with a script."""
    return deployment(name, ScriptedProvider.of(*(turns or (say(f"by {name}"),))), clock, **options)


async def said(provider: RoutedProvider, request: ChatRequest) -> str:
    """The text of the answer."""
    async with aclosing(provider.stream("model", request)) as chunks:
        return "".join([chunk.content or "" async for chunk in chunks])


def trail(request: ChatRequest) -> Trail:
    """The trail of a request."""
    assert request.trail is not None
    return request.trail


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        UpstreamUnreachable("nobody there"),
        UpstreamTimeout("too slow"),
        UpstreamGarbled("no answer"),
        UpstreamBrokeOff("cut"),
        UpstreamRateLimited("too many", retry_after=30),
        UpstreamQuotaExceeded("empty"),
        UpstreamCredentialsRefused("no key"),
        refused("model_not_found"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_another_deployment_is_asked_at_once(error: UpstreamError) -> None:
    """Nothing is waited for as long as there is one that has not failed, and the caller sees nothing of it."""
    clock = Clock()
    first, second = answering("a", clock, fail(error)), answering("b", clock)
    request = asked()
    assert await said(routed(first, second, clock=clock), request) == "by b"
    assert clock.slept == []
    assert (trail(request).answered, [call.deployment for call in trail(request).failed]) == ("b", ["a"])
    assert (first.in_flight, second.in_flight, second.answered) == (0, 0, 1)


async def test_what_the_caller_did_wrong_is_told_at_once() -> None:
    """Every deployment would say the same, and this one is in order."""
    clock = Clock()
    first, second = answering("a", clock, fail(refused("invalid_type"))), answering("b", clock)
    with pytest.raises(UpstreamRequestRefused):
        await said(routed(first, second, clock=clock), asked())
    assert (first.breaker.in_a_row, first.breaker.state) == (0, "closed")
    assert second.answered == 0


async def test_a_raw_prompt_that_cannot_be_asked_leaves_no_trace() -> None:
    """What is refused before anything is sent does not stay in flight."""
    clock = Clock()
    only = answering("a", clock)
    with pytest.raises(InvalidRequest):
        await said(routed(only, clock=clock), ChatRequest.of_prompt("model", [1, 2]))
    assert only.in_flight == 0


async def test_all_that_failed_are_asked_again_after_a_wait() -> None:
    """The waits double, and are never shorter than half of what they could be."""
    clock = Clock()
    only = answering("a", clock, fail(DOWN), fail(DOWN), say("at last"), failures=9)
    assert await said(routed(only, clock=clock, retries=2), asked()) == "at last"
    one, two = clock.slept
    assert 0.25 <= one <= 0.5 <= two <= 1.0


async def test_retries_come_to_an_end() -> None:
    """So many calls and no more; the last failure is told."""
    clock = Clock()
    provider = FaultyProvider(ScriptedProvider.of(), [broken(DOWN)] * 9)
    with pytest.raises(UpstreamUnavailable, match="it is down"):
        await said(routed(deployment("a", provider, clock, failures=99), clock=clock, retries=3), asked())
    assert provider.calls == 4


async def test_retry_after_is_kept() -> None:
    """The only deployment is not asked again before the moment that it has named."""
    clock = Clock()
    only = answering("a", clock, fail(UpstreamRateLimited("slow down", retry_after=4)), say("now"))
    assert await said(routed(only, clock=clock), asked()) == "now"
    assert 4 < sum(clock.slept) <= 4.5


async def test_what_asks_for_too_long_a_wait_is_told() -> None:
    """With the time to come back, for the caller to decide; those who come meanwhile cost the upstream nothing."""
    clock = Clock()
    provider = routed(answering("a", clock, fail(UpstreamRateLimited("slow down", retry_after=120))), clock=clock)
    for seconds in (120, 110):
        with pytest.raises(UpstreamRateLimited) as limited:
            await said(provider, asked())
        assert limited.value.retry_after == seconds
        clock.now += 10
    assert clock.slept == []


async def test_what_is_hopeless_is_not_asked_twice() -> None:
    """A key that is refused will be refused again: no wait, no second call, and out of service at once."""
    clock = Clock()
    only = answering("a", clock, fail(UpstreamCredentialsRefused("no key")))
    with pytest.raises(UpstreamCredentialsRefused):
        await said(routed(only, clock=clock), asked())
    assert (clock.slept, only.breaker.state) == ([], "open")


async def test_nothing_is_asked_again_after_the_first_words() -> None:
    """Else the caller would read the beginning twice. The failure counts all the same."""
    clock = Clock()
    first, second = answering("a", clock, fail(UpstreamBrokeOff("cut"), after="half an")), answering("b", clock)
    heard: list[str] = []
    with pytest.raises(UpstreamBrokeOff):
        async for chunk in routed(first, second, clock=clock).stream("model", asked()):
            heard.append(chunk.content or "")
    assert "".join(heard) == "half an"
    assert (first.breaker.in_a_row, first.in_flight, second.answered) == (1, 0, 0)


async def test_the_role_alone_is_no_answer() -> None:
    """A deployment that says nothing but empty chunks before it fails has bound nobody to it."""
    clock = Clock()
    silent = ScriptedProvider.of(Turn((ChatChunk(), ChatChunk(extra={"refusal": None})), DOWN))
    assert await said(routed(deployment("a", silent, clock), answering("b", clock), clock=clock), asked()) == "by b"


async def test_it_cools_down_and_is_probed() -> None:
    """After so many failures nobody asks it; after a while one request does, and brings it back."""
    clock = Clock()
    weak = answering("weak", clock, fail(DOWN), say("well again"), failures=1)
    strong = answering("strong", clock, *(say("strong") for _ in range(9)), weight=0.001)
    provider = routed(weak, strong, clock=clock)
    assert [await said(provider, asked()) for _ in range(3)] == ["strong"] * 3
    assert not weak.breaker.admits
    clock.now += 10
    assert await said(provider, asked()) == "well again"
    assert weak.breaker.state == "closed"


async def test_when_nobody_is_in_service_the_caller_hears_when() -> None:
    """No call is made, and the answer comes at once."""
    clock = Clock()
    provider = routed(answering("a", clock, fail(DOWN), failures=1), clock=clock, retries=0)
    with pytest.raises(UpstreamUnavailable):
        await said(provider, asked())
    clock.now += 4
    with pytest.raises(UpstreamUnavailable, match="no deployment") as out:
        await said(provider, asked())
    assert out.value.retry_after == 6


FALLS: list[tuple[ModelError, str]] = [
    (UpstreamRateLimited("too many"), "rate_limit"),
    (UpstreamQuotaExceeded("empty"), "rate_limit"),
    (ContextLengthExceeded(9, 8), "context_length"),
    (refused("context_length_exceeded"), "context_length"),
    (refused("content_filter"), "content_filter"),
    (DOWN, "server"),
    (UpstreamUnreachable("nobody there"), "server"),
    (UpstreamTimeout("too slow"), "timeout"),
]


@pytest.mark.parametrize(("error", "failure"), FALLS, ids=[f"{type(error).__name__}-{name}" for error, name in FALLS])
async def test_each_class_of_failure_has_its_fallbacks(error: ModelError, failure: str) -> None:
    """The chain of its class is asked, in order, and no other."""
    clock = Clock()
    assert failure_of(error) == failure
    dead = routed(answering("dead", clock, fail(DOWN), failures=1), clock=clock, retries=0)
    stand_in = routed(answering("stand-in", clock), clock=clock)
    others = {"rate_limit", "context_length", "content_filter", "server", "timeout"} - {failure}
    unasked = routed(answering("unasked", clock), clock=clock)
    fallbacks = {failure: [dead, stand_in], **{other: [unasked] for other in others}}
    request = asked()
    provider = routed(answering("a", clock, fail(error)), clock=clock, fallbacks=fallbacks, retries=0)
    assert await said(provider, request) == "by stand-in"
    assert [call.deployment for call in trail(request).failed] == ["a", "dead"]
    assert trail(request).answered == "stand-in"


HELD_BACK = ChatChunk(finish_reason="content_filter")
USED = Usage.of(7, 3)
FILTERED = [
    Turn((ChatChunk(), HELD_BACK, ChatChunk(usage=USED))),
    Turn((ChatChunk("some of", finish_reason="content_filter", usage=USED),)),
]


@pytest.mark.parametrize("turn", FILTERED, ids=["streamed", "whole"])
async def test_what_was_filtered_is_asked_of_its_fallbacks(turn: Turn) -> None:
    """Before anything of it was given; what it has used counts, and it is in order itself. Those that fail, or filter
    it too, are passed over, and counted as well."""
    clock = Clock()
    price = Price(1_000_000, 1_000_000)
    first, too = answering("a", clock, turn, price=price), answering("too", clock, FILTERED[0])
    chain = [routed(each, clock=clock, retries=0) for each in (answering("x", clock, fail(DOWN)), too)]
    stand_in = routed(answering("stand-in", clock), clock=clock)
    request = asked()
    provider = routed(first, clock=clock, fallbacks={"content_filter": [*chain, stand_in]})
    assert await said(provider, request) == "by stand-in"
    calls = [(call.deployment, call.error, call.usage) for call in trail(request).failed]
    assert calls == [
        ("a", "content_filter", USED),
        ("x", "UpstreamUnavailable", Usage()),
        ("too", "content_filter", USED),
    ]
    assert (trail(request).failed[0].usd, trail(request).answered) == (10, "stand-in")
    assert (first.in_flight, first.failed["content_filter"], first.breaker.in_a_row) == (0, 1, 0)


async def test_what_was_filtered_is_the_answer_where_nobody_has_another() -> None:
    """Whole, and booked once: as the answer."""
    clock = Clock()
    first = answering("a", clock, FILTERED[0])
    dead = routed(answering("dead", clock, fail(DOWN)), clock=clock, retries=0)
    request = asked()
    provider = routed(first, clock=clock, fallbacks={"content_filter": [dead]})
    async with aclosing(provider.stream("model", request)) as chunks:
        heard = [chunk async for chunk in chunks]
    assert [chunk.finish_reason for chunk in heard] == [None, "content_filter", None]
    assert heard[-1].usage == USED
    assert [call.deployment for call in trail(request).failed] == ["dead"]
    assert (trail(request).answered, first.in_flight) == ("a", 0)


async def test_who_falls_silent_after_a_filter_is_not_waited_for() -> None:
    """What it has used is counted, as it does not say."""
    clock = Clock()
    script = ScriptedProvider.of(Turn((HELD_BACK, ChatChunk(usage=USED))))
    silent = deployment("a", FaultyProvider(script, [hanging(after=1)]), clock)
    stand_in = routed(answering("stand-in", clock), clock=clock)
    request = asked("x" * 40)
    patience = Patience(first_token=0.05, idle=60)
    provider = routed(silent, clock=clock, patience=patience, fallbacks={"content_filter": [stand_in]})
    assert await said(provider, request) == "by stand-in"
    assert [call.usage for call in trail(request).failed] == [Usage.of(10, 0, estimated=True)]
    assert (silent.in_flight, script.closed) == (0, 1)


@pytest.mark.parametrize("fallbacks", [{}, {"server": ["b"]}], ids=["none", "of another class"])
async def test_what_was_filtered_is_an_answer_without_fallbacks(fallbacks: Any) -> None:
    """Nobody has said who should answer instead."""
    clock = Clock()
    chains = {name: [routed(answering("b", clock), clock=clock)] for name in fallbacks}
    only = answering("a", clock, FILTERED[1])
    assert await said(routed(only, clock=clock, fallbacks=chains), asked()) == "some of"
    assert (only.answered, only.failed["content_filter"]) == (1, 0)


async def test_what_is_filtered_after_its_first_words_ends() -> None:
    """The caller has read them."""
    clock = Clock()
    turn = Turn((ChatChunk("half"), HELD_BACK))
    provider = routed(
        answering("a", clock, turn),
        clock=clock,
        fallbacks={"content_filter": [routed(answering("b", clock), clock=clock)]},
    )
    assert await said(provider, asked()) == "half"


async def test_when_the_fallbacks_fail_too_the_first_failure_is_told() -> None:
    """It is what the caller asked for."""
    clock = Clock()
    dead = routed(answering("dead", clock, fail(DOWN)), clock=clock, retries=0)
    too_long = fail(ContextLengthExceeded(9, 8))
    with pytest.raises(ContextLengthExceeded):
        await said(routed(answering("a", clock, too_long), clock=clock, fallbacks={"context_length": [dead]}), asked())


async def test_a_call_that_may_have_to_be_paid_is_counted() -> None:
    """What timed out has read the prompt; what was refused has cost nothing."""
    clock = Clock()
    price = Price(1_000_000, 1)
    slow = answering("slow", clock, fail(UpstreamTimeout("too slow")), price=price)
    limited = answering("limited", clock, fail(UpstreamRateLimited("no")), price=price)
    request = asked("x" * 40)
    assert await said(routed(slow, limited, answering("b", clock), clock=clock), request) == "by b"
    timed_out, refused_ = trail(request).failed
    assert (timed_out.error, timed_out.usage, timed_out.usd) == ("UpstreamTimeout", Usage.of(10, 0, estimated=True), 10)
    assert (refused_.error, refused_.usage, refused_.usd) == ("UpstreamRateLimited", Usage(), 0)


async def test_who_hangs_before_the_first_token_is_left() -> None:
    """Another deployment answers, and the one that hangs is closed."""
    clock = Clock()
    stuck = FaultyProvider(ScriptedProvider.of(), [hanging()])
    provider = routed(
        deployment("stuck", stuck, clock), answering("b", clock), clock=clock, patience=Patience(first_token=0.01)
    )
    request = asked()
    assert await said(provider, request) == "by b"
    assert [call.error for call in trail(request).failed] == ["UpstreamTimeout"]


async def test_a_whole_answer_has_no_first_token() -> None:
    """One that is not streamed comes when it is ready, and only the whole has a deadline."""
    clock = Clock()
    go = asyncio.Event()
    provider = FaultyProvider(ScriptedProvider.of(say("whole")), [type(hanging())(latency=go)])
    patience = Patience(first_token=1e-9, idle=1e-9)
    told = asyncio.create_task(
        said(routed(deployment("a", provider, clock), clock=clock, patience=patience), asked(stream=False))
    )
    await asyncio.sleep(0)
    go.set()
    assert await told == "whole"


@pytest.mark.parametrize(("patience", "blamed"), [(Patience(idle=0.01), 1), (Patience(total=0.05), 0)])
async def test_who_hangs_in_mid_stream_is_ended(patience: Patience, blamed: int) -> None:
    """The caller hears of it. Silence is held against the deployment; an answer that is too long for the whole time is
    not, as it may be the caller who wanted it so long."""
    clock = Clock()
    stuck = deployment("stuck", FaultyProvider(ScriptedProvider.of(say("one two")), [hanging(after=1)]), clock)
    heard: list[str] = []
    with pytest.raises(UpstreamTimeout):
        async for chunk in routed(stuck, clock=clock, patience=patience).stream("model", asked()):
            heard.append(chunk.content or "")
    assert heard == ["one "]
    assert (stuck.failed["timeout"], stuck.breaker.in_a_row, stuck.in_flight) == (blamed, blamed, 0)


async def test_the_deadline_is_for_everything_that_was_tried() -> None:
    """A wait that would end after it is not begun."""
    clock = Clock()
    only = answering("a", clock, fail(DOWN))
    backoff = Backoff(5, 10)
    with pytest.raises(UpstreamUnavailable):
        await said(routed(only, clock=clock, backoff=backoff, patience=Patience(total=2)), asked())
    assert clock.slept == []


async def test_a_client_that_leaves_leaves_everything_in_order() -> None:
    """Nothing is in flight, nothing is held against the deployment, and its upstream has been closed."""
    clock = Clock()
    script = ScriptedProvider.of(say("a long answer"))
    only = deployment("a", script, clock)
    async with aclosing(routed(only, clock=clock).stream("model", asked())) as chunks:
        await anext(chunks)
        assert only.in_flight == 1
    assert (only.in_flight, only.cancelled, only.breaker.in_a_row, script.closed) == (0, 1, 0, 1)


@pytest.mark.parametrize(
    ("stick_to", "differing"),
    [
        ("key", lambda number: asked("hi", f"user-{number}")),
        ("user", lambda number: asked("hi", "app", user=f"user-{number}")),
        ("conversation", lambda number: asked(f"topic {number}")),
    ],
)
async def test_who_sticks_to_a_deployment(stick_to: Any, differing: Callable[[int], ChatRequest]) -> None:
    """One key, or one conversation however far it has gone, is always the same deployment's; others are others'."""
    clock = Clock()
    both = [answering(name, clock, *(say(name) for _ in range(200))) for name in ("a", "b")]
    provider = routed(*both, clock=clock, stick_to=stick_to)
    answers = {}
    for number in range(20):
        request = differing(number)
        answers[number] = await said(provider, request)
        later = request.having([*request.messages, {"role": "assistant", "content": "yes"}])
        later.messages.append({"role": "user", "content": "and then?"})
        assert await said(provider, later) == answers[number]
    assert set(answers.values()) == {"a", "b"}


async def test_a_caller_may_name_its_conversation() -> None:
    """``prompt_cache_key`` is OpenAI's word for what belongs together."""
    clock = Clock()
    both = [answering(name, clock, *(say(name) for _ in range(50))) for name in ("a", "b")]
    provider = routed(*both, clock=clock, stick_to="conversation")
    same = {await said(provider, asked(f"topic {number}", prompt_cache_key="mine")) for number in range(20)}
    assert len(same) == 1


async def test_embeddings_are_routed_too() -> None:
    """To those deployments that make any, with the same second chances."""
    clock = Clock()
    talks = answering("talks", clock)
    fails = deployment("fails", ScriptedProvider.of(vectors([1.0], error=DOWN)), clock)
    makes = deployment("makes", ScriptedProvider.of(vectors([1.0, 2.0])), clock)
    provider: Any = routed(talks, fails, makes, clock=clock)
    request = EmbeddingRequest(["hi"], trail=Trail())
    made = await provider.embed("model", request)
    assert made.vectors == [[1.0, 2.0]]
    assert request.trail is not None
    assert (request.trail.answered, [call.deployment for call in request.trail.failed]) == ("makes", ["fails"])
    assert not hasattr(routed(talks, clock=clock), "embed")


async def test_a_router_by_meaning_books_every_deployment() -> None:
    """A step that embeds by itself tells of those that failed as well."""
    clock = Clock()
    fails = deployment("fails", ScriptedProvider.of(vectors([1.0], error=UpstreamTimeout("slow"))), clock)
    script = ScriptedProvider.of(vectors([1.0, 0.0], [0.0, 1.0]), vectors([0.9, 0.1]))
    model = Model("model", routed(fails, deployment("makes", script, clock), clock=clock), "model")
    flow = Flow("by-meaning")
    router = flow.to(SemanticRouter({"rain": ["wet"], "sun": ["dry"]}, model), name="route")
    for name in ("rain", "sun"):
        router.to(lambda body: body, name=name)
    event = Event("umbrella")
    await flow.start(event).result()
    assert [(call.deployment, call.error) for call in event.meter.calls] == [
        ("fails", "UpstreamTimeout"),
        ("makes", ""),
        ("makes", ""),
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_many_at_once_leave_nothing_behind(seed: int) -> None:
    """A hundred requests at once over deployments that fail at random: each has one answer or one error, and then
    nothing is in flight."""
    from random import Random  # noqa: PLC0415 - just here

    clock, random = Clock(), Random(seed)
    errors: list[ModelError] = [DOWN, UpstreamTimeout("slow"), UpstreamRateLimited("no", retry_after=0.1)]
    all_ = []
    for name in "abc":
        faults = [broken(random.choice(errors)) if random.random() < 0.4 else None for _ in range(400)]
        all_.append(deployment(name, FaultyProvider(ScriptedProvider.of(*[say(name)] * 400), faults), clock))
    provider = routed(*all_, clock=clock, balance="least_busy")
    ends = await asyncio.gather(*(said(provider, asked()) for _ in range(100)), return_exceptions=True)
    assert {type(end) for end in ends} <= {str, UpstreamUnavailable, UpstreamTimeout, UpstreamRateLimited}
    assert sum(isinstance(end, str) for end in ends) == sum(each.answered for each in all_)
    assert [each.in_flight for each in all_] == [0, 0, 0]


def test_a_routed_provider_is_as_able_as_the_least_of_its_deployments() -> None:
    """Bytes pass only where they do behind every door; raw prompts may go wherever one takes them."""
    clock = Clock()
    able, plain = ScriptedProvider.of(), ScriptedProvider.of(compares=False)
    able.passes = able.completes = True  # type: ignore[attr-defined]
    one = routed(deployment("a", able, clock), clock=clock)
    both = routed(deployment("a", able, clock), deployment("b", plain, clock), clock=clock)
    fallen = routed(deployment("a", able, clock), clock=clock, fallbacks={"server": [both]})
    assert [each.passes for each in (one, both, fallen)] == [True, False, False]
    assert [each.compares for each in (one, both)] == [True, False]
    assert both.completes
    assert one.context_length is None
