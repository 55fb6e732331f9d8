"""What one would write first: ``python -m benchmarks.gateways.plain_fastapi PORT UPSTREAM KEY``.

FastAPI over httpx2, with the body as a dict, one key, and a StreamingResponse.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse, Response, StreamingResponse

app = FastAPI()
port, upstream, key = sys.argv[1:4]
client = httpx2.AsyncClient(base_url=upstream, headers={"authorization": "Bearer sk-upstream"}, timeout=60)


@app.post("/v1/chat/completions")
async def chat(body: dict[str, Any], authorization: Annotated[str, Header()] = "") -> Response:
    """Passes a request on."""
    if authorization != f"Bearer {key}":
        raise HTTPException(401)
    body["model"] = "gpt-4o-mini"
    if not body.get("stream"):
        answer = await client.post("/chat/completions", json=body)
        return JSONResponse(answer.json(), answer.status_code)

    async def chunks() -> AsyncIterator[bytes]:
        async with client.stream("POST", "/chat/completions", json=body) as answer:
            async for read in answer.aiter_bytes():
                yield read

    return StreamingResponse(chunks(), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, port=int(port), http="httptools", loop="uvloop", access_log=False, log_level="warning")
