"""Judges in a real gateway: a model with a rubric, a moderation endpoint, a server of one's own."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import orjson
import pytest

from llm.testing import ScriptedUpstream
from llm.testing.dialect import OPENAI, Call
from llm.testing.upstream import Cut, Hang, Json, Pause, Stream, answer, embeddings
from tests.serving import serving, serving_upstream

CHAT: dict[str, Any] = {"model": "up", "messages": [{"role": "user", "content": "Who knows?"}]}
ALLOWED, REFUSED = Json({"allowed": True}), Json({"allowed": False, "reason": "It is about birds."})


def policy(**rule: Any) -> dict[str, Any]:
    return {"name": "judged", "everywhere": True, "rules": [rule]}


async def test_a_judge_of_the_request_works_beside_the_model_and_ends_its_call() -> None:
    """The model has begun when the judge refuses: it is left, and the client never hears of it."""
    begun = Pause()
    async with ScriptedUpstream(Stream([begun, orjson.dumps(REFUSED.body)])) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard")
        async with serving_upstream(Hang(), guardrails=[rule]) as (gateway, upstream):
            asking = asyncio.create_task(gateway.sdk().chat.completions.create(**CHAT))
            await upstream.came.wait()
            begun.set()
            with pytest.raises(openai.BadRequestError, match="about birds"):
                await asking
            await upstream.left.wait()
            (run,) = await gateway.runs()
    assert server.received[0].body == {"text": "Who knows?", "place": "input"}
    assert run["outcome"] == "refused"


@pytest.mark.parametrize(
    "after",
    [
        [{"role": "assistant", "content": "So:"}],
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "x"},
        ],
    ],
)
async def test_what_stands_after_it_hides_nothing_from_a_judge(after: list[dict[str, Any]]) -> None:
    """An answer that the caller has begun, or the call of a tool, is not what the user said last."""
    begun = Pause()
    async with ScriptedUpstream(Stream([begun, orjson.dumps(REFUSED.body)])) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard")
        async with serving_upstream(Hang(), guardrails=[rule]) as (gateway, upstream):
            messages = [{"role": "user", "content": "A bird"}, *after]
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", {**CHAT, "messages": messages}))
            await upstream.came.wait()
            begun.set()
            status, _, _ = await asking
    assert (status, server.received[0].body["text"]) == (400, "A bird")


async def test_a_judge_sees_all_of_what_the_user_said_last() -> None:
    """In several messages, in parts of any kind that hold texts; and the thoughts of the one who answers."""
    messages = [
        {"role": "user", "content": "Before."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "A bird"},
        {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "in a book"}}]},
        {"role": "user", "content": "Hi"},
    ]
    async with ScriptedUpstream(ALLOWED, ALLOWED) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", places=["input", "output"])
        replies = [answer("Well.", reasoning_content="A thought.")]
        async with serving_upstream(*replies, guardrails=[rule]) as (gateway, _):
            status, _, _ = await gateway.post("/v1/chat/completions", {**CHAT, "messages": messages})
    asked, said = (each.body["text"] for each in server.received)
    assert status == 200
    assert "Before" not in asked
    assert all(part in asked for part in ("A bird", "in a book", "Hi"))
    assert all(part in said for part in ("Well.", "A thought."))


async def test_an_answer_is_judged_sentence_by_sentence() -> None:
    """What has been judged has been said, and the sentence that is refused has not."""
    async with ScriptedUpstream(ALLOWED, REFUSED) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", places=["output"])
        stream = Stream.of_text("Good ", "morning. ", "A bird ", "sings. ", "More.")
        async with serving_upstream(stream, guardrails=[rule]) as (gateway, _):
            chunks = [chunk async for chunk in await gateway.sdk().chat.completions.create(**CHAT, stream=True)]
    assert [each.body["text"] for each in server.received] == ["Good morning. ", "Good morning. A bird sings. "]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Good morning. "
    assert chunks[-1].choices[0].finish_reason == "content_filter"


async def test_a_model_with_a_rubric_judges_and_is_paid_for() -> None:
    """It reads the rubric, and the text only as a user's message; what it costs is part of the run."""
    rule = policy(rule="judge", model="judge", rubric="No birds.")
    async with ScriptedUpstream(answer("Nobody.")) as up, ScriptedUpstream(answer('{"allowed": true}')) as judge:
        named = {"up": up, "judge": judge}
        providers = [
            {"name": name, "kind": "openai", "base_url": each.base_url, "api_key": "sk-of-nobody"}
            for name, each in named.items()
        ]
        models = [{"name": name, "provider": name} for name in named]
        async with serving(providers=providers, models=models, graphs=[], guardrails=[rule]) as gateway:
            status, _, body = await gateway.post("/v1/chat/completions", CHAT)
    messages = judge.received[0].body["messages"]
    assert status == 200
    assert body["usage"]["total_tokens"] == 20
    assert messages[0]["content"].endswith("No birds.")
    assert messages[1] == {"role": "user", "content": "Who knows?"}


