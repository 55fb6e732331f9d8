"""Any upstream that speaks OpenAI's APIs: the real one, Ollama, vLLM, llama.cpp, another Penstock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Literal
from urllib.parse import quote

from llm.chat import ChatChunk, ChatRequest
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.http1.transport import HttpTransport
from llm.providers.http import (
    checked_base_url,
    checked_header,
    encoded,
    is_whole,
    read_body,
    read_model_ids,
    read_object,
)
from llm.providers.openai_apis import CHAT, COMPLETIONS, RESPONSES, Api
from llm.providers.openai_embeddings import body_of, embeddings_of
from llm.providers.openai_members import without_anthropics
from llm.providers.openai_passing import whole
from llm.providers.openai_streams import decoded, passed
from llm.transport import Response, Transport


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
        self.passes = api == "chat"
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
        self._transport = transport or HttpTransport()

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

    def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        return self._passed(model, request) if request.passes else self._decoded(model, request)

    async def _decoded(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        if request.anthropic and not self._takes_anthropics:
            request = without_anthropics(request)
        raw = self.completes and request.prompt is not None and not request.gathered
        api, asked = (COMPLETIONS, request) if raw else (self._api, request.as_chat())
        response = await self._asked(api, model, asked)
        try:
            if request.stream and not is_whole(response):
                async with aclosing(decoded(response, api)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield api.whole(await read_object(response))
        finally:
            response.close()

    async def _passed(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The same with the bytes to pass on."""
        response = await self._asked(CHAT, model, request)
        try:
            if not request.stream:
                yield whole(await read_body(response), request)
            elif response.status != 200 or is_whole(response):
                yield CHAT.whole(await read_object(response))
            else:
                async with aclosing(passed(response, request)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        finally:
            response.close()

    async def _asked(self, api: Api, model: str, request: ChatRequest) -> Response:
        body = encoded(self._renamed(api.body(model, request)))
        return await self._transport.request("POST", self._url(api.path, model), self._headers, body)

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """See :class:`~llm.embeddings.EmbeddingProvider`."""
        body = encoded(self._renamed(body_of(model, request)))
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
