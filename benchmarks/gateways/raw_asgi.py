"""A gateway written by hand for exactly this benchmark: ``python -m benchmarks.gateways.raw_asgi PORT UPSTREAM KEY``.

It compares one key, puts the upstream's name of the model into the request, passes the answer on as bytes and adds up
the usage. Nothing else: no limits, no errors, no record, no client that leaves. It is what such an app costs in Python.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import uvicorn

TOTAL = re.compile(rb'"total_tokens":(\d+)')
JSON, EVENTS = b"application/json", b"text/event-stream"


class Gateway:
    """An ASGI app over one upstream."""

    def __init__(self, upstream: str, key: str) -> None:
        self._url = f"{upstream}/chat/completions"
        self._key = f"Bearer {key}".encode()
        self._session: aiohttp.ClientSession | None = None
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
        self._session = self._session or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"content-type": "application/json", "authorization": "Bearer sk-upstream"}
        async with self._session.post(self._url, data=orjson.dumps(body), headers=headers) as answer:
            kind = EVENTS if body.get("stream") else JSON
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            async for read in answer.content.iter_any():
                if (found := TOTAL.search(read)) is not None:
                    self.tokens += int(found[1])
                await send({"type": "http.response.body", "body": read, "more_body": True})
        await send({"type": "http.response.body"})


if __name__ == "__main__":
    uvicorn.run(
        Gateway(sys.argv[2], sys.argv[3]),
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
