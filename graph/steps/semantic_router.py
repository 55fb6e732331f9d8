"""SemanticRouter: the event goes where the examples lie that its text is most like."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from graph.compiled.results import settled
from graph.errors import InvalidInput, InvalidStep, RunError, UnknownStep
from graph.event import Event
from graph.step import Complete, Step
from graph.steps.model_call import book
from llm import ChatRequest, EmbeddingRequest, Model, Trail, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "Sequence[Sequence[float]] | NDArray[Any]"
Embed: TypeAlias = "Callable[[list[str]], Vectors | Awaitable[Vectors]]"
"""One vector for each text, all of one length; a ``def`` or an ``async def``."""
Made: TypeAlias = "tuple[NDArray[np.float64], Usage | None]"
"""Vectors of length 1, and what they cost, where that is known."""
ROUTE, SCORE = "route", "score"
"""Where the follower that was chosen, and how like its nearest example is, stand in the step's notes."""


class SemanticRouter:
    """Chooses the follower whose examples are nearest to the text of the body, by the cosine of their embeddings.

    The body passes unchanged. The examples are embedded once, when the first event comes, at the cost of its run.
    Nothing is downloaded.

    Args:
        routes: examples by the name of the follower that they lead to.
        embeddings: makes vectors of texts: a :class:`~llm.Model` that embeds, whose usage is booked on the run; or a
            function; or an object with a method ``embed`` that is one.
        text: what of the body is compared: a function, or the key of a dict body; by default the body itself, or the
            last text of a chat request.
        threshold: from -1 to 1; an event less like any example goes to ``default``.
        default: the follower for those.

    Raises:
        InvalidStep: when something is missing, or does not fit.
    """

    full_event = True
    needs_whole = True

    def __init__(
        self,
        routes: Mapping[str, Sequence[str]],
        embeddings: Model | Embed | Any = None,
        *,
        text: Callable[[Any], str] | str | None = None,
        threshold: float | None = None,
        default: str | None = None,
    ) -> None:
        model = embeddings if isinstance(embeddings, Model) else None
        embed = getattr(embeddings, "embed", embeddings)
        if not callable(embed):
            raise InvalidStep(
                "SemanticRouter needs embeddings=: a Model that embeds, a function that makes vectors of a list of "
                "texts, or an object with a method embed that does"
            )
        if model is not None and not model.embeds:
            raise InvalidStep(f"SemanticRouter: the model '{model.name}' does not make embeddings")
        if not routes or not all(routes.values()) or any(isinstance(texts, str) for texts in routes.values()):
            raise InvalidStep("SemanticRouter: routes= maps each follower to a list of at least one example")
        if (threshold is None) is not (default is None):
            raise InvalidStep("SemanticRouter: threshold= and default= go together: who is unlike all goes to default")
        if threshold is not None and not -1 <= threshold <= 1:
            raise InvalidStep(f"SemanticRouter: threshold={threshold} is no cosine; write a number from -1 to 1")
        self._model = model
        self._embed: Callable[[Any], Any] = embed
        self._text = text
        self._threshold = threshold
        self._default = default
        self._followers = (*routes, *([default] if default else ()))
        self._labels = [route for route, texts in routes.items() for _ in texts]
        self._examples = [text for texts in routes.values() for text in texts]
        self._vectors: NDArray[np.float64] | None = None
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def bound_to(self, step: Step) -> SemanticRouter:
        """Itself, once it is known that its routes are there.

        Raises:
            UnknownStep: when one does not follow the step.
        """
        followers = [follower for source, follower in step.flow.edges if source == step.name]
        for route in self._followers:
            if route not in (Complete, *followers):
                known = ", ".join((Complete, *followers))
                raise UnknownStep(f"step '{step.name}' may choose '{route}', which does not follow it; it has {known}")
        return self

    async def do(self, event: Event) -> None:
        texts = [self._text_of(event.body)]
        examples = await self._booked(event, self._examples, self._embedded_examples)
        asked = await self._booked(event, texts, partial(self._embedded, texts))
        if asked.shape[1] != examples.shape[1]:
            raise RunError(f"the examples have vectors of {examples.shape[1]}, and the text one of {asked.shape[1]}")
        scores = examples @ asked[0]
        nearest = int(scores.argmax())
        event.own_notes[SCORE] = score = float(scores[nearest])
        alike = self._threshold is None or score >= self._threshold
        event.own_notes[ROUTE] = self._labels[nearest] if alike else self._default

    def select_outlets(self, event: Event) -> str:
        """The follower that was chosen."""
        route: str = event.own_notes[ROUTE]
        return route

    def _text_of(self, body: Any) -> str:
        text = body
        if callable(self._text):
            text = self._text(body)
        elif self._text is not None:
            text = body.get(self._text) if isinstance(body, Mapping) else None
        elif isinstance(body, ChatRequest):
            text = body.text
        if not isinstance(text, str):
            raise InvalidInput(f"the text to compare is a {type(text).__name__}; say by text= where in the body it is")
        return text

    async def _booked(
        self, event: Event, texts: list[str], make: Callable[[Trail | None], Awaitable[Made]]
    ) -> NDArray[np.float64]:
        """The vectors of some texts, over the tape; what they cost is the run's."""
        trail = Trail(event.caller) if self._model is not None and self._model.routes else None

        async def packed() -> dict[str, Any]:
            vectors, usage = await make(trail)
            return {"vectors": vectors.tolist(), "usage": usage and usage.to_wire()}

        usage: Usage | None = None
        if self._model is not None:
            event.meter.admit(event.at, self._model)
        try:
            if event.tape is None:
                vectors, usage = await make(trail)
            else:
                came = await event.tape.value(event.at, texts, packed)
                vectors, usage = _unit(came["vectors"], len(texts)), came["usage"] and Usage.from_wire(came["usage"])
        finally:
            if self._model is not None:
                await book(event, event.at, self._model, trail, usage)
        if usage:
            event.meter.check(event.at)
        return vectors

    async def _embedded_examples(self, trail: Trail | None) -> Made:
        """The examples' vectors, made once; to who does not make them they cost nothing."""
        usage = None
        if self._vectors is None:
            async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                if self._vectors is None:
                    self._vectors, usage = await self._embedded(self._examples, trail)
        return self._vectors, usage

    async def _embedded(self, texts: list[str], trail: Trail | None) -> Made:
        if self._model is not None:
            made = await self._model.embed(EmbeddingRequest(list(texts), trail=trail))
            return _unit(made.vectors, len(texts)), made.usage
        return _unit(await _awaited(self._embed(list(texts))), len(texts)), None


async def _awaited(made: Any) -> Any:
    return await made if isinstance(made, Awaitable) else await settled(made)


def _unit(vectors: Any, number: int) -> NDArray[np.float64]:
    """The vectors, each of length 1.

    Raises:
        RunError: when they are not so many, not all of one length, or not finite.
    """
    import numpy as np  # noqa: PLC0415 - most gateways do without

    try:
        made = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RunError(f"the embeddings are no vectors of one length: {error}") from error
    if made.ndim != 2 or made.shape[0] != number or not made.shape[1] or not np.isfinite(made).all():
        raise RunError(f"the embeddings must be {number} vectors of finite numbers; they have the shape {made.shape}")
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    return made / np.where(lengths == 0, 1.0, lengths)