async def test_a_moderation_endpoint_names_what_it_found() -> None:
    """Its categories stand in the reason; its key in its header only."""
    begun = Pause()
    flagged = {"results": [{"flagged": True, "categories": {"violence": True, "hate": False}}]}
    async with ScriptedUpstream(Stream([begun, orjson.dumps(flagged)])) as server:
        rule = policy(rule="moderation", base_url=server.base_url, api_key="sk-moderation")
        async with serving_upstream(Hang(), guardrails=[rule]) as (gateway, upstream):
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", CHAT))
            await upstream.came.wait()
            begun.set()
            _, _, body = await asking
    assert body["error"]["code"] == "content_filter"
    assert "violence" in body["error"]["message"]
    assert server.received[0].headers["Authorization"] == "Bearer sk-moderation"


@pytest.mark.parametrize("said", [{"results": []}, {"results": [{"flagged": True, "categories": ["violence"]}]}])
@pytest.mark.parametrize(("fail", "ends"), [("open", 200), ("closed", 503)])
async def test_a_moderation_that_says_nothing_of_the_text_is_none(said: dict[str, Any], fail: str, ends: int) -> None:
    """No result lets nothing pass; and where there is no key, none is sent."""
    async with ScriptedUpstream(Json(said)) as server:
        rule = policy(rule="moderation", base_url=server.base_url, places=["output"], fail=fail)
        async with serving_upstream(answer("Nobody."), guardrails=[rule]) as (gateway, _):
            status, _, _ = await gateway.post("/v1/chat/completions", CHAT)
    assert status == ends
    assert "authorization" not in {name.lower() for name in server.received[0].headers}


@pytest.mark.parametrize(("fail", "status"), [("open", 200), ("closed", 503)])
async def test_a_moderation_endpoint_with_another_form_has_not_answered(fail: str, status: int) -> None:
    """Its categories are a list: that is no error of the gateway's."""
    begun = Pause()
    said = {"results": [{"flagged": True, "categories": ["violence"]}]}
    async with ScriptedUpstream(Stream([begun, orjson.dumps(said)])) as server:
        rule = policy(rule="moderation", base_url=server.base_url, api_key="sk-moderation", fail=fail)
        async with serving_upstream(answer("Nobody."), guardrails=[rule]) as (gateway, upstream):
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", CHAT))
            await upstream.came.wait()
            begun.set()
            told, _, _ = await asking
    assert told == status


@pytest.mark.parametrize(("fail", "status"), [("open", 200), ("closed", 503)])
async def test_a_judge_that_does_not_answer_fails_as_it_is_told(fail: str, status: int) -> None:
    """Open lets pass, closed refuses, and says that it could not be asked."""
    begun = Pause()
    async with ScriptedUpstream(Stream([begun, Cut()])) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", fail=fail)
        async with serving_upstream(answer("Nobody."), guardrails=[rule]) as (gateway, upstream):
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", CHAT))
            await upstream.came.wait()
            begun.set()
            said, _, body = await asking
    assert said == status
    assert "Nobody." in str(body) or body["error"]["code"] == "guardrail_unavailable"


@pytest.mark.parametrize("does", [{"mode": "shadow"}, {"action": "flag"}], ids=["shadow", "flag"])
@pytest.mark.parametrize("place", ["input", "output"])
async def test_a_judge_that_only_records_holds_nothing_up(place: str, does: dict[str, str]) -> None:
    """All words have come before it answers; it is asked once, about all of a text, and the run says what it said."""
    answers = Pause()
    async with ScriptedUpstream(Stream([answers, orjson.dumps(REFUSED.body)])) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", places=[place], **does)
        stream = Stream.of_text("A bird. ", "It sings. ", "More.")
        async with serving_upstream(stream, guardrails=[rule]) as (gateway, _):
            heard = ""
            async for chunk in await gateway.sdk().chat.completions.create(**CHAT, stream=True):
                heard += chunk.choices[0].delta.content or ""
                if heard == "A bird. It sings. More.":
                    answers.set()
            (run,) = await gateway.runs()
    assert [each.body["text"] for each in server.received] == [heard if place == "output" else "Who knows?"]
    assert (run["outcome"], run["guardrails"]["action"], run["guardrails"]["flags"]) == ("answered", "flag", ["http"])


async def test_a_judge_in_shadow_that_does_not_answer_is_recorded_only() -> None:
    """It would have refused, as it fails closed."""
    async with ScriptedUpstream(Stream([Cut()])) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", mode="shadow")
        async with serving_upstream(answer("Nobody."), guardrails=[rule]) as (gateway, _):
            status, _, _ = await gateway.post("/v1/chat/completions", CHAT)
            (run,) = await gateway.runs()
    assert (status, run["guardrails"]["flags"]) == (200, ["http"])


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_a_judge_is_asked_about_its_sample_only(mode: str) -> None:
    """Of none of the texts, where that is nothing."""
    async with ScriptedUpstream() as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", mode=mode, sample=0, places=["input", "output"])
        async with serving_upstream(Stream.of_text("A bird. ", "Two."), guardrails=[rule]) as (gateway, _):
            chunks = [chunk async for chunk in await gateway.sdk().chat.completions.create(**CHAT, stream=True)]
    assert server.received == []
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "A bird. Two."


