"""Any upstream that speaks OpenAI's chat API: the real one, Ollama, vLLM, llama.cpp, another Penstock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import orjson

from llm.chat import ChatChunk, ChatRequest, ToolCallDelta
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import UpstreamBrokeOff, UpstreamGarbled, UpstreamUnavailable
from llm.providers.http import (
    checked_base_url,
    checked_header,
    encoded,
    is_whole,
    parsed_object,
    read_model_ids,
    read_object,
)
from llm.providers.openai_embeddings import body_of, embeddings_of
from llm.providers.openai_errors import error_of_answer, error_of_event
from llm.sse import events
from llm.transport import AiohttpTransport, Response, Transport
from llm.usage import Usage

DONE = b"[DONE]"
OWN_FIELDS = frozenset({"content", "tool_calls", "role"})
EMPTY: Any = (None, "", [], {})
FINISH_REASONS = {
    **{reason: reason for reason in ("stop", "length", "tool_calls", "content_filter", "function_call")},
    **dict.fromkeys(("max_tokens", "model_length", "max_length", "token_limit"), "length"),
    **dict.fromkeys(("tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("safety", "content_filtered", "refusal", "recitation"), "content_filter"),
}
"""OpenAI's words for why an answer ended, and what others say instead; any other word means that it just ended."""
FAILED = frozenset({"error", "failed", "failure", "malformed_function_call"})
CUT_OFF = frozenset({"abort", "aborted", "cancelled", "canceled"})


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
        return await read_model_ids(
            await self._transport.request("GET", self._url("models"), self._headers), "OpenAI's"
        )

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        body = encoded(self._body(model, request))
        response = await self._transport.request("POST", self._url("chat/completions", model), self._headers, body)
        try:
            if request.stream and not is_whole(response):
                async with aclosing(_streamed(response)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield _chunk_of_answer(await read_object(response))
        finally:
            response.close()

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """See :class:`~llm.embeddings.EmbeddingProvider`."""
        body = encoded(body_of(model, request))
        response = await self._transport.request("POST", self._url("embeddings", model), self._headers, body)
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
        if request.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        if not self._rename:
            return body
        named = ((self._rename.get(name, name), value) for name, value in body.items())
        return {name: value for name, value in named if name}


async def _streamed(response: Response) -> AsyncGenerator[ChatChunk, None]:
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, await response.read())
    calls = ToolCallIndexes()
    finished = False
    async with aclosing(events(response.reads())) as datas:
        async for data in datas:
            if data == DONE:
                return
            event = parsed_object(data)
            if event.get("error"):
                raise error_of_event(event["error"])
            chunk = _chunk_of_event(event, calls)
            finished = finished or chunk.finish_reason is not None
            yield chunk
    if not finished:
        raise UpstreamBrokeOff("the upstream's stream ended before the answer did")


def _usage(wire: Mapping[str, Any]) -> Usage | None:
    return Usage.from_wire(wire["usage"]) if isinstance(wire.get("usage"), Mapping) else None


def _chunk_of_event(event: Mapping[str, Any], calls: ToolCallIndexes) -> ChatChunk:
    usage = _usage(event)
    choices = event.get("choices")
    if choices == []:
        return ChatChunk(usage=usage)
    choice = _first(choices, "the upstream sent a chunk of another shape than OpenAI's")
    return _chunk(choice, choice.get("delta") or {}, usage, calls)


def _chunk_of_answer(answer: Mapping[str, Any]) -> ChatChunk:
    choice = _first(answer.get("choices"), "the upstream's answer has another shape than OpenAI's")
    chunk = _chunk(choice, choice.get("message"), _usage(answer), ToolCallIndexes())
    chunk.finish_reason = chunk.finish_reason or "stop"
    return chunk


def _first(choices: object, otherwise: str) -> Mapping[str, Any]:
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    raise UpstreamGarbled(otherwise)


def _chunk(choice: Mapping[str, Any], said: object, usage: Usage | None, calls: ToolCallIndexes) -> ChatChunk:
    """The chunk in a ``delta`` or a whole ``message``."""
    if not isinstance(said, dict):
        raise UpstreamGarbled("the upstream's answer holds no message")
    content, pieces, logprobs = said.get("content"), said.get("tool_calls") or (), choice.get("logprobs")
    if not isinstance(content, (str, type(None))) or not all(isinstance(piece, dict) for piece in pieces):
        raise UpstreamGarbled("the upstream's answer has a content or tool calls of another type than OpenAI's")
    extra = {name: value for name, value in said.items() if name not in OWN_FIELDS and value not in EMPTY}
    return ChatChunk(
        content or None,
        tuple(map(calls.delta, pieces)),
        _finish_reason(choice.get("finish_reason")),
        usage,
        extra or None,
        logprobs if isinstance(logprobs, dict) else None,
    )


def _finish_reason(said: object) -> str | None:
    """Why the answer ended, in OpenAI's words.

    Raises:
        UpstreamUnavailable, UpstreamBrokeOff: when it says that the answer failed, or was cut off.
    """
    if said in (None, ""):
        return None
    if not isinstance(said, str):
        raise UpstreamGarbled("the upstream's finish_reason is no string")
    word = said.casefold()
    if word in FAILED:
        raise UpstreamUnavailable("the upstream ended its answer with an error")
    if word in CUT_OFF:
        raise UpstreamBrokeOff("the upstream cut its answer off")
    return FINISH_REASONS.get(word, "stop")


class ToolCallIndexes:
    """Puts the pieces of tool calls in order, where upstreams leave out the index or id, give every call index 0, every
    piece an id of its own, or the name late."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._named: list[bool] = []

    def delta(self, wire: Mapping[str, Any]) -> ToolCallDelta:
        """The piece with the index that is right; ``id`` only in the first piece of a call, ``name`` only once."""
        kind = "custom" if isinstance(wire.get("custom"), dict) else "function"
        called = wire.get(kind) or {}
        name, arguments = called.get("name") or None, _text(called.get("arguments" if kind == "function" else "input"))
        index = self._index(wire.get("index"), wire.get("id") or None, name)
        if index == len(self._ids):
            self._ids.append(wire.get("id") or f"call_{token_hex(12)}")
            self._named.append(name is not None)
            return ToolCallDelta(index, arguments, self._ids[index], name or "", kind)
        if self._named[index]:
            name = None
        self._named[index] = self._named[index] or name is not None
        return ToolCallDelta(index, arguments, None, name, kind)

    def _index(self, given: object, call_id: str | None, name: str | None) -> int:
        known = len(self._ids)
        if call_id in self._ids:
            return self._ids.index(call_id)
        if isinstance(given, int) and 0 <= given < known and not (call_id and name and self._named[given]):
            return given
        return known if name or call_id or not known else known - 1


def _text(arguments: object) -> str:
    """Arguments as text, also where an upstream sends them as the object itself."""
    if isinstance(arguments, dict):
        return orjson.dumps(arguments).decode()
    if not isinstance(arguments, (str, type(None))):
        raise UpstreamGarbled("the upstream's answer has tool call arguments that are no text")
    return arguments or ""
