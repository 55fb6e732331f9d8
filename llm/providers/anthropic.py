"""Anthropic's own API (https://docs.anthropic.com/en/api/messages), over our transport, without an SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llm.chat import ChatChunk, ChatRequest
from llm.errors import UpstreamBrokeOff
from llm.http1.transport import HttpTransport
from llm.providers.anthropic_answer import MessageReader, chunk_of_message
from llm.providers.anthropic_errors import error_of_answer, error_of_event
from llm.providers.anthropic_request import DEFAULT_MAX_TOKENS, message_body
from llm.providers.http import (
    checked_base_url,
    checked_header,
    encoded,
    is_whole,
    parsed_object,
    read_model_ids,
    read_object,
)
from llm.sse import events
from llm.transport import Response, Transport

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"


class AnthropicProvider:
    """Calls ``{base_url}/v1/messages`` with the gateway's own key; nothing of the caller's headers goes along.

    Requests and answers are translated from and to OpenAI's chat API; what each becomes stands in
    ``anthropic_request.py`` and ``anthropic_answer.py``.

    Args:
        base_url: with or without ``/v1`` at its end.
        max_tokens: tokens that an answer may have where the request does not say, as Anthropic wants a number.

    Raises:
        ValueError: when ``base_url`` is no plain http(s) address, or the key cannot stand in a header.
    """

    compares = True

    def __init__(
        self,
        base_url: str = BASE_URL,
        api_key: str = "",
        transport: Transport | None = None,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
    ) -> None:
        self._base = checked_base_url(base_url).removesuffix("/v1") + "/v1"
        self._headers = {"content-type": "application/json", "anthropic-version": VERSION}
        if api_key:
            self._headers["x-api-key"] = checked_header("api_key", api_key)
        self._max_tokens = max_tokens
        self._transport = transport or HttpTransport()

    async def start(self) -> None:
        """Nothing to make ready: connections are made when they are needed."""

    async def close(self) -> None:
        await self._transport.close()

    async def models(self) -> list[str]:
        """The names of the models that the upstream lists, the first 1,000 of them.

        Raises:
            UpstreamError: when it cannot be asked.
        """
        response = await self._transport.request("GET", f"{self._base}/models?limit=1000", self._headers)
        return await read_model_ids(response, "Anthropic's", error_of_answer)

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        body = encoded(message_body(model, request, self._max_tokens))
        response = await self._transport.request("POST", f"{self._base}/messages", self._headers, body)
        try:
            if request.stream and not is_whole(response):
                async with aclosing(_streamed(response)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield chunk_of_message(await read_object(response, error_of_answer))
        finally:
            response.close()


async def _streamed(response: Response) -> AsyncGenerator[ChatChunk, None]:
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, await response.read())
    reader = MessageReader()
    async with aclosing(events(response.reads())) as datas:
        async for data in datas:
            event = parsed_object(data)
            if event.get("type") == "error":
                raise error_of_event(event.get("error"))
            if event.get("type") == "message_stop":
                break
            if chunk := reader.read(event):
                yield chunk
    if not reader.finished:
        raise UpstreamBrokeOff("the upstream's stream ended before the answer did")
