"""A real gateway on a loopback socket, in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import openai

from gateway.config import Settings
from gateway.serving.server import Server
from llm.testing import ScriptedUpstream
from llm.testing.upstream import Reply


@dataclass(frozen=True)
class Gateway:
    """A gateway that is running, and a client of each kind."""

    address: str
    http: aiohttp.ClientSession
    server: Server

    def sdk(self, api_key: str = "none") -> openai.AsyncOpenAI:
        """The official SDK, with only the base URL and the key set, and no retries of its own."""
        return openai.AsyncOpenAI(base_url=f"{self.address}/v1", api_key=api_key, max_retries=0)

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and parsed body of a POST; ``body`` may be bytes."""
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(self.address + path, headers=headers, **data) as answer:
            return answer.status, answer.headers, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and parsed body of a GET."""
        async with self.http.get(self.address + path, headers=headers) as answer:
            return answer.status, answer.headers, await answer.json()

    async def runs(self, least: int = 1) -> list[Any]:
        """The record of the last runs, the latest first, once at least so many have ended."""
        async with asyncio.timeout(10):
            while True:
                _, _, body = await self.get("/admin/runs")
                if len(body["runs"]) >= least:
                    runs: list[Any] = body["runs"]
                    return runs


@asynccontextmanager
async def serving(**tree: Any) -> AsyncGenerator[Gateway, None]:
    """The gateway that these settings make; its store is gone with it, where they do not say otherwise."""
    with TemporaryDirectory() as folder:
        store = {"url": f"sqlite:///{folder}/penstock.db"}
        tree = {"server": {"port": 0, "drain_seconds": 1}, "store": store, **tree}
        async with running(Settings.model_validate(tree)) as gateway:
            yield gateway


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Gateway, None]:
    """The gateway that serves by settings which have been read."""
    server = Server(settings)
    serves = asyncio.create_task(server.serve([server.socket]))
    try:
        async with aiohttp.ClientSession() as http:
            yield Gateway(server.address, http, server)
    finally:
        server.should_exit = True
        await serves


@asynccontextmanager
async def serving_upstream(
    *replies: Reply, graphs: Any = (), **tree: Any
) -> AsyncGenerator[tuple[Gateway, ScriptedUpstream], None]:
    """A gateway with one model, ``up``, behind which a scripted upstream answers."""
    async with ScriptedUpstream(*replies) as upstream:
        provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": "sk-gateways-own"}
        model = {"name": "up", "provider": "scripted", "model": "upstream-model"}
        async with serving(providers=[provider], models=[model], graphs=graphs, **tree) as gateway:
            yield gateway, upstream
