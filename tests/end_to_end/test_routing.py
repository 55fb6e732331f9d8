"""Several deployments behind a name, over real sockets, read by the official SDK."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import openai
import pytest

from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from llm.testing import ScriptedUpstream
from llm.testing.upstream import CHUNK, Cut, Hang, Json, Pause, Reply, Stream, answer, choice, embeddings, frame
from tests.serving import Gateway, serving

HELLO: Any = [{"role": "user", "content": "hello"}]
DOWN = Json({"error": {"message": "down", "type": "server_error"}}, 503)
LIMITED = Json({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429, {"retry-after": "30"})
TOO_LONG = Json({"error": {"message": "too long", "code": "context_length_exceeded", "param": "messages"}}, 400)
WRONG = Json({"error": {"message": "no such role", "code": "invalid_value", "param": "messages[0].role"}}, 400)
PRICES: Mapping[str, Any] = {"a": {"input": 1, "output": 1}, "b": {"input": 1000, "output": 1000}}


@asynccontextmanager
async def routing(
    scripts: Mapping[str, Sequence[Reply]],
    routing: Mapping[str, Any] | None = None,
    models: Sequence[Mapping[str, Any]] = (),
    **row: Any,
) -> AsyncGenerator[tuple[Gateway, dict[str, ScriptedUpstream]], None]:
    """A gateway whose model ``fast`` has a deployment ``<name>/up`` at each of these upstreams; ``heavy`` is asked
    first for a thousand times."""
    heavy, graphs = row.pop("heavy", ""), row.pop("graphs", ())
    async with AsyncExitStack() as stack:
        ups = {name: await stack.enter_async_context(ScriptedUpstream(*script)) for name, script in scripts.items()}
        providers = [{"name": name, "kind": "openai", "base_url": up.base_url} for name, up in ups.items()]
        behind = row.pop("behind", list(scripts))
        deployments = [
            {"provider": name, "model": "up", "price": PRICES.get(name), "weight": 1000 if name == heavy else 1}
            for name in behind
        ]
        policy = {"backoff_seconds": 0.001, **(routing or {})}
        fast = {"name": "fast", "deployments": deployments, "routing": policy, **row}
        gateway = await stack.enter_async_context(serving(providers=providers, models=[fast, *models], graphs=graphs))
        yield gateway, ups


async def chat(gateway: Gateway, **given: Any) -> tuple[str, str]:
    """The text of an answer, and which deployments gave it."""
    async with gateway.sdk() as client:
        raw = await client.chat.completions.with_raw_response.create(model="fast", messages=HELLO, **given)
    return raw.parse().choices[0].message.content or "", raw.headers.get("x-penstock-deployment", "")


async def stream(gateway: Gateway, **given: Any) -> tuple[str, str]:
    """The same, streamed."""
    async with gateway.sdk() as client:
        raw = await client.chat.completions.with_raw_response.create(model="fast", messages=HELLO, stream=True, **given)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in raw.parse() if chunk.choices])
    return text, raw.headers.get("x-penstock-deployment", "")


def called(run: Any) -> list[tuple[str, str | None, str]]:
    """The calls in the record of a run: of which deployment, why it gave no answer, and how its tokens are known."""
    return [(call["deployment"], call["error"], call["source"]) for step in run["steps"] for call in step["usage"]]


async def state(gateway: Gateway, name: str) -> Any:
    """What the admin API tells of a deployment of ``fast``."""
    _, _, told = await gateway.get("/admin/deployments")
    rows = [row for model in told["models"] for row in model["deployments"]]
    return next(row for row in rows if row["name"] == name)


async def test_requests_are_split_by_weight_and_say_who_answered() -> None:
    """Turn by turn, in the header and in the record of the run, with the price of the one that answered."""
    async with routing({"a": [answer("A"), answer("A")], "b": [answer("B"), answer("B")]}) as (gateway, ups):
        got = Counter([await chat(gateway) for _ in range(4)])
        assert got == {("A", "a/up"): 2, ("B", "b/up"): 2}
        assert {received.body["model"] for up in ups.values() for received in up.received} == {"up"}
        money = {call["deployment"]: call["usd"] for run in await gateway.runs(4) for call in run["steps"][0]["usage"]}
        assert money == {"a/up": pytest.approx(10e-6), "b/up": pytest.approx(10e-3)}


async def test_bytes_pass_through_a_route() -> None:
    """What only an upstream of OpenAI's API can do goes on as it is: its bytes, its choices; not its name."""
    chunks = Stream.of_text("Hel", "lo")
    async with routing({"a": [chunks, answer("A", annotations=[])]}) as (gateway, ups):
        assert await stream(gateway) == ("Hello", "a/up")
        status, _, body = await gateway.post(
            "/v1/chat/completions", {"model": "fast", "messages": HELLO, "n": 2, "top_k": 3}
        )
        assert (status, body["id"], body["model"]) == (200, "chatcmpl-upstream", "fast")
        assert (ups["a"].received[1].body["n"], ups["a"].received[1].body["top_k"]) == (2, 3)


