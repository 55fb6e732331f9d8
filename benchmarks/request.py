"""What a request costs inside the gateway, without any network: ``python -m benchmarks.request``.

The app is called as a server calls it, and its upstream is a transport that answers from memory, each time in the next
turn of the event loop, as whoever waits must be woken; so what is left is the gateway's own. Beside it stands the same
by hand: compare a key, parse, put the upstream's name in, read the usage, send. The gateway has a ledger, which writes
beside the requests; ``limited`` has limits too, which are leased, and ``unrecorded`` not even the ledger. Contenders
take turns in short series; the fastest series of CPU time counts, as disturbances only add.
``--profile`` prints where the time goes instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import orjson
import uvloop

from benchmarks.gateways import upstream
from gateway.app import create_app
from gateway.catalog.catalog import Catalog
from gateway.catalog.deployed import Deployed, Served
from gateway.config import Settings
from gateway.serving.server import forget_generators
from graph import Flow
from graph.steps.responder import ResponderStep
from llm import Model, Price
from llm.providers.openai import OpenAIProvider
from llm.transport import Transport

SERIES, REQUESTS = 100, 40
FEW, MANY = 2, 102
"""Chunks of the two streams whose difference is what a chunk costs."""
TOTAL = re.compile(rb'"total_tokens":(\d+)')
KEY = "sk-benchmark-app-key"
MESSAGES = [{"role": "user", "content": "Say ten words, and say them slowly, one after the other."}]
OPS = {"name": "ops", "key": "sk-benchmark-ops-key", "role": "admin"}
LIMITS = {"rpm": 10_000_000, "tpm": 1_000_000_000, "budget_usd": 1_000_000, "parallel": 1000}
NAMES = ("by hand", "unrecorded", "passing", "limited", "one_step", "four_steps")
NO_LIMITS: Mapping[str, int] = MappingProxyType({})
ASGI = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


async def turn() -> None:
    """Waits until the loop comes round, woken as by a socket."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    loop.call_soon(woken.set_result, None)
    await woken


class Answer:
    """An answer from memory; of a stream each event is a read of its own, and is waited for."""

    status = 200

    def __init__(self, kind: str, reads: list[bytes]) -> None:
        self.headers: Mapping[str, str] = {"content-type": kind}
        self._reads = reads

    async def read(self) -> bytes:
        return b"".join(self._reads)

    async def reads(self) -> AsyncGenerator[bytes, None]:
        for read in self._reads:
            await turn()
            yield read

    def leave(self) -> None:
        """There is nothing to leave."""

    def close(self) -> None:
        """There is nothing to close."""


class Memory:
    """A transport whose upstream is in memory. A stream has as many words as ``max_tokens`` says."""

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        await turn()
        if b'"stream":true' not in (body or b""):
            return Answer("application/json", [upstream.ANSWER])
        words = int(upstream.CHUNKS.findall(body or b"")[0])
        return Answer("text/event-stream", [ROLE, *[WORD] * words, LAST])

    async def close(self) -> None:
        """There is nothing to close."""


def unchunked(data: bytes) -> bytes:
    """The events in a scripted answer, without HTTP's chunks around them."""
    return b"".join(re.findall(rb"data: .*\n\n", data))


ROLE, WORD, LAST = unchunked(upstream.FIRST), unchunked(upstream.WORD), unchunked(upstream.LAST)


