"""Semantic: the questions that this worker has answered of a model, by what they mean. It knows the last thousand."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.catalog.catalog import Catalog
from gateway.config.exchanges import SemanticEntry
from gateway.config.faults import InvalidSettings
from gateway.edge.context import ANSWERED_BY, Scope, context_of
from gateway.edge.keys import LOCAL
from gateway.edge.limits import beside
from gateway.exchanges.agreement import agreement
from gateway.exchanges.rows import Place
from graph import Event, Hooks
from llm import EmbeddingRequest, Embeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_KNOWN: Final = 1000
MAX_TEXT: Final = 1000
"""How many characters a message has at most that is compared: longer ones are hardly ever said in other words."""
PATHS: Final = frozenset({"/v1/chat/completions", "/v1/messages"})
ROLES: Final = frozenset({"system", "developer", "user", "assistant"})
MEMBERS: Final = frozenset({"role", "content", "name"})
DIGITS: Final = 6
"""Of a cosine: what is beyond is rounding."""


@dataclass(frozen=True, slots=True)
class Worded:
    """What somebody said last, and the body of the request with what must agree of that in its place."""

    text: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Meant:
    """A question: a digest of all that must agree, and what else it says as a vector of length 1."""

    agreed: str
    vector: NDArray[np.float32]


def _is_plain(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        return False
    return message.get("role") in ROLES and all(name in MEMBERS or message[name] is None for name in message)


class Semantic:
    """The questions to one model.

    Args:
        hooks: those of all runs; so what an embedding takes is counted, limited and paid like any other run.

    Raises:
        InvalidSettings: when what is to make the embeddings makes none.
    """

    def __init__(self, model: str, entry: SemanticEntry, catalog: Catalog, hooks: Hooks) -> None:
        self._entry = entry
        self._catalog = catalog
        self._hooks = hooks
        self._known: OrderedDict[Place, tuple[float, Meant]] = OrderedDict()
        if catalog.find(entry.model, LOCAL).embeddings is None:
            raise InvalidSettings(
                f"cache of '{model}': semantic.model '{entry.model}' makes no embeddings; name a model that does"
            )

    def worded(self, scope: Scope, body: Mapping[str, Any]) -> Worded | None:
        """A request that may be asked in other words: a chat in which all is text and the user spoke last, not at
        length, and not in ordinary words only."""
        messages = body.get("messages")
        if scope["path"] not in PATHS or not isinstance(messages, list) or not all(map(_is_plain, messages)):
            return None
        last = messages[-1] if messages else {"role": ""}
        if last["role"] != "user" or len(last["content"]) > MAX_TEXT:
            return None
        agreed = agreement(last["content"])
        said = {**body, "messages": [*messages[:-1], {**last, "content": agreed}]}
        return Worded(last["content"], said) if any(agreed) else None

    async def meant(self, text: str, agreed: str, scope: Scope) -> Meant | None:
        """A question; None where its embedding cannot be made."""
        made = await asyncio.create_task(self._embedded(text, scope))
        vector = _unit(made.vectors[0]) if made is not None and made.vectors else None
        return None if vector is None else Meant(agreed, vector)

    def near(self, meant: Meant) -> list[Place]:
        """Where the answers to questions lie that say the same, the most alike first."""
        now = time.monotonic()
        alike = [
            (round(float(known.vector @ meant.vector), DIGITS), place)
            for place, (until, known) in self._known.items()
            if known.agreed == meant.agreed and until > now and known.vector.shape == meant.vector.shape
        ]
        return [place for cosine, place in sorted(alike, reverse=True) if cosine >= self._entry.similarity]

    def add(self, meant: Meant, place: Place, seconds: float) -> None:
        """Its answer lies there, for so long."""
        self._known.pop(place, None)
        self._known[place] = (time.monotonic() + seconds, meant)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def _embedded(self, text: str, scope: Scope) -> Embeddings | None:
        """In a task of its own, as it is a run beside that of the request."""
        beside()
        ANSWERED_BY.set([])
        context = context_of(scope)
        name, caller = f"{context.request_id}-embedding", context.principal.name
        event = Event(EmbeddingRequest([text]), id=name, path=scope["path"], caller=caller)
        try:
            made = await self._catalog.find(self._entry.model, LOCAL).embed(event, self._hooks).result()
        except Exception:  # whatever fails here, the question can be answered
            return None
        return made if isinstance(made, Embeddings) else None


def _unit(values: list[float]) -> NDArray[np.float32] | None:
    """The vector at length 1, if it has a length."""
    import numpy as np  # noqa: PLC0415 - only for who compares

    vector = np.asarray(values, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if 0 < length < float("inf") else None
