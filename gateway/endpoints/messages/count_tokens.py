"""POST /v1/messages/count_tokens: how many tokens a request would have, without asking a model."""

from __future__ import annotations

from gateway.catalog.catalog import Catalog
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.endpoints.messages.request import chat_request
from gateway.endpoints.messages.shape import Counted, checked
from llm.tokens import TIKTOKEN, counted


class CountEndpoint:
    """Counts as the model's usage is counted where its provider reports none; of a graph, by tiktoken."""

    path = "/v1/messages/count_tokens"

    def __init__(self, catalog: Catalog, bodies: BodyReader) -> None:
        self._catalog = catalog
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = chat_request(checked(await self._bodies.json(scope, receive), Counted))
        model = self._catalog.get(request.model, context_of(scope).principal).model
        asked = counted(TIKTOKEN, request.model, request, "") if model is None else model.count(request, "")
        await send_json(send, 200, {"input_tokens": (await asked).prompt_tokens})
