"""POST /v1/embeddings: vectors from any model whose provider makes them, and from graphs that say they do."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.edge.body import BodyReader, send_json
from gateway.edge.context import Receive, Scope, Send, context_of
from gateway.edge.disconnect import ClientWatch
from graph import Event, Hooks, RunError
from llm import EmbeddingRequest, Embeddings, InvalidRequest, Usage
from llm.chat.request_checks import model_of


class EmbeddingsEndpoint:
    """OpenAI's embeddings API (https://platform.openai.com/docs/api-reference/embeddings/create)."""

    path = "/v1/embeddings"

    def __init__(self, catalog: Catalog, hooks: Hooks, bodies: BodyReader) -> None:
        self._catalog = catalog
        self._hooks = hooks
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        body = await self._bodies.json(scope, receive)
        model = model_of(body)
        request = EmbeddingRequest.from_wire(body)
        served = self._catalog.find(model, context.principal)
        if served.embeddings is None:
            message = f"The model `{model}` does not make embeddings."
            raise InvalidRequest(message, param="model", code="unsupported_value")
        event = Event(request, id=context.request_id, path=self.path, caller=context.principal.name)
        async with ClientWatch(receive):
            run = served.embed(event, self._hooks)
            made = await run.result()
            if not isinstance(made, Embeddings):
                raise RunError(f"'{model}' is to make embeddings, and its answer is a {type(made).__name__}")
            base64 = body.get("encoding_format") == "base64"
            await send_json(send, 200, _to_wire(model, made.vectors, run.usage, base64=base64))


def _to_wire(model: str, vectors: Sequence[list[float]], cost: Usage, *, base64: bool) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {name: count for name, count in cost.to_wire().items() if name != "completion_tokens"}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _base64(vector: list[float]) -> str:
    """Little-endian 32-bit floats in base64."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats).decode()