async def test_results_of_the_callers_tools_are_judged() -> None:
    """Those that the model has not read yet, all as one text."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    results = [{"role": "tool", "tool_call_id": "1", "content": said} for said in ("An old bird", "A bird", "Two")]
    messages = [*CHAT["messages"], called, results[0], called, *results[1:]]
    begun = Pause()
    async with ScriptedUpstream(Stream([begun, orjson.dumps(REFUSED.body)])) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", places=["tool_results"])
        async with serving_upstream(Hang(), guardrails=[rule]) as (gateway, upstream):
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", {**CHAT, "messages": messages}))
            await upstream.came.wait()
            begun.set()
            status, _, body = await asking
    assert (status, body["error"]["code"]) == (400, "content_filter")
    assert [each.body for each in server.received] == [{"text": "A bird\nTwo", "place": "tool_results"}]


@pytest.mark.parametrize("judged", [ALLOWED, REFUSED], ids=["allowed", "refused"])
async def test_calls_in_an_answer_are_judged_before_they_leave(judged: Json) -> None:
    """Each by itself and whole, in JSON, whatever pieces it comes in."""
    async with ScriptedUpstream(ALLOWED, judged) as server:
        rule = policy(rule="http", url=f"{server.base_url}/guard", places=["tool_arguments"])
        stream = OPENAI.calls(Call("call_1", "f", '{"about": "birds"}'), Call("call_2", "g", "no JSON"))
        async with serving_upstream(stream, guardrails=[rule]) as (gateway, _):
            chunks = [chunk async for chunk in await gateway.sdk().chat.completions.create(**CHAT, stream=True)]
    names = [
        call.function.name for chunk in chunks for call in chunk.choices[0].delta.tool_calls or () if call.function
    ]
    asked = [(orjson.loads(each.body["text"]), each.body["place"]) for each in server.received]
    assert sorted(asked, key=str) == [
        ({"name": "f", "arguments": {"about": "birds"}}, "tool_arguments"),
        ({"name": "g", "arguments": "no JSON"}, "tool_arguments"),
    ]
    assert names == (["f", "g"] if judged is ALLOWED else [])
    assert {chunk.choices[0].finish_reason for chunk in chunks} >= ({"content_filter"} if judged is REFUSED else {None})


async def test_a_judge_is_not_shown_what_was_taken_out_of_the_request() -> None:
    """Neither in the request nor in the answer, into which the client has it put back."""
    judging = {"rule": "http", "places": ["input", "output"]}
    async with ScriptedUpstream(ALLOWED, ALLOWED) as server:
        rules = [{"rule": "personal_data"}, {**judging, "url": f"{server.base_url}/guard"}]
        held = {"name": "judged", "everywhere": True, "rules": rules, "reversible": True}
        async with serving_upstream(answer("I wrote to [EMAIL_1]."), guardrails=[held]) as (gateway, _):
            messages = [{"role": "user", "content": "Write to anna@example.org"}]
            _, _, body = await gateway.post("/v1/chat/completions", {**CHAT, "messages": messages})
    assert body["choices"][0]["message"]["content"] == "I wrote to anna@example.org."
    assert [each.body["text"] for each in server.received] == ["Write to [EMAIL_1]", "I wrote to [EMAIL_1]."]


async def test_a_text_off_the_topics_is_refused_by_its_embedding() -> None:
    """The examples are embedded once; what embeddings cost is part of the run."""
    begun = Pause()
    off = Stream([begun, orjson.dumps(embeddings([0.0, 1.0]).body)])
    vectors = (embeddings([1.0, 0.0]), embeddings([0.9, 0.1]), off)
    async with ScriptedUpstream(answer("Nobody."), Hang()) as up, ScriptedUpstream(*vectors) as embedder:
        named = {"up": up, "embedder": embedder}
        providers = [
            {"name": name, "kind": "openai", "base_url": each.base_url, "api_key": "sk-of-nobody"}
            for name, each in named.items()
        ]
        models = [{"name": name, "provider": name} for name in named]
        rule = policy(rule="topics", model="embedder", examples=["Who knows the way?"], threshold=0.8)
        async with serving(providers=providers, models=models, graphs=[], guardrails=[rule]) as gateway:
            allowed = await gateway.post("/v1/chat/completions", CHAT)
            up.came.clear()
            asking = asyncio.create_task(gateway.post("/v1/chat/completions", CHAT))
            await up.came.wait()
            begun.set()
            refused = await asking
    assert (allowed[0], allowed[2]["usage"]["total_tokens"]) == (200, 10 + 7 + 7)
    assert (refused[0], refused[2]["error"]["code"]) == (400, "content_filter")
