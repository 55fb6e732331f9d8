"""Any upstream that speaks OpenAI's chat API: the real one, Ollama, vLLM, llama.cpp, another Penstock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import quote

from llm.chat import ChatChunk, ChatRequest
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import UpstreamBrokeOff, UpstreamError
from llm.providers.http import (
    checked_base_url,
    checked_header,
    encoded,
    is_whole,
    parsed_object,
    read_body,
    read_model_ids,
    read_object,
)
from llm.providers.openai_answer import DONE, ToolCallIndexes, chunk_of_answer, chunk_of_event
from llm.providers.openai_embeddings import body_of, embeddings_of
from llm.providers.openai_errors import error_of_answer, error_of_event
from llm.providers.openai_passing import Passage, whole
from llm.sse import EventParser, events
from llm.transport import AiohttpTransport, Response, Transport


class OpenAIProvider:
    """Calls ``{base_url}/chat/completions`` with the gateway's own key; nothing of the caller's headers goes along.

    Args:
        organization: sent as ``OpenAI-Organization``.
        project: sent as ``OpenAI-Project``.
        api_version: when set, Azure's form is spoken: ``base_url`` is the resource
            (``https://my-resource.openai.azure.com``), models are deployments of it, the key goes as ``api-key``
            (https://learn.microsoft.com/azure/ai-services/openai/reference).
        rename: parameters that this upstream calls otherwise, or with "" does not take:
            ``{"max_completion_tokens": "max_tokens", "stream_options": ""}``.

    Raises:
        ValueError: when ``base_url`` is no plain http(s) address, or an option cannot stand in a header.
    """

    compares = True
    passes = True

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        transport: Transport | None = None,
        *,
        organization: str = "",
        project: str = "",
        api_version: str = "",
        rename: Mapping[str, str] | None = None,
    ) -> None:
        self._base = checked_base_url(base_url)
        self._version = quote(api_version, safe="")
        self._headers = {"content-type": "application/json"}
        for option, header, value in (
            ("api_key", "api-key" if api_version else "authorization", api_key),
            ("organization", "openai-organization", organization),
            ("project", "openai-project", project),
        ):
            if checked_header(option, value):
                self._headers[header] = f"Bearer {value}" if header == "authorization" else value
        self._rename = dict(rename or {})
        self._transport = transport or AiohttpTransport()

    async def start(self) -> None:
        """Nothing to make ready: connections are made when they are needed."""

    async def close(self) -> None:
        await self._transport.close()

    async def models(self) -> list[str]:
        """The names of the models that the upstream lists.

        Raises:
            UpstreamError: when it cannot be asked.
        """
        return await read_model_ids(await self._transport.get(self._url("models"), self._headers), "OpenAI's")

    def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        return self._passed(model, request) if request.passes else self._decoded(model, request)

    async def _decoded(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        response = await self._asked(model, request)
        try:
            if request.stream and not is_whole(response):
                async with aclosing(_streamed(response)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield chunk_of_answer(await read_object(response))
        finally:
            response.close()

    async def _passed(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The same with the bytes to pass on; a chunk holds all that came with one read."""
        response = await self._asked(model, request)
        try:
            if not request.stream:
                yield whole(await read_body(response), request)
                return
            if response.status != 200 or is_whole(response):
                yield chunk_of_answer(await read_object(response))
                return
            parser, passage = EventParser(), Passage(request)
            async with aclosing(response.reads()) as reads:
                async for read in reads:
                    chunk = passage.take(parser.feed(read))
                    if chunk is not None:
                        yield chunk
                    if passage.fault is not None:
                        raise passage.fault
                    if passage.ended:
                        await _to_the_end(reads)
                        break
            if not passage.ended and not passage.finished:
                raise UpstreamBrokeOff(BROKE_OFF)
            yield passage.close()
        finally:
            response.close()

    async def _asked(self, model: str, request: ChatRequest) -> Response:
        body = encoded(self._body(model, request))
        return await self._transport.post(self._url("chat/completions", model), self._headers, body)

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """See :class:`~llm.embeddings.EmbeddingProvider`."""
        body = encoded(body_of(model, request))
        response = await self._transport.post(self._url("embeddings", model), self._headers, body)
        try:
            return embeddings_of(await read_object(response), len(request.inputs))
        finally:
            response.close()

    def _url(self, path: str, model: str = "") -> str:
        if not self._version:
            return f"{self._base}/{path}"
        deployment = f"deployments/{quote(model, safe='')}/" if model else ""
        return f"{self._base.removesuffix('/openai')}/openai/{deployment}{path}?api-version={self._version}"

    def _body(self, model: str, request: ChatRequest) -> dict[str, Any]:
        body = {**request.to_wire(), "model": model}
        options = body.pop("stream_options", None) or {}
        if request.stream:
            body["stream"] = True
            body["stream_options"] = {**options, "include_usage": True}
        if not self._rename:
            return body
        named = ((self._rename.get(name, name), value) for name, value in body.items())
        return {name: value for name, value in named if name}


LINGER = 0.05
"""How long the end of a stream that has said that it is over is waited for, in seconds."""
BROKE_OFF = "the upstream's stream ended before the answer did"


async def _to_the_end(rest: AsyncGenerator[bytes, None]) -> None:
    """Takes what is left of a body, if it comes in a moment: only then can its connection be used again."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(LINGER):
            while await anext(rest, b""):
                pass


async def _streamed(response: Response) -> AsyncGenerator[ChatChunk, None]:
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, await response.read())
    calls = ToolCallIndexes()
    finished = False
    async with aclosing(events(response.reads())) as datas:
        async for data in datas:
            if data == DONE:
                await _to_the_end(datas)
                return
            event = parsed_object(data)
            if event.get("error"):
                raise error_of_event(event["error"])
            chunk = chunk_of_event(event, calls)
            finished = finished or chunk.finish_reason is not None
            yield chunk
    if not finished:
        raise UpstreamBrokeOff(BROKE_OFF)