@pytest.mark.parametrize("failing", [DOWN, LIMITED, Stream([Cut()]), Stream([*Stream.words()[:1], Cut()])])
async def test_a_deployment_that_fails_before_its_first_word_is_replaced(failing: Reply) -> None:
    """The client reads one whole answer, of the other deployment; the run tells of both."""
    async with routing({"a": [failing], "b": [Stream.of_text("Hel", "lo")]}) as (gateway, _):
        assert await stream(gateway) == ("Hello", "b/up")
        [run] = await gateway.runs()
        (first, error, _), (second, none, source) = called(run)
        assert (first, second, none, source) == ("a/up", "b/up", None, "real")
        assert error
        assert (await state(gateway, "a/up"))["failed"].keys() <= {"server", "rate_limit"}


async def test_nothing_is_repeated_after_the_first_word() -> None:
    """The SDK raises, and the other deployment was never asked."""
    async with routing({"a": [Stream([*Stream.words("Hel"), Cut()])], "b": []}) as (gateway, _):
        with pytest.raises(openai.APIError, match="broke off"):
            await stream(gateway)
        [run] = await gateway.runs()
        assert [deployment for deployment, _, _ in called(run)] == ["a/up"]
        assert (await state(gateway, "a/up"))["failures_in_a_row"] == 1


async def test_a_refusal_is_the_callers_and_is_told_as_it_is() -> None:
    """No other deployment, no fallback: 400, with the place."""
    async with routing({"a": [WRONG], "b": []}) as (gateway, _):
        with pytest.raises(openai.BadRequestError) as refused:
            await chat(gateway)
        assert refused.value.param == "messages[0].role"


async def test_a_conversation_that_is_too_long_goes_to_the_long_model() -> None:
    """Its fallback is by class; under its own name it is served too."""
    models = [{"name": "long", "provider": "b", "model": "up-long"}]
    scripts = {"a": [TOO_LONG], "b": [answer("read it all"), answer("me too")]}
    fallbacks = {"context_length": ["long"]}
    async with routing(scripts, models=models, behind=["a"], fallbacks=fallbacks) as (gateway, ups):
        assert await chat(gateway) == ("read it all", "b/up-long")
        assert ups["b"].received[0].body["model"] == "up-long"
        status, headers, _ = await gateway.post("/v1/chat/completions", {"model": "long", "messages": HELLO})
        assert (status, "x-penstock-deployment" in headers) == (200, False)


