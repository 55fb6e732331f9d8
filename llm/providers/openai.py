"""Any upstream that speaks OpenAI's APIs: the real one, Ollama, vLLM, llama.cpp, another Penstock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote

from llm.chat import ChatChunk, ChatRequest
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import UpstreamBrokeOff
from llm.providers.http import (
    checked_base_url,
    checked_header,
    encoded,
    is_whole,
    parsed_object,
    read_model_ids,
    read_object,
)
from llm.providers.openai_answer import ChatReader, chunk_of_chat
from llm.providers.openai_completions import CompletionReader, chunk_of_completion, completion_body
from llm.providers.openai_embeddings import body_of, embeddings_of
from llm.providers.openai_errors import error_of_answer, error_of_event
from llm.providers.openai_members import without_anthropics
from llm.providers.openai_responses_answer import ResponseReader, chunk_of_response
from llm.providers.openai_responses_request import response_body
from llm.sse import events
from llm.transport import AiohttpTransport, Response, Transport

DONE = b"[DONE]"


class Reader(Protocol):
    """Reads the events of one streamed answer."""

    finished: bool
    """Whether the answer has said why it ended."""

    def read(self, event: Mapping[str, Any]) -> ChatChunk | None:
        """What an event says, if it says anything."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """One of OpenAI's APIs: where it is, what it is asked, and how its answers are read."""

    path: str
    body: Callable[[str, ChatRequest], dict[str, Any]]
    reader: Callable[[], Reader]
    whole: Callable[[Mapping[str, Any]], ChatChunk]
    ended_by_done: bool = True
    """Whether ``[DONE]`` says that an answer is whole; else only the answer itself does."""


def chat_body(model: str, request: ChatRequest) -> dict[str, Any]:
    """The body of ``POST /chat/completions``."""
    body = {**request.to_wire(), "model": model}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if request.stream else body


CHAT = Api("chat/completions", chat_body, ChatReader, chunk_of_chat)
COMPLETIONS = Api("completions", completion_body, CompletionReader, chunk_of_completion)
RESPONSES = Api("responses", response_body, ResponseReader, chunk_of_response, ended_by_done=False)


class OpenAIProvider:
    """Calls ``{base_url}/chat/completions`` with the gateway's own key; nothing of the caller's headers goes along.

    Args:
        api: ``responses`` calls ``{base_url}/responses`` instead; what becomes of requests and answers stands in
            ``openai_responses_request.py`` and ``openai_responses_answer.py``.
        completions: whether raw prompts go to ``{base_url}/completions``; where not, their messages are answered.
        organization: sent as ``OpenAI-Organization``.
        project: sent as ``OpenAI-Project``.
        api_version: when set, Azure's form is spoken: ``base_url`` is the resource
            (``https://my-resource.openai.azure.com``), models are deployments of it, the key goes as ``api-key``
            (https://learn.microsoft.com/azure/ai-services/openai/reference).
        rename: parameters that this upstream calls otherwise, or with "" does not take:
            ``{"max_completion_tokens": "max_tokens", "stream_options": ""}``.
        anthropic_members: whether this upstream takes what only Anthropic's API has (``cache_control``, ``top_k``, …)
            of requests that came in Anthropic's words; where not, it is left out, as real OpenAI refuses it.

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
        api: Literal["chat", "responses"] = "chat",
        completions: bool = False,
        anthropic_members: bool = False,
    ) -> None:
        self._takes_anthropics = anthropic_members
        self.completes = completions
        self._api = RESPONSES if api == "responses" else CHAT
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
        if request.anthropic and not self._takes_anthropics:
            request = without_anthropics(request)
        raw = self.completes and request.prompt is not None and not request.gathered
        api, asked = (COMPLETIONS, request) if raw else (self._api, request.as_chat())
        body = encoded(self._renamed(api.body(model, asked)))
        response = await self._transport.request("POST", self._url(api.path, model), self._headers, body)
        try:
            if request.stream and not is_whole(response):
                async with aclosing(_streamed(response, api)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield api.whole(await read_object(response))
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

    def _renamed(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self._rename:
            return body
        named = ((self._rename.get(name, name), value) for name, value in body.items())
        return {name: value for name, value in named if name}


async def _streamed(response: Response, api: Api) -> AsyncGenerator[ChatChunk, None]:
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, await response.read())
    reader = api.reader()
    async with aclosing(events(response.reads())) as datas:
        async for data in datas:
            if data == DONE:
                if api.ended_by_done:
                    return
                break
            event = parsed_object(data)
            if event.get("error"):
                raise error_of_event(event["error"])
            if chunk := reader.read(event):
                yield chunk
    if not reader.finished:
        raise UpstreamBrokeOff("the upstream's stream ended before the answer did")
