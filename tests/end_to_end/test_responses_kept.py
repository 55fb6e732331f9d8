"""Responses that are kept, gone on from, and made in the background, through the official SDK and as raw wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.telemetry.recordings import replay
from llm.testing import Cut, Hang, Json, Pause, ScriptedUpstream, Stream
from llm.testing.upstream import answer, choice, frame
from tests.end_to_end.test_responses import PATH, USAGE, wire_of
from tests.gateway.endpoints.responses.published import events_of, kinds_of, response_of
from tests.serving import Gateway, serving, serving_upstream


async def delete(gateway: Gateway, response_id: str, **headers: str) -> tuple[int, Any]:
    """Status and body of a DELETE."""
    async with gateway.http.delete(f"{gateway.address}{PATH}/{response_id}", headers=headers) as response:
        return response.status, await response.json()


async def until(gateway: Gateway, response_id: str, *statuses: str) -> Any:
    """A response, as soon as it has one of these statuses."""
    async with asyncio.timeout(10):
        while True:
            _, _, body = await gateway.get(f"{PATH}/{response_id}")
            if body["status"] in statuses:
                return body


@asynccontextmanager
async def following(gateway: Gateway) -> AsyncGenerator[str, None]:
    """The id of a response in the background whose first events are there, and whose maker has gone."""
    body = {"model": "up", "input": "hi", "background": True, "stream": True}
    async with gateway.http.post(gateway.address + PATH, json=body) as response:
        data = await response.content.readuntil(b"\n\n")
    yield data.partition(b'"id":"')[2].partition(b'"')[0].decode()


async def test_a_conversation_goes_on_from_a_response() -> None:
    """All that was said before goes up again, the instructions of before do not; it works from a branch too."""
    async with (
        serving_upstream(answer("One."), answer("Two."), answer("Two, again.")) as (gateway, upstream),
        gateway.sdk() as client,
    ):
        first = await client.responses.create(model="up", input="Count.", instructions="Old.")
        second = await client.responses.create(
            model="up", input="Go on.", previous_response_id=first.id, instructions="New."
        )
        other = await client.responses.create(model="up", input="Go on.", previous_response_id=first.id)
        items = await client.responses.input_items.list(second.id, order="asc")
    assert (second.previous_response_id, other.previous_response_id) == (first.id, first.id)
    said = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One."}]
    asked = [*said, {"role": "user", "content": "Go on."}]
    assert upstream.received[1].body["messages"] == [{"role": "system", "content": "New."}, *asked]
    assert upstream.received[2].body["messages"] == asked
    assert [(item.type, getattr(item, "role", None)) for item in items.data] == [
        ("message", "user"),
        ("message", "assistant"),
        ("message", "user"),
    ]


async def test_an_item_is_referred_to_by_its_id() -> None:
    """As the SDKs of others do it that keep nothing by themselves."""
    async with serving_upstream(answer("One."), answer("Two.")) as (gateway, upstream), gateway.sdk() as client:
        first = await client.responses.create(model="up", input="Count.")
        asked: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "Go on."}]
        await client.responses.create(model="up", input=asked)
    assert upstream.received[1].body["messages"] == [
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "Go on."},
    ]


async def test_what_is_kept() -> None:
    """A response is there until it is deleted; one that shall not be stored never is."""
    async with serving_upstream(answer("Hello"), Stream.of_text("Hi"), answer("Hello")) as (gateway, _):
        _, _, made = await gateway.post(PATH, {"model": "up", "input": "hi"})
        streamed = events_of(await wire_of(gateway, input="hi"))[-1].response
        _, _, passing = await gateway.post(PATH, {"model": "up", "input": "hi", "store": False})
        _, _, kept = await gateway.get(f"{PATH}/{made['id']}")
        _, _, other = await gateway.get(f"{PATH}/{streamed.id}")
        missing = await gateway.get(f"{PATH}/{passing['id']}")
        gone = await delete(gateway, made["id"])
        again = await delete(gateway, made["id"])
    assert kept == made
    response_of(made)
    assert response_of(other) == streamed
    assert (missing[0], missing[2]["error"]["message"]) == (404, f"Response with id '{passing['id']}' not found.")
    assert gone == (200, {"id": made["id"], "object": "response", "deleted": True})
    assert again[0] == 404


async def test_a_caller_sees_only_what_its_own_key_made() -> None:
    """For every other key a response does not exist, in whatever way it is asked for."""
    keys = [{"name": name, "key": f"sk-{name}-of-a-test-key-long-enough"} for name in ("one", "two")]
    mine, theirs = ({"Authorization": f"Bearer {key['key']}"} for key in keys)
    async with serving_upstream(answer("Hello"), auth={"keys": keys}) as (gateway, _):
        _, _, made = await gateway.post(PATH, {"model": "up", "input": "hi"}, **mine)
        place = f"{PATH}/{made['id']}"
        statuses = [
            (await gateway.get(place, **theirs))[0],
            (await gateway.get(f"{place}/input_items", **theirs))[0],
            (await gateway.post(f"{place}/cancel", {}, **theirs))[0],
            (await delete(gateway, made["id"], **theirs))[0],
        ]
        chained = await gateway.post(PATH, {"model": "up", "input": "hi", "previous_response_id": made["id"]}, **theirs)
        reference = {"type": "item_reference", "id": made["output"][0]["id"]}
        referred = await gateway.post(PATH, {"model": "up", "input": [reference]}, **theirs)
        own = await gateway.get(place, **mine)
    assert statuses == [404] * 4
    assert (chained[0], chained[2]["error"]["code"]) == (400, "previous_response_not_found")
    assert (referred[0], referred[2]["error"]["param"]) == (400, "input[0].id")
    assert own[0] == 200


async def test_input_items_page_by_page() -> None:
    """The last one first, so many at a time, on from any of them; the SDK goes through all pages by itself."""
    items: Any = [{"role": "user", "content": f"{number}"} for number in range(5)]
    async with serving_upstream(answer("ok")) as (gateway, _), gateway.sdk() as client:
        response = await client.responses.create(model="up", input=items)
        said: list[Any] = [item async for item in client.responses.input_items.list(response.id, limit=2)]
        place = f"{PATH}/{response.id}/input_items"
        _, _, first = await gateway.get(f"{place}?limit=2")
        wrong = [await gateway.get(f"{place}?{query}") for query in ("limit=0", "limit=x", "order=up", "after=nobody")]
    assert [item.content[0].text for item in said] == ["4", "3", "2", "1", "0"]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, said[0].id, said[1].id)
    assert [status for status, _, _ in wrong] == [400] * 4


async def test_a_response_in_the_background() -> None:
    """It is queued at once, goes on without its client, and is there when it is done."""
    pause = Pause()
    slow = Stream([*Stream.words("Hel"), pause, frame(choice({"content": "lo"})), *Stream.end(USAGE)])
    async with serving_upstream(answer("Hello"), slow) as (gateway, _), gateway.sdk() as client:
        queued = await client.responses.create(model="up", input="hi", background=True)
        done = await until(gateway, queued.id, "completed", "failed")
        stream = await client.responses.create(model="up", input="hi", background=True, stream=True)
        events = aiter(stream)
        begun: Any = await anext(events)
        while (await anext(events)).type != "response.output_text.delta":
            pass
        await stream.close()
        _, _, half_way = await gateway.get(f"{PATH}/{begun.response.id}")
        early = await gateway.post(PATH, {"model": "up", "input": "x", "previous_response_id": begun.response.id})
        pause.set()
        whole = await until(gateway, begun.response.id, "completed", "failed")
        async with gateway.http.get(f"{gateway.address}{PATH}/{whole['id']}?stream=true") as response:
            again = events_of(await response.read())
        rest = [event async for event in await client.responses.retrieve(whole["id"], stream=True, starting_after=5)]
        refused = await gateway.get(f"{PATH}/{queued.id}?stream=true")
    assert (queued.status, queued.background, queued.output) == ("queued", True, [])
    assert (response_of(done).output_text, done["created_at"]) == ("Hello", queued.created_at)
    assert half_way["status"] == "in_progress"
    assert (early[0], early[2]["error"]["param"]) == (400, "previous_response_id")
    assert kinds_of(again)[:3] == ["created", "queued", "in_progress"]
    assert again[-1].response.output_text == response_of(whole).output_text == "Hello"
    assert [event.sequence_number for event in rest] == list(range(6, len(again)))
    assert (refused[0], refused[2]["error"]["param"]) == (400, "stream")


async def test_a_response_in_the_background_is_cancelled() -> None:
    """Its upstream is left, and it says so; a second time changes nothing, and other responses cannot be."""
    async with (
        serving_upstream(Hang(), answer("Hello"), answer("Hello")) as (gateway, upstream),
        gateway.sdk() as client,
    ):
        running = await client.responses.create(model="up", input="hi", background=True)
        while not upstream.received:
            await asyncio.sleep(0)
        cancelled = await client.responses.cancel(running.id)
        await asyncio.wait_for(upstream.left.wait(), 5)
        again = await client.responses.cancel(running.id)
        done = await client.responses.create(model="up", input="hi", background=True)
        await until(gateway, done.id, "completed")
        too_late = await client.responses.cancel(done.id)
        foreground = await client.responses.create(model="up", input="hi")
        with pytest.raises(openai.BadRequestError, match="background"):
            await client.responses.cancel(foreground.id)
    assert (cancelled.status, again.status, too_late.status) == ("cancelled", "cancelled", "completed")


async def test_a_response_in_the_background_is_deleted() -> None:
    """Its upstream is left, and it does not come back."""
    async with serving_upstream(Hang()) as (gateway, upstream):
        _, _, running = await gateway.post(PATH, {"model": "up", "input": "hi", "background": True})
        while not upstream.received:
            await asyncio.sleep(0)
        await delete(gateway, running["id"])
        await asyncio.wait_for(upstream.left.wait(), 5)
        status, _, _ = await gateway.get(f"{PATH}/{running['id']}")
    assert status == 404


async def test_a_response_in_the_background_fails() -> None:
    """Before its first word or after it, it is kept as failed; whoever follows it is told."""
    cut = Stream([*Stream.words("Hel"), Cut()])
    async with serving_upstream(Json({"error": {}}, 429), Json({}, 500), cut) as (gateway, _), gateway.sdk() as client:
        limited = await client.responses.create(model="up", input="hi", background=True)
        failed = await until(gateway, limited.id, "completed", "failed")
        early = events_of(await wire_of(gateway, input="hi", background=True))
        late = events_of(await wire_of(gateway, input="hi", background=True))
        kept = await until(gateway, late[0].response.id, "failed")
    assert response_of(failed).error is not None
    assert failed["error"]["code"] == "rate_limit_exceeded"
    assert kinds_of(early)[-2:] == kinds_of(late)[-2:] == ["error", "failed"]
    assert kept["output"][0]["content"][0]["text"] == "Hel"


async def test_a_gateway_that_stops_does_not_wait_for_the_background() -> None:
    """It ends what is being made there, upstream too."""
    async with ScriptedUpstream(Hang()) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url}
        models = [{"name": "up", "provider": "scripted"}]
        async with serving(providers=[provider], models=models, graphs=[]) as gateway:
            await gateway.post(PATH, {"model": "up", "input": "hi", "background": True})
            while not upstream.received:
                await asyncio.sleep(0)
        await asyncio.wait_for(upstream.left.wait(), 5)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_recorded_response_is_replayed_byte_for_byte(tmp_path: Path, stream: bool) -> None:
    """Also one that went on from another, which nobody has any more."""
    replies = [answer("One."), Stream.of_text("Tw", "o.") if stream else answer("Two.")]
    async with serving_upstream(*replies, record={"path": tmp_path}) as (gateway, _):
        _, _, first = await gateway.post(PATH, {"model": "up", "input": "Count."})
        body = {"model": "up", "input": "Go on.", "previous_response_id": first["id"], "stream": stream}
        async with gateway.http.post(gateway.address + PATH, json=body) as response:
            sent = await response.read()
            request_id = response.headers["x-request-id"]
    provider = {"name": "scripted", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    model = {"name": "up", "provider": "scripted", "model": "upstream-model"}
    settings = Settings.model_validate({"providers": [provider], "models": [model], "graphs": []})
    assert await replay(tmp_path / f"{request_id}.json", Catalog.of(settings)) == sent


async def test_a_cancelled_request_for_events_leaves_the_response_alone() -> None:
    """Whoever follows a response in the background may go; it is made to its end."""
    pause = Pause()
    slow = Stream([*Stream.words("Hel"), pause, *Stream.end(USAGE)])
    async with serving_upstream(slow) as (gateway, upstream), following(gateway) as response_id:
        async with gateway.http.get(f"{gateway.address}{PATH}/{response_id}?stream=true") as response:
            assert (await response.content.readany()).startswith(b"event: response.created")
        pause.set()
        done = await until(gateway, response_id, "completed", "failed", "cancelled")
    assert done["status"] == "completed"
    assert not upstream.left.is_set()