def _filtered(index: int) -> dict[bool, Reply]:
    """An answer of two choices, whole and streamed, of which that one is filtered."""
    reasons = ["content_filter" if each == index else "stop" for each in (0, 1)]
    frames = [choice({"role": "assistant", "content": ""}), *(choice({}, reason) for reason in reasons)]
    for at, each in enumerate(frames[1:]):
        each["choices"][0]["index"] = at
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    whole = dict(answer("").body)
    message = {"role": "assistant", "content": ""}
    whole["choices"] = [{"index": at, "message": message, "finish_reason": each} for at, each in enumerate(reasons)]
    ends = [frame({**CHUNK, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]
    return {False: Json({**whole, "usage": usage}), True: Stream([*map(frame, frames), *ends])}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_answer_that_was_filtered_has_fallbacks(streamed: bool) -> None:
    """If it is the first choice, and nothing of it was sent: the other answers, in its own bytes, and both are paid."""
    scripts: dict[str, list[Reply]] = {
        "a": [_filtered(0)[streamed], _filtered(1)[streamed]],
        "b": [Stream.of_text("B") if streamed else answer("B")],
    }
    models = [{"name": "other", "provider": "b", "model": "up", "price": PRICES["b"]}]
    fallbacks = {"content_filter": ["other"]}
    async with routing(scripts, models=models, behind=["a"], fallbacks=fallbacks) as (gateway, _):
        ask = stream if streamed else chat
        assert await ask(gateway, n=2) == ("B", "b/up")
        assert await ask(gateway, n=2) == ("", "a/up")
        runs = await gateway.runs(2)
    assert called(runs[1]) == [("a/up", "content_filter", "real"), ("b/up", None, "real")]
    assert called(runs[0]) == [("a/up", None, "real")]


async def test_a_list_of_fallbacks_is_for_faults_of_the_upstream() -> None:
    """A server that fails, until the retries are used up."""
    models = [{"name": "other", "provider": "b"}]
    async with routing(
        {"a": [DOWN, DOWN], "b": [answer("B")]}, {"retries": 1}, models, behind=["a"], fallbacks=["other"]
    ) as (
        gateway,
        _,
    ):
        assert await chat(gateway) == ("B", "b/other")


async def test_one_that_is_limited_is_left_alone_until_it_says() -> None:
    """``Retry-After`` is kept: the next requests go elsewhere, and when nobody is left the client is told when."""
    async with routing({"a": [LIMITED], "b": [answer("B"), answer("B"), DOWN, DOWN]}, {"retries": 1}) as (gateway, _):
        assert [await chat(gateway), await chat(gateway)] == [("B", "b/up")] * 2
        told = await state(gateway, "a/up")
        assert (told["state"], 0 < told["seconds_until_asked"] <= 30) == ("paused", True)
        with pytest.raises(openai.InternalServerError):
            await chat(gateway)


async def test_when_nobody_is_in_service_the_client_is_told_when() -> None:
    """429 with Retry-After, and the upstream is not asked."""
    async with routing({"a": [LIMITED]}, {"retries": 0}) as (gateway, _):
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as limited:
                await chat(gateway)
            assert 28 <= int(limited.value.response.headers["retry-after"]) <= 30


async def test_the_metrics_tell_who_is_left_alone() -> None:
    """Soon: what no request changes is looked at twice a second."""
    cooldown = {"failures": 1, "seconds": 60}
    async with routing({"a": [DOWN], "b": [answer("B")]}, {"cooldown": cooldown}, heavy="a") as (gateway, _):
        await chat(gateway)
        lines: list[str] = []
        while 'penstock_breaker_open{breaker="fast/a/up"} 1.0' not in lines:
            async with gateway.http.get(f"{gateway.address}/metrics") as told:
                lines = (await told.text()).splitlines()
        assert 'penstock_breaker_open{breaker="fast/b/up"} 0.0' in lines


async def test_one_that_fails_cools_down_and_is_probed() -> None:
    """It is out after so many failures, and the first request after its cool-down brings it back."""
    cooldown = {"failures": 1, "seconds": 0.05}
    scripts = {"a": [DOWN, answer("A")], "b": [answer("B")]}
    async with routing(scripts, {"cooldown": cooldown}, heavy="a") as (gateway, _):
        assert await chat(gateway) == ("B", "b/up")
        async with asyncio.timeout(10):
            while (await state(gateway, "a/up"))["state"] == "open":
                await asyncio.sleep(0)
        assert await chat(gateway) == ("A", "a/up")
        assert (await state(gateway, "a/up"))["state"] == "closed"


async def test_one_that_hangs_is_left_for_another() -> None:
    """Its connection is closed, and what it has read is counted."""
    routed = {"first_token_seconds": 1}
    async with routing({"a": [Stream([Hang()])], "b": [Stream.of_text("B")]}, routed) as (gateway, ups):
        assert await stream(gateway) == ("B", "b/up")
        await asyncio.wait_for(ups["a"].left.wait(), 10)
        [run] = await gateway.runs()
        assert called(run) == [("a/up", "UpstreamTimeout", "estimated"), ("b/up", None, "real")]
        assert run["usage"]["total_tokens"] > 8


async def test_a_stream_that_falls_silent_is_ended() -> None:
    """The client hears an error instead of nothing."""
    async with routing({"a": [Stream([*Stream.words("Hel"), Hang()])]}, {"idle_seconds": 0.05}) as (gateway, ups):
        with pytest.raises(openai.APIError, match="in time"):
            await stream(gateway)
        await asyncio.wait_for(ups["a"].left.wait(), 10)


async def test_a_slow_one_is_hedged() -> None:
    """After twenty quick answers a slow one is overtaken; its call is closed, and counted."""
    quick = [Stream.of_text("A")] * 20
    scripts = {"a": [*quick, Stream([Hang()])], "b": [Stream.of_text("B")]}
    async with routing(scripts, {"hedge": True}, heavy="a") as (gateway, ups):
        for _ in range(20):
            assert await stream(gateway) == ("A", "a/up")
        assert await stream(gateway) == ("B", "b/up")
        await asyncio.wait_for(ups["a"].left.wait(), 10)
        [run] = [run for run in await gateway.runs(20) if len(called(run)) > 1]
        assert called(run) == [("a/up", "cancelled", "estimated"), ("b/up", None, "real")]


async def test_a_client_that_leaves_while_another_is_tried_leaves_nothing_open() -> None:
    """The upstream that is asked at that moment is left too, and the run says what it has cost."""
    async with routing({"a": [DOWN], "b": [Stream([Hang()])]}) as (gateway, ups):
        async with gateway.sdk() as client:
            leaving = asyncio.create_task(client.chat.completions.create(model="fast", messages=HELLO, stream=True))
            async with asyncio.timeout(10):
                while not ups["b"].received:
                    await asyncio.sleep(0)
            leaving.cancel()
        await asyncio.wait_for(ups["b"].left.wait(), 10)
        [run] = await gateway.runs()
        assert called(run) == [("a/up", "UpstreamUnavailable", "real"), ("b/up", "cancelled", "estimated")]
        assert (await state(gateway, "b/up"))["in_flight"] == 0


async def test_a_key_sticks_to_its_deployment() -> None:
    """An A/B split: each key has one side, and both sides have keys."""
    scripts = {"a": [answer("A")] * 40, "b": [answer("B")] * 40}
    keys = [{"name": f"key-{number}", "key": f"sk-of-caller-{number}"} for number in range(10)]
    async with AsyncExitStack() as stack:
        ups = {name: await stack.enter_async_context(ScriptedUpstream(*script)) for name, script in scripts.items()}
        providers = [{"name": name, "kind": "openai", "base_url": up.base_url} for name, up in ups.items()]
        deployments = [{"provider": name, "model": "up"} for name in ups]
        fast = {"name": "fast", "deployments": deployments, "routing": {"sticky": "key"}}
        gateway = await stack.enter_async_context(
            serving(auth={"keys": keys}, providers=providers, models=[fast], graphs=[])
        )
        sides = {}
        for key in keys:
            async with gateway.sdk(key["key"]) as client:
                said = {
                    (await client.chat.completions.create(model="fast", messages=HELLO)).choices[0].message.content
                    for _ in range(3)
                }
            assert len(said) == 1
            sides[key["name"]] = said.pop()
        assert set(sides.values()) == {"A", "B"}
        for up in ups.values():
            up.script.clear()


async def test_embeddings_completions_and_messages_are_routed_alike() -> None:
    """Every API asks through the same route, and says who answered."""
    scripts: Mapping[str, Sequence[Reply]] = {"a": [DOWN] * 3, "b": [embeddings([1.0, 2.0]), answer("B"), answer("B")]}
    async with routing(scripts, {"cooldown": {"failures": 99}}, heavy="a") as (gateway, _):
        async with gateway.sdk() as client:
            made = await client.embeddings.with_raw_response.create(model="fast", input="hi", encoding_format="float")
            assert made.parse().data[0].embedding == [1.0, 2.0]
            assert made.headers["x-penstock-deployment"] == "b/up"
            [run] = await gateway.runs()
            assert called(run) == [("a/up", "UpstreamUnavailable", "real"), ("b/up", None, "real")]
            raw = await client.completions.with_raw_response.create(model="fast", prompt="hi")
            assert (raw.parse().choices[0].text, raw.headers["x-penstock-deployment"]) == ("B", "b/up")
        body = {"model": "fast", "max_tokens": 9, "messages": HELLO}
        status, headers, told = await gateway.post("/v1/messages", body)
        assert (status, told["content"][0]["text"]) == (200, "B")
        assert headers["x-penstock-deployment"] == "b/up"


async def test_inside_a_graph_too(tmp_path: Any) -> None:
    """A step of a graph asks the route like any model, and what failed is on the run of the graph."""
    graph = tmp_path / "graph.yaml"
    graph.write_text(
        "steps:\n"
        "  say:\n"
        "    class_name: graph.steps.responder.ResponderStep\n"
        "    class_args: {model: {$model: speaker}}\n"
        "    respond: true\n"
    )
    rows = [{"name": "speaking", "file": str(graph), "models": {"speaker": "fast"}}]
    async with routing({"a": [DOWN], "b": [answer("B")]}, graphs=rows) as (gateway, _):
        async with gateway.sdk() as client:
            raw = await client.chat.completions.with_raw_response.create(model="speaking", messages=HELLO)
        assert raw.parse().choices[0].message.content == "B"
        assert raw.headers["x-penstock-deployment"] == "b/up"
        [run] = await gateway.runs()
        assert [deployment for deployment, _, _ in called(run)] == ["a/up", "b/up"]


async def test_checks_of_health_find_out_before_a_request_does() -> None:
    """A deployment whose upstream is gone is out of service although nobody has asked it."""
    routed = {"health_seconds": 0.01, "cooldown": {"failures": 2, "seconds": 60}}
    gone = {"name": "gone", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
    async with ScriptedUpstream(answer("A"), answer("A")) as up:
        providers = [gone, {"name": "a", "kind": "openai", "base_url": up.base_url}]
        deployments = [{"provider": "gone", "weight": 1000}, {"provider": "a"}]
        fast = {"name": "fast", "deployments": deployments, "routing": routed}
        async with serving(providers=providers, models=[fast], graphs=[]) as gateway:
            async with asyncio.timeout(10):
                while (await state(gateway, "gone/fast"))["state"] != "open":
                    await asyncio.sleep(0)
            assert [await chat(gateway), await chat(gateway)] == [("A", "a/fast")] * 2
            assert (await state(gateway, "gone/fast"))["failed"] == {}


async def test_deployments_are_for_admins() -> None:
    """A user's key does not see what stands behind a name."""
    keys = [{"name": "user", "key": "sk-of-a-user"}, {"name": "ops", "key": "sk-of-an-admin", "role": "admin"}]
    async with serving(auth={"keys": keys}) as gateway:
        status, _, _ = await gateway.get("/admin/deployments", authorization="Bearer sk-of-a-user")
        assert status == 403
        _, _, told = await gateway.get("/admin/deployments", authorization="Bearer sk-of-an-admin")
        assert told["models"] == []


async def test_a_recorded_run_is_replayed_with_its_deployments() -> None:
    """Which deployment answers comes from outside: a replay asks none, and books the same calls."""
    pause = Pause()
    pause.set()
    async with routing({"a": [DOWN], "b": [Stream([pause, *Stream.of_text("B").pieces])]}) as (gateway, _):
        from graph import Event  # noqa: PLC0415 - just here
        from graph.recording.tape import Recording, Replay  # noqa: PLC0415
        from llm import ChatRequest  # noqa: PLC0415

        flow = next(iter(gateway.server._app.catalog)).flow
        recording = Recording()
        booked = []
        for tape in (recording, Replay(recording.entries, recording.steps)):
            event = Event(ChatRequest.of_text("fast", "hello"))
            event.body.stream, event.tape = True, tape
            await flow.start(event).result()
            booked.append(event.meter.calls)
        assert booked[0] == booked[1]
        assert [call.deployment for call in booked[0]] == ["a/up", "b/up"]


ROW = "models.0"
MINI = {"name": "mini", "kind": "embedded"}


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ([{"name": "m", "deployments": [{"provider": "nope"}]}], "there is no provider 'nope'; there are: mini"),
        ([{"name": "m", "provider": "mini", "deployments": [{"provider": "mini"}]}], "'provider' is said by each of"),
        ([{"name": "m", "deployments": [{"provider": "mini"}] * 2}], "the same name of a deployment 'mini/m'"),
        ([{"name": "m", "provider": "mini", "fallbacks": ["n"]}], "there is no model 'n'; there are: m"),
        ([{"name": "m", "provider": "mini", "fallbacks": ["m"]}], "model 'm' would fall back to itself"),
        (
            [
                {"name": "m", "provider": "mini", "fallbacks": {"server": ["n"]}},
                {"name": "n", "provider": "mini", "fallbacks": {"timeout": ["m"]}},
            ],
            "model 'm' would fall back to itself",
        ),
        ([{"name": "m", "deployments": []}], "this is missing; write it"),
        ([{"name": "m", "class": "a:B", "routing": {}}], "'routing' says nothing to a model of a class"),
        ([{"name": "m", "provider": "mini", "routing": {"retry": 1}}], "routing.retry"),
        ([{"name": "m", "deployments": [{"provider": "mini", "weight": 0}]}], "greater than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(models: Any, told: str) -> None:
    """At the start, with the place."""
    with pytest.raises((InvalidSettings, ValueError), match=told.replace("'", "'")):
        Settings.model_validate({"providers": [MINI], "models": models, "graphs": []})


def test_a_single_deployment_has_nothing_before_it() -> None:
    """Who does not route pays nothing for routing: the model asks its provider itself."""
    from gateway.catalog.catalog import Catalog  # noqa: PLC0415 - just here

    catalog = Catalog.of(Settings.model_validate({"providers": [MINI], "models": [{"name": "m", "provider": "mini"}]}))
    served = next(iter(catalog))
    assert served.model is not None
    assert served.model.provider is catalog.providers["mini"]
    assert list(catalog.routed) == []