class ByHand:
    """The least that does it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._key = f"Bearer {KEY}".encode()
        self.tokens = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if dict(scope["headers"]).get(b"authorization") != self._key:
            raise ValueError("another key")
        body = orjson.loads((await receive())["body"])
        body["model"] = "gpt-4o-mini"
        answer = await self._transport.request("POST", "http://up/v1/chat/completions", {}, orjson.dumps(body))
        kind = answer.headers["content-type"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        async for read in answer.reads():
            if (found := TOTAL.search(read)) is not None:
                self.tokens += int(found[1])
            await send({"type": "http.response.body", "body": read, "more_body": True})
        await send({"type": "http.response.body"})


def gateway(transport: Transport, store: Path, limits: Mapping[str, int] = NO_LIMITS, *, record: bool = True) -> ASGI:
    """Penstock, with three names over one upstream: one that passes, one that is looked into, and the latter
    behind three steps that do nothing."""
    provider = OpenAIProvider("http://up/v1", "sk-upstream", transport)
    served = {}
    for name, steps in (("passing", 0), ("one_step", 0), ("four_steps", 3)):
        flow = Flow(name)
        last: Any = flow
        for number in range(steps):
            last = last.to(lambda body: body, name=f"same_{number}")
        model = Model(name, provider, "gpt-4o-mini", price=Price(0.15, 0.6))
        last.to(ResponderStep(model), name="responder").respond()
        row = Served(
            name, "model", flow.validate(), "up", "", 0, passes=name == "passing", model=model, models=(model,)
        )
        served[name] = Deployed.of(row)
    settings = {
        "auth": {"keys": [{"name": "app", "key": KEY, **limits}, OPS]},
        "store": {"url": f"sqlite:///{store}"},
        "usage": {"record": record},
    }
    return create_app(Settings.model_validate(settings), Catalog(served, {"up": provider}))


async def live(app: ASGI, ready: asyncio.Event, over: asyncio.Event) -> None:
    """The life of an app, from its start to when it is told that it is over."""

    async def receive() -> Mapping[str, str]:
        if not ready.is_set():
            return {"type": "lifespan.startup"}
        await over.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Mapping[str, str]) -> None:
        assert message["type"].endswith(".complete"), message
        ready.set()

    await app({"type": "lifespan", "state": {}}, receive, send)


@asynccontextmanager
async def started(*apps: ASGI) -> AsyncGenerator[None, None]:
    """These apps, ready to be asked as under our server."""
    forget_generators()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as lives:
        for app in apps:
            ready = asyncio.Event()
            lives.create_task(live(app, ready, over))
            await ready.wait()
        try:
            yield
        finally:
            over.set()


def request(app: ASGI, **body: Any) -> Callable[[], Awaitable[int]]:
    """What asks an app, and gives the number of bytes that it sent."""
    content = orjson.dumps({"messages": MESSAGES, "temperature": 0.5, **body})
    headers = [
        (b"host", b"127.0.0.1"),
        (b"content-type", b"application/json"),
        (b"authorization", f"Bearer {KEY}".encode()),
        (b"content-length", str(len(content)).encode()),
    ]

    async def ask() -> int:
        sent, received = 0, False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal received
            if received:
                await asyncio.Event().wait()
            received = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))

        path = "/v1/chat/completions"
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
        await app(scope, receive, send)
        return sent

    return ask


async def series(ask: Callable[[], Awaitable[int]]) -> float:
    """CPU µs of one request, over a short series of them."""
    begun = time.process_time()
    for _ in range(REQUESTS):
        assert await ask()
    return (time.process_time() - begun) / REQUESTS * 1e6


@asynccontextmanager
async def contenders(folder: Path) -> AsyncGenerator[dict[str, Callable[[], Awaitable[int]]], None]:
    """Everything that is asked: whole answers, and short and long streams."""
    usual = gateway(Memory(), folder / "usual.db")
    apps: dict[str, ASGI] = dict.fromkeys(NAMES, usual)
    apps["by hand"] = ByHand(Memory())
    apps["limited"] = gateway(Memory(), folder / "limited.db", LIMITS)
    apps["unrecorded"] = gateway(Memory(), folder / "unrecorded.db", record=False)
    asked = {}
    for name, app in apps.items():
        model = name if name.endswith(("step", "steps")) else "passing"
        asked[f"{name}: whole"] = request(app, model=model)
        for words in (FEW, MANY):
            asked[f"{name}: {words} words"] = request(app, model=model, stream=True, max_tokens=words)
    async with started(usual, apps["limited"], apps["unrecorded"]):
        yield asked


async def measure(folder: Path) -> dict[str, float]:
    """The fastest series of each."""
    async with contenders(folder) as asked:
        best = dict.fromkeys(asked, float("inf"))
        for _ in range(SERIES):
            for name, ask in asked.items():
                best[name] = min(best[name], await series(ask))
        return best


def table(best: Mapping[str, float]) -> None:
    """Prints what a request, a short stream and a chunk cost, and times by hand."""
    print("CPU µs; in brackets times what it costs by hand\n")
    print(f"{'':12}{'request':>18}{'short stream':>18}{'chunk':>18}")
    hand = _figures(best, "by hand")
    for name in NAMES:
        cells = (f"{mine:.1f} ({mine / least:.1f}×)" for mine, least in zip(_figures(best, name), hand, strict=True))
        print(f"{name:12}{''.join(f'{cell:>18}' for cell in cells)}")
    added = best["four_steps: whole"] - best["one_step: whole"]
    print(f"\nthree trivial steps add {added:.1f} µs to a request")


def _figures(best: Mapping[str, float], name: str) -> tuple[float, float, float]:
    few, many = best[f"{name}: {FEW} words"], best[f"{name}: {MANY} words"]
    return best[f"{name}: whole"], few, (many - few) / (MANY - FEW)


async def profile(name: str, folder: Path) -> None:
    """Prints where the time of one contender goes."""
    profiler = cProfile.Profile()
    async with contenders(folder) as asked:
        await series(asked[name])
        profiler.enable()
        for _ in range(10):
            await series(asked[name])
        profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> None:
    """Measures, or profiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.request", description=__doc__)
    parser.add_argument("--profile", metavar="NAME", help='such as "passing: whole"')
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        if given.profile:
            uvloop.run(profile(given.profile, Path(folder)))
        else:
            table(uvloop.run(measure(Path(folder))))


if __name__ == "__main__":
    main()
