"""Upstreams that are not there, or slow: what callers see, what is charged, what the ledger says, who is asked instead.

As in docs/gateway/failures.md. What one worker has seen of a deployment is its own, so each gateway has one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.store.protocol import Amount
from gateway.store.sqlite import SQLiteStore
from llm.testing import Hang, Pause, ScriptedUpstream, Stream
from llm.testing.upstream import Reply, answer
from tests.faults.gateways import NANOS, OPS, Faulty, gateway
from tests.faults.test_faults import nanos_of, used

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
WHOLE: Mapping[bool, Reply] = {False: answer("Hello"), True: Stream.of_text("Hello", usage=USAGE)}
"""The same answer, streamed and not."""
SILENT = 0.3
"""Seconds that an upstream may be silent."""
both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of an upstream where connections are refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def settings(first: str, other: ScriptedUpstream, *, silent: float = SILENT, **routing: Any) -> Mapping[str, Any]:
    """Of models: ``alone`` at the first upstream, ``other`` at another, ``up`` at both, of which that is asked first.

    One failure is enough for a deployment to be left alone for as long as a test takes.
    """
    price, rest = {"input": 1, "output": 2}, {"cooldown": {"failures": 1, "seconds": 300}, **routing}
    behind = [{"provider": "first", "weight": 1000}, {"provider": "other"}]
    return {
        "server": {"port": 0, "workers": 1},
        "providers": [
            {"name": "first", "kind": "openai", "base_url": first, "read_seconds": silent},
            {"name": "other", "kind": "openai", "base_url": other.base_url},
        ],
        "models": [
            {"name": "alone", "provider": "first", "price": price},
            {"name": "other", "provider": "other", "price": price},
            {"name": "up", "deployments": behind, "price": price, "routing": rest},
        ],
    }


async def told(it: Faulty, model: str, *, streamed: bool) -> tuple[int, str, str]:
    """Status, text and code of the error that a client reads."""
    async with it.chat(model=model, stream=streamed) as answered:
        body = await answered.read()
    events = [line[6:] for line in body.splitlines() if line.startswith(b"data: {")] if streamed else []
    objects = [orjson.loads(each) for each in events or [body]]
    choices = [each["choices"][0] for each in objects if each.get("choices")]
    texts = [(each.get("message") or each["delta"]).get("content") or "" for each in choices]
    codes = [each["error"]["code"] for each in objects if "error" in each]
    return answered.status, "".join(texts), "".join(codes)


async def states(it: Faulty) -> list[str]:
    """How the two deployments are."""
    async with it.http.get(f"{it.process.address}/admin/deployments", headers=OPS) as answered:
        [row] = orjson.loads(await answered.read())["models"]
    return [each["state"] for each in row["deployments"]]


async def settled(it: Faulty, folder: Path, requests: int) -> Any:
    """The sums of the ledger, when the gateway has ended; charged is exactly that, and no place is taken."""
    sums = await it.usage(requests)
    assert await it.stop() == 0
    taken = await used(SQLiteStore(folder / "penstock.db"))
    assert taken == Amount(requests, sums["total_tokens"], nanos_of(sums), 0)
    return sums


@both
async def test_connections_are_refused(streamed: bool, nobody: str, tmp_path: Path) -> None:
    """Alone it is a 502 that costs nothing; where there is another deployment that answers, and is all that is paid,
    and the first is left alone."""
    async with (
        ScriptedUpstream(WHOLE[streamed], WHOLE[streamed]) as other,
        gateway(tmp_path, other, **settings(nobody, other)) as it,
    ):
        assert await told(it, "alone", streamed=streamed) == (502, "", "upstream_unreachable")
        assert [await told(it, "up", streamed=streamed) for _ in range(2)] == [(200, "Hello", "")] * 2
        assert await states(it) == ["open", "closed"]
        sums = await settled(it, tmp_path, 3)
    assert (sums["failed"], sums["estimated_tokens"], nanos_of(sums)) == (1, 0, 2 * NANOS)


@both
async def test_it_is_slow_to_begin(streamed: bool, tmp_path: Path) -> None:
    """Alone it is a 504; where there is another deployment that answers. Who is slow has read the prompt both times,
    which is paid, as it is estimated; and is left alone."""
    async with (
        ScriptedUpstream(Hang(), Hang()) as slow,
        ScriptedUpstream(WHOLE[streamed], WHOLE[streamed]) as other,
        gateway(tmp_path, other, **settings(slow.base_url, other)) as it,
    ):
        assert await told(it, "alone", streamed=streamed) == (504, "", "upstream_timeout")
        assert [await told(it, "up", streamed=streamed) for _ in range(2)] == [(200, "Hello", "")] * 2
        assert await states(it) == ["open", "closed"]
        sums = await settled(it, tmp_path, 3)
    assert sums["failed"] == 1
    assert nanos_of(sums) == 2 * NANOS + sums["estimated_tokens"] * 1000
    assert sums["estimated_tokens"] > 0


async def test_nobody_is_asked_after_the_last_moment(tmp_path: Path) -> None:
    """When ``total_seconds`` are over the caller hears it; the other deployment, for which there is no time, is not
    asked, not blamed and not paid."""
    async with (
        ScriptedUpstream(Hang()) as slow,
        ScriptedUpstream() as other,
        gateway(tmp_path, other, **settings(slow.base_url, other, total_seconds=SILENT / 2)) as it,
    ):
        assert await told(it, "up", streamed=False) == (504, "", "upstream_timeout")
        assert await states(it) == ["open", "closed"]
        sums = await settled(it, tmp_path, 1)
    assert 0 < sums["total_tokens"] == sums["estimated_tokens"] < 10


async def test_it_falls_silent_in_a_stream(tmp_path: Path) -> None:
    """After the first words nobody else is asked: the stream ends with an error, paid is what was said, and the
    deployment is left alone."""
    async with (
        ScriptedUpstream(Stream([*Stream.words("first"), Hang()])) as slow,
        ScriptedUpstream(WHOLE[True]) as other,
        gateway(tmp_path, other, **settings(slow.base_url, other, idle_seconds=SILENT)) as it,
    ):
        assert await told(it, "up", streamed=True) == (200, "first", "upstream_timeout")
        assert await states(it) == ["open", "closed"]
        assert await told(it, "up", streamed=True) == (200, "Hello", "")
        sums = await settled(it, tmp_path, 2)
    assert (sums["failed"], sums["completion_tokens"]) == (1, 1 + 3)


async def test_it_falls_silent_in_a_whole_answer(tmp_path: Path) -> None:
    """The client has heard nothing of it, so another deployment answers; paid is the prompt, as it is estimated."""
    begun = orjson.dumps(answer("Hello").body)[:-9]
    async with (
        ScriptedUpstream(Stream([begun, Hang()])) as slow,
        ScriptedUpstream(WHOLE[False]) as other,
        gateway(tmp_path, other, **settings(slow.base_url, other)) as it,
    ):
        assert await told(it, "up", streamed=False) == (200, "Hello", "")
        assert await states(it) == ["open", "closed"]
        sums = await settled(it, tmp_path, 1)
    assert nanos_of(sums) == NANOS + sums["estimated_tokens"] * 1000


@both
async def test_it_is_slow_and_answers(streamed: bool, tmp_path: Path) -> None:
    """As long as no time is over it is waited for; meanwhile others are answered, and in the end all are, whole."""
    pause, number = Pause(), 50
    begun = Stream.words("Hel") if streamed else [b'{"choices":[{"index":0,"message":{"role":"assistant",']
    rest = [*Stream.words("lo")[1:], *Stream.end(USAGE)] if streamed else [b'"content":"Hello"}']
    if not streamed:
        rest += [b',"finish_reason":"stop"}],"usage":', orjson.dumps(USAGE), b"}"]
    slowly: list[Reply] = [Stream([pause, *begun, pause, *rest])] * number
    async with (
        ScriptedUpstream(*slowly) as slow,
        ScriptedUpstream(WHOLE[streamed]) as other,
        gateway(tmp_path, other, **settings(slow.base_url, other, silent=60)) as it,
    ):
        asked = [asyncio.create_task(told(it, "alone", streamed=streamed)) for _ in range(number)]
        async with asyncio.timeout(30):
            while len(slow.received) < number:
                await asyncio.sleep(0)
        assert await told(it, "other", streamed=streamed) == (200, "Hello", "")
        pause.set()
        assert await asyncio.gather(*asked) == [(200, "Hello", "")] * number
        sums = await settled(it, tmp_path, number + 1)
    assert (sums["failed"], sums["estimated_tokens"], nanos_of(sums)) == (0, 0, (number + 1) * NANOS)
