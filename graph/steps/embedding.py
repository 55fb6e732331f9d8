"""EmbeddingStep: texts in, vectors out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graph.errors import InvalidInput
from graph.event import Event
from graph.steps.model_call import book, may_cost
from llm import EmbeddingRequest, Embeddings, Model, Trail, Usage


class EmbeddingStep:
    """Embeds the body: an :class:`~llm.EmbeddingRequest`, a text, or a list of texts. The body becomes the
    :class:`~llm.Embeddings`, and what they cost is the run's.

    Raises:
        InvalidInput: when the body is none of these.
        InvalidRequest: when the model makes no embeddings.
    """

    full_event = True
    needs_whole = True

    def __init__(self, model: Model) -> None:
        self._model = model

    async def do(self, event: Event) -> Event:
        request, step = _request(event.body), event.at
        event.meter.admit(step, self._model)

        trail = Trail(event.caller) if self._model.routes else None

        async def make() -> Any:
            made = await self._model.embed(request if trail is None else replace(request, trail=trail))
            return {"vectors": made.vectors, "usage": made.usage.to_wire()}

        asked = [self._model.name, list(request.inputs), request.parameters]
        usage: Usage | None = None
        try:
            came = await (make() if event.tape is None else event.tape.value(step, asked, make))
            usage = Usage.from_wire(came["usage"])
        except BaseException as error:
            usage = request.estimated if trail is None and may_cost(error) else None
            raise
        finally:
            await book(event, step, self._model, trail, usage)
        event.body = Embeddings(came["vectors"], usage)
        event.meter.check(step)
        return event


def _request(body: Any) -> EmbeddingRequest:
    if isinstance(body, EmbeddingRequest):
        return body
    texts = [body] if isinstance(body, str) else body
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"to embed, a text or a list of texts is needed, not a {type(body).__name__}")
    return EmbeddingRequest(texts)
