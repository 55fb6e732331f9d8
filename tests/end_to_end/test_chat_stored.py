"""Chat completions that are kept, through the official SDK and as raw wire."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionDeleted, ChatCompletionStoreMessage

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.telemetry.recordings import replay
from llm.testing import Cut, Stream
from llm.testing.upstream import answer
from tests.end_to_end.test_chat import MESSAGES, USAGE, frames_of
from tests.serving import Gateway, serving_upstream

PATH = "/v1/chat/completions"
STORED = {"model": "up", "messages": MESSAGES, "store": True}


async def streamed(gateway: Gateway, **members: Any) -> list[Any]:
    """The frames of a stream."""
    body = {**STORED, "stream": True, **members}
    async with gateway.http.post(gateway.address + PATH, json=body) as response:
        return await frames_of(response)


async def kept_ids(gateway: Gateway, query: str = "", **headers: str) -> list[str]:
    """The ids of all that a caller finds."""
    _, _, body = await gateway.get(f"{PATH}?{query}", **headers)
    return [each["id"] for each in body["data"]]


async def test_the_sdk_lists_reads_marks_and_deletes() -> None:
    """Every call of ``client.chat.completions``; each answer is of the SDK's type."""
    replies = [answer("One"), answer("Two"), answer("Three")]
    async with serving_upstream(*replies) as (gateway, upstream), gateway.sdk() as client:
        made = [
            await client.chat.completions.create(
                model="up", messages=MESSAGES, store=True, metadata={"n": str(number), "for": "test"}
            )
            for number in range(3)
        ]
        completions = client.chat.completions
        listed = [one async for one in completions.list(limit=2)]
        marked = [one async for one in completions.list(metadata={"n": "1", "for": "test"}, model="up", order="desc")]
        found = await completions.retrieve(made[0].id)
        changed = await completions.update(made[0].id, metadata={"n": "7"})
        after = [one.id async for one in completions.list(metadata={"n": "7"})]
        cleared = await completions.update(made[0].id, metadata=None)
        gone = await completions.delete(made[2].id)
        with pytest.raises(openai.NotFoundError, match=r"Completion with id 'chatcmpl-.*' not found"):
            await completions.retrieve(made[2].id)
    assert [one.id for one in listed] == [one.id for one in made]
    assert [one.id for one in marked] == [made[1].id]
    assert found.model_dump(exclude={"metadata"}) == made[0].model_dump(exclude={"metadata"})
    assert (found.metadata, changed.metadata, cleared.metadata) == ({"n": "0", "for": "test"}, {"n": "7"}, {})
    assert after == [made[0].id]
    for one in (*listed, found, changed):
        ChatCompletion.model_validate(one.model_dump(), strict=True)
    ChatCompletionDeleted.model_validate(gone.model_dump(), strict=True)
    assert all(not {"store", "metadata"} & received.body.keys() for received in upstream.received)


async def test_the_messages_of_a_completion() -> None:
    """As they were sent: parts stand as parts; each has an id to go on from."""
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    said: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "ok", "refusal": None, "annotations": [], "audio": None},
    ]
    async with serving_upstream(answer("Hello")) as (gateway, _), gateway.sdk() as client:
        made = await client.chat.completions.create(model="up", messages=said, store=True)
        messages = client.chat.completions.messages
        listed = [one async for one in messages.list(made.id, limit=2)]
        last = (await messages.list(made.id, order="desc", limit=1)).data[0]
    assert [one.id for one in listed] == [f"{made.id}-{number}" for number in range(3)]
    assert [one.role for one in listed] == ["system", "user", "assistant"]
    assert (listed[0].content, listed[0].content_parts) == ("Be brief.", None)
    assert listed[1].content is None
    assert [part.model_dump(exclude_none=True) for part in listed[1].content_parts or ()] == parts
    assert last.id == listed[2].id
    ChatCompletionStoreMessage.model_validate(last.model_dump(), strict=True)


