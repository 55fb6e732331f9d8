"""Several processes on one port: real ones, which are killed, told to stop, and left by their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from llm.testing import Pause, ScriptedUpstream, Stream
from llm.testing.upstream import answer, choice, frame
from tests.gateway.store.servers import RedisServer

SETTINGS = """
server: {{port: {port}, workers: 2, drain_seconds: 20}}
providers: [{{name: scripted, kind: openai, base_url: "{upstream}"}}]
models: [{{name: up, provider: scripted}}]
graphs: []
"""
CHAT = {"model": "up", "messages": [{"role": "user", "content": "hi"}]}


class Process:
    """A gateway in processes of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.address = ""

    async def listen(self) -> None:
        """Waits until it says where it listens."""
        assert self.process.stdout is not None
        self.address = (await self.process.stdout.readline()).decode().split(" ")[4]

    async def says(self) -> str:
        """Its next line of errors."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            return (await self.process.stderr.readline()).decode()

    async def workers(self, number: int = 2) -> list[int]:
        """The ids of its workers, once there are so many."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        async with asyncio.timeout(60):
            while len(pids := path.read_text(encoding="ascii").split()) != number:
                await asyncio.sleep(0)
        return [int(pid) for pid in pids]

    async def ended(self) -> int:
        """Its status, once it has ended."""
        async with asyncio.timeout(60):
            return await self.process.wait()


@asynccontextmanager
async def gateway(
    folder: Path, upstream: str = "http://127.0.0.1:9/v1", port: int = 0, settings: str = SETTINGS
) -> AsyncGenerator[Process, None]:
    """A gateway with two workers over an upstream."""
    path = folder / "penstock.yaml"
    path.write_text(settings.format(port=port, upstream=upstream), encoding="utf-8")
    async with started(path) as process:
        yield process


@asynccontextmanager
async def started(path: Path) -> AsyncGenerator[Process, None]:
    """A gateway by these settings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """The other one goes on serving meanwhile; and at the end all of them are gone."""
    async with (
        ScriptedUpstream(answer("Hello"), answer("Hello")) as upstream,
        gateway(tmp_path, upstream.base_url) as it,
    ):
        await it.listen()
        one, other = await it.workers()
        os.kill(one, signal.SIGKILL)
        assert "worker 0 ended, and is started again" in await it.says()
        assert other in (pids := await it.workers())
        assert one not in pids
        async with aiohttp.ClientSession() as http:
            for _ in range(2):
                async with http.post(f"{it.address}/v1/chat/completions", json=CHAT) as answered:
                    assert answered.status == 200
        it.process.terminate()
        assert await it.ended() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_a_stream_in_flight_is_finished_when_all_stop(tmp_path: Path) -> None:
    """Whichever worker it is with, its client hears the end; then the status is 0."""
    pause = Pause()
    pieces = [*Stream.words("first"), pause, frame(choice({"content": "second"})), *Stream.end({})]
    async with ScriptedUpstream(Stream(pieces)) as upstream, gateway(tmp_path, upstream.base_url) as it:
        await it.listen()
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{it.address}/v1/chat/completions", json={**CHAT, "stream": True}) as answered,
        ):
            assert b"first" in await answered.content.readuntil(b"first")
            it.process.terminate()
            await it.workers(1)
            pause.set()
            rest = await answered.read()
        assert await it.ended() == 0
    assert b"second" in rest
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_workers_whose_parent_is_killed_end_by_themselves(tmp_path: Path) -> None:
    """Nobody would be left to stop them."""
    async with gateway(tmp_path) as it:
        await it.listen()
        pids = await it.workers()
        it.process.kill()
        async with asyncio.timeout(60):
            while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
                await asyncio.sleep(0)


async def test_workers_start_without_their_store(tmp_path: Path, free_tcp_port: int) -> None:
    """As one does: they say that it is not there, keep nothing in it, and do once it is; also where nothing limits
    anybody, so that only answers under an Idempotency-Key would be in it."""
    settings = f"{SETTINGS}store: {{{{url: 'redis://127.0.0.1:{free_tcp_port}'}}}}\n"
    key = {"Idempotency-Key": "k"}
    async with (
        ScriptedUpstream(answer("Hello"), answer("Hello")) as upstream,
        gateway(tmp_path, upstream.base_url, settings=settings) as it,
    ):
        await it.listen()
        statuses = []
        for headers in ({}, key):
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{it.address}/v1/chat/completions", json=CHAT, headers=headers) as answered,
            ):
                statuses.append(answered.status)
        await store_is(it, "unreachable")
        with RedisServer(tmp_path, port=free_tcp_port):
            await store_is(it, "")
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{it.address}/v1/chat/completions", json=CHAT, headers=key) as answered,
            ):
                statuses.append(answered.status)
    assert statuses == [200, 503, 200]


async def store_is(it: Process, said: str) -> None:
    """Waits until every worker that is asked says so of the store; each connection may be another's."""
    async with asyncio.timeout(60):
        agreed = 0
        while agreed < 10:
            async with aiohttp.ClientSession() as http, http.get(f"{it.address}/v2/health/ready") as answered:
                agreed = agreed + 1 if (await answered.json()).get("store", "") == said else 0


async def test_workers_that_cannot_start_end_the_command(tmp_path: Path) -> None:
    """With the reason, once for each, and a status that is not 0."""
    path = tmp_path / "penstock.yaml"
    path.write_text("server: {port: 0, workers: 2}\ngraphs: [{name: x, build: 'no.such:module'}]\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(path)), stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"penstock.yaml:2: graphs.0.build: graph 'x': No module named 'no'; modules are looked for in" in said


async def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    """Also where the other one would share it."""
    async with gateway(tmp_path) as one:
        await one.listen()
        port = int(one.address.rpartition(":")[2])
        async with gateway(tmp_path, port=port) as other:
            assert await other.says() == f"penstock: port {port} is taken; choose another one with --port\n"
            assert await other.ended() == 2
