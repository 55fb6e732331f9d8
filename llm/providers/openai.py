"""Any upstream that speaks OpenAI's chat API: the real one, Ollama, vLLM, llama.cpp, another Penstock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import orjson

from llm.chat import ChatChunk, ChatRequest, ToolCallDelta
from llm.errors import InvalidRequest, UpstreamBrokeOff, UpstreamGarbled
from llm.providers.openai_errors import error_of_answer, error_of_event
from llm.sse import events
from llm.transport import AiohttpTransport, Response, Transport
from llm.usage import Usage

DONE = b"[DONE]"
OWN_DELTA_FIELDS = frozenset({"content", "tool_calls", "role"})
OWN_MESSAGE_FIELDS = frozenset({"content", "tool_calls", "role", "annotations", "audio", "function_call"})


class OpenAIProvider:
    """Calls ``{base_url}/chat/completions`` with the gateway's own key; nothing of the caller's headers goes along.

    Raises:
        ValueError: when ``base_url`` is no plain http(s) address.
    """

    compares = True

    def __init__(self, base_url: str, api_key: str = "", transport: Transport | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"base_url is {base_url!r}; write an address such as https://api.openai.com/v1")
        if parts.username or parts.password:
            raise ValueError("base_url holds a user or password; put the key into api_key")
        self._base = base_url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
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
        response = await self._transport.get(f"{self._base}/models", self._headers)
        try:
            listed = await _read_json(response)
            return [str(model["id"]) for model in listed["data"]]
        except (KeyError, TypeError) as error:
            raise UpstreamGarbled("the upstream's list of models has another shape than OpenAI's") from error
        finally:
            response.close()

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        response = await self._transport.post(f"{self._base}/chat/completions", self._headers, _encode(model, request))
        try:
            if request.stream and not _is_json(response):
                async with aclosing(_streamed(response)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield _chunk_of_answer(await _read_json(response))
        finally:
            response.close()


def _encode(model: str, request: ChatRequest) -> bytes:
    body = {**request.to_wire(), "model": model}
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from error


def _is_json(response: Response) -> bool:
    """Whether an answer is whole although a stream was asked for; some upstreams cannot stream everything."""
    return response.status == 200 and response.headers.get("content-type", "").startswith("application/json")


async def _read_json(response: Response) -> dict[str, Any]:
    body = await response.read()
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, body)
    return _object(body)


def _object(data: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UpstreamGarbled("the upstream's answer is not JSON") from error
    if not isinstance(parsed, dict):
        raise UpstreamGarbled("the upstream's answer is not a JSON object")
    return parsed


async def _streamed(response: Response) -> AsyncGenerator[ChatChunk, None]:
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, await response.read())
    calls = ToolCallIndexes()
    finished = False
    async with aclosing(events(response.reads())) as datas:
        async for data in datas:
            if data == DONE:
                return
            event = _object(data)
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
    try:
        if not event["choices"]:
            return ChatChunk(usage=usage)
        choice = event["choices"][0]
        delta = choice.get("delta") or {}
        pieces = tuple(map(calls.delta, delta.get("tool_calls") or ()))
        finish = choice.get("finish_reason")
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamGarbled("the upstream sent a chunk of another shape than OpenAI's") from error
    return ChatChunk(delta.get("content") or None, pieces, finish, usage, _others(delta, OWN_DELTA_FIELDS))


def _others(fields: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    others = {name: value for name, value in fields.items() if name not in known and value is not None}
    return others or None


def _chunk_of_answer(answer: Mapping[str, Any]) -> ChatChunk:
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        calls = ToolCallIndexes()
        pieces = tuple(map(calls.delta, message.get("tool_calls") or ()))
        finish = choice.get("finish_reason") or "stop"
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UpstreamGarbled("the upstream's answer has another shape than OpenAI's") from error
    extra = _others(message, OWN_MESSAGE_FIELDS)
    return ChatChunk(message.get("content"), pieces, finish, _usage(answer), extra)


class ToolCallIndexes:
    """Puts the pieces of tool calls in order, where upstreams leave out the index or id, or give every call index 0."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def delta(self, wire: Mapping[str, Any]) -> ToolCallDelta:
        """The piece with the index that is right; ``id`` and ``name`` only in the first piece of a call."""
        function = wire.get("function") or {}
        name, arguments = function.get("name") or None, function.get("arguments") or ""
        index = self._index(wire.get("index"), wire.get("id"), name)
        if index < len(self._ids):
            return ToolCallDelta(index, arguments)
        self._ids.append(wire.get("id") or f"call_{token_hex(12)}")
        return ToolCallDelta(index, arguments, self._ids[index], name or "")

    def _index(self, given: object, call_id: str | None, name: str | None) -> int:
        known = len(self._ids)
        if call_id:
            return self._ids.index(call_id) if call_id in self._ids else known
        if isinstance(given, int) and 0 <= given < known:
            return given
        return known if name or not known else known - 1