async def test_a_streamed_answer_is_kept_whole() -> None:
    """With its usage, which the client did not ask for; several choices are one answer."""
    replies = [Stream.of_text("Hel", "lo", usage=USAGE) for _ in range(3)]
    async with serving_upstream(*replies) as (gateway, _):
        first, *_ = frames = await streamed(gateway, metadata={"a": "b"})
        _, _, one = await gateway.get(f"{PATH}/{first['id']}")
        several, *_ = await streamed(gateway, n=2)
        _, _, two = await gateway.get(f"{PATH}/{several['id']}")
    assert not any("usage" in frame for frame in frames[:-1])
    assert (one["object"], one["created"], one["metadata"]) == ("chat.completion", first["created"], {"a": "b"})
    assert one["choices"][0]["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    assert (one["choices"][0]["finish_reason"], one["usage"]) == ("stop", USAGE)
    assert [(choice["index"], choice["message"]["content"]) for choice in two["choices"]] == [
        (0, "Hello"),
        (1, "Hello"),
    ]
    for whole in (one, two):
        ChatCompletion.model_validate(whole, strict=True)


async def test_what_is_not_kept() -> None:
    """What nobody asked to keep, and an answer that broke off; an explicit no goes upstream, with the metadata."""
    broken_off = Stream([*Stream.words("Hel"), Cut()])
    async with serving_upstream(answer("x"), answer("x"), broken_off) as (gateway, upstream):
        await gateway.post(PATH, {**STORED, "store": None})
        await gateway.post(PATH, {**STORED, "store": False, "metadata": {"a": "b"}})
        broken = await streamed(gateway)
        ids = await kept_ids(gateway)
    assert "error" in broken[-1]
    assert ids == []
    assert "store" not in upstream.received[0].body
    assert (upstream.received[1].body["store"], upstream.received[1].body["metadata"]) == (False, {"a": "b"})


async def test_a_caller_sees_only_what_its_own_key_made() -> None:
    """For every other key a completion does not exist; a response is no completion."""
    keys = [{"name": name, "key": f"sk-{name}-of-a-test-key-long-enough"} for name in ("one", "two")]
    mine, theirs = ({"Authorization": f"Bearer {key['key']}"} for key in keys)
    async with serving_upstream(answer("Hello"), answer("Hello"), auth={"keys": keys}) as (gateway, _):
        _, _, made = await gateway.post(PATH, STORED, **mine)
        _, _, response = await gateway.post("/v1/responses", {"model": "up", "input": "hi"}, **mine)
        place = f"{PATH}/{made['id']}"
        statuses = [
            (await gateway.get(place, **theirs))[0],
            (await gateway.get(f"{place}/messages", **theirs))[0],
            (await gateway.post(place, {"metadata": {}}, **theirs))[0],
            (await gateway.get(f"{PATH}/{response['id']}", **mine))[0],
            (await gateway.get(f"/v1/responses/{made['id']}", **mine))[0],
        ]
        async with gateway.http.delete(gateway.address + place, headers=theirs) as refused:
            statuses.append(refused.status)
        found = await kept_ids(gateway, **mine), await kept_ids(gateway, **theirs)
        behind, _, _ = await gateway.get(f"{PATH}?after={made['id']}", **theirs)
    assert statuses == [404] * 6
    assert found == ([made["id"]], [])
    assert behind == 400


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ([], None, None),
        ({}, "metadata", "missing_required_parameter"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"metadata": {}, "model": "x"}, "model", "unknown_parameter"),
    ],
)
async def test_only_metadata_can_be_changed(body: Any, param: str | None, code: str | None) -> None:
    """And it is checked as in a request."""
    async with serving_upstream(answer("Hello")) as (gateway, _):
        _, _, made = await gateway.post(PATH, STORED)
        status, _, told = await gateway.post(f"{PATH}/{made['id']}", body)
    assert (status, told["error"]["param"], told["error"]["code"]) == (400, param, code)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "order=up", "after=chatcmpl-none"])
async def test_pages_that_cannot_be(query: str) -> None:
    """Are the caller's fault."""
    async with serving_upstream() as (gateway, _):
        status, _, body = await gateway.get(f"{PATH}?{query}")
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_an_answer_that_is_kept_is_replayed(tmp_path: Any) -> None:
    """A recording of it is whole."""
    async with serving_upstream(Stream.of_text("Hi"), record={"path": str(tmp_path)}) as (gateway, upstream):
        await streamed(gateway)
    provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url}
    models = [{"name": "up", "provider": "scripted"}]
    catalog = Catalog.of(Settings.model_validate({"providers": [provider], "models": models, "graphs": []}))
    (recorded,) = tmp_path.iterdir()
    assert b"Hi" in await replay(recorded, catalog)
