"""A gateway by hand for exactly this benchmark: ``python -m benchmarks.gateways.raw_asgi PORT UPSTREAM KEY CLIENT``.

It compares one key, puts the upstream's name of the model into the request, passes the answer on as bytes and adds up
the usage. Nothing else: no limits, no errors, no record, no client that leaves. It is what such an app costs in Python:
over ``aiohttp``, which one would take, or over ``penstock``'s own client, which leaves only what the gateway is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import uvicorn

from llm.http1.transport import HttpTransport

TOTAL = re.compile(rb'"total_tokens":(\d+)')
JSON, EVENTS = b"application/json", b"text/event-stream"
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-upstream"}


class AiohttpClient:
    """Asks the upstream over aiohttp."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def reads(self, body: bytes) -> AsyncGenerator[bytes, None]:
        """The answer as it comes."""
        self._session = self._session or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with self._session.post(self._url, data=body, headers=HEADERS) as answer:
            async for read in answer.content.iter_any():
                yield read


class OwnClient:
    """Asks the upstream over the gateway's own client."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._transport = HttpTransport()

    async def reads(self, body: bytes) -> AsyncGenerator[bytes, None]:
        """The answer as it comes."""
        answer = await self._transport.request("POST", self._url, HEADERS, body)
        async for read in answer.reads():
            yield read


CLIENTS: dict[str, Callable[[str], Any]] = {"aiohttp": AiohttpClient, "penstock": OwnClient}


class Gateway:
    """An ASGI app over one upstream."""

    def __init__(self, upstream: str, key: str, client: str) -> None:
        self._client = CLIENTS[client](f"{upstream}/chat/completions")
        self._key = f"Bearer {key}".encode()
        self.tokens = 0

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        if scope["type"] != "http":
            return
        if dict(scope["headers"]).get(b"authorization") != self._key:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body"})
            return
        body = orjson.loads((await receive())["body"])
        body["model"] = "gpt-4o-mini"
        kind = EVENTS if body.get("stream") else JSON
        begun = False
        async for read in self._client.reads(orjson.dumps(body)):
            if not begun:
                begun = True
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            if (found := TOTAL.search(read)) is not None:
                self.tokens += int(found[1])
            await send({"type": "http.response.body", "body": read, "more_body": True})
        await send({"type": "http.response.body"})


if __name__ == "__main__":
    uvicorn.run(
        Gateway(*sys.argv[2:5]),
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
