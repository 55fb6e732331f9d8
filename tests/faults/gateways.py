"""Gateways in processes of their own, with two workers, over an upstream on this loop: what faults are done to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from llm.testing import ScriptedUpstream
from tests.gateway.serving.test_workers import Process, started

APP, OPS = ({"Authorization": f"Bearer {key}"} for key in ("app-key-123", "ops-key-123"))
CHAT: Any = {"model": "up", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
NANOS = 7 * 1000 + 3 * 2000
"""What the scripted answer (7 tokens in, 3 out) costs, in billionths of a dollar."""


@dataclass
class Faulty:
    """One of them."""

    process: Process
    http: aiohttp.ClientSession

    async def ask(self, **more: Any) -> tuple[int, Any]:
        """Status and body of a chat of the key that is limited."""
        async with self.chat(**more) as answered:
            return answered.status, orjson.loads(await answered.read())

    @asynccontextmanager
    async def chat(self, **more: Any) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The same as it comes."""
        url = f"{self.process.address}/v1/chat/completions"
        async with self.http.post(url, json={**CHAT, **more}, headers=APP) as answered:
            yield answered

    async def usage(self, requests: int) -> Any:
        """The sums of the ledger, once they are of so many requests."""
        async with asyncio.timeout(30):
            while True:
                url = f"{self.process.address}/admin/usage?by=key"
                async with self.http.get(url, headers=OPS) as answered:
                    rows = orjson.loads(await answered.read()).get("usage", [])
                sums = next((row for row in rows if row["key"] == "app"), {"requests": 0})
                if sums["requests"] >= requests:
                    return sums

    async def store(self, state: str) -> None:
        """Waits until every worker that is asked says so of the store; each connection may be another's."""
        async with asyncio.timeout(30):
            agreed = 0
            while agreed < 10:
                url = f"{self.process.address}/v2/health/ready"
                async with aiohttp.ClientSession() as http, http.get(url) as answered:
                    said = (await answered.read()).decode()
                agreed = agreed + 1 if ("unreachable" in said) == (state == "unreachable") else 0

    async def kill_one(self) -> None:
        """Kills a worker, and waits until another one is in its place."""
        one, _ = await self.process.workers()
        os.kill(one, signal.SIGKILL)
        await self.process.says()

    async def stop(self) -> int:
        """Tells it to stop; its status."""
        self.process.process.terminate()
        return await self.process.ended()


@asynccontextmanager
async def gateway(
    folder: Path, upstream: ScriptedUpstream, store: str = "", **more: Any
) -> AsyncGenerator[Faulty, None]:
    """A gateway with a limited key, whose store is a file in the folder where no other is named."""
    key = {"name": "app", "key": "app-key-123", "budget_usd": 1, "period": "total", "rpm": 10_000, "parallel": 1000}
    tree = {
        "server": {"port": 0, "workers": 2, "drain_seconds": 20},
        "store": {"url": store or f"sqlite:///{folder / 'penstock.db'}"},
        "auth": {"keys": [key, {"name": "ops", "key": "ops-key-123", "role": "admin"}]},
        "providers": [{"name": "scripted", "kind": "openai", "base_url": upstream.base_url}],
        "models": [{"name": "up", "provider": "scripted", "price": {"input": 1, "output": 2}}],
        "graphs": [],
        **more,
    }
    path = folder / "penstock.yaml"
    path.write_bytes(orjson.dumps(tree))
    async with started(path) as process, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await process.listen()
        yield Faulty(process, http)
