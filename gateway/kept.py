"""Answers that are kept, each for the caller whose key made it: responses, and chat completions with ``store``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import orjson

from gateway.edge.context import Send

MAX_ANSWERS = 10_000
MAX_BYTES = 128 * 2**20
"""How many answers, and how much JSON, a process keeps; the oldest go first."""
Kind: TypeAlias = Literal["response", "chat.completion"]
"""What an answer is: its ``object``."""
Key: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as the API shows it, and what it answers: the items or messages before it."""

    owner: str
    """The name of the key that made it. Nobody else is told that it exists."""
    answer: Mapping[str, Any]
    asked: Sequence[dict[str, Any]]

    @property
    def kind(self) -> str:
        """What it is, see :data:`Kind`."""
        return str(self.answer["object"])

    @property
    def id(self) -> str:
        """The id of the answer."""
        return str(self.answer["id"])

    @property
    def labels(self) -> dict[str, str]:
        """What it can be found by: ``model``, and ``metadata.NAME`` of each of its metadata."""
        metadata = self.answer.get("metadata") or {}
        return {"model": str(self.answer["model"]), **{f"metadata.{name}": value for name, value in metadata.items()}}

    def to_json(self) -> bytes:
        """Everything about it but its owner."""
        return orjson.dumps({"answer": self.answer, "asked": self.asked})

    @classmethod
    def from_json(cls, owner: str, text: bytes) -> KeptAnswer:
        """What :meth:`to_json` wrote."""
        document = orjson.loads(text)
        return cls(owner, document["answer"], document["asked"])


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the answers of an owner, in order."""

    answers: Sequence[KeptAnswer]
    has_more: bool


class KeptAnswers(Protocol):
    """Where answers are kept. It may forget; whoever asks is then told that there is no such answer."""

    async def put(self, kept: KeptAnswer) -> None:
        """Keeps an answer, instead of one of the same owner, kind and id, in whose place it then is."""
        ...

    async def get(self, kind: Kind, owner: str, answer_id: str) -> KeptAnswer | None:
        """The answer of this kind and id, if this owner has one."""
        ...

    async def page(
        self,
        kind: Kind,
        owner: str,
        labels: Mapping[str, str],
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = False,
    ) -> Page | None:
        """At most ``limit`` answers of this kind and owner that have all of these labels, in the order in which they
        were first kept, from the one behind ``after`` on; None when no answer has the id ``after``."""
        ...

    async def delete(self, kind: Kind, owner: str, answer_id: str) -> bool:
        """Forgets an answer; whether there was one."""
        ...


@dataclass(slots=True)
class _Row:
    """An answer as JSON, with what it is found by outside of that, so that a search reads no JSON."""

    text: bytes
    labels: Mapping[str, str]
    number: int

    @property
    def size(self) -> int:
        return len(self.text) + sum(len(name) + len(value) for name, value in self.labels.items())


class AnswersInMemory:
    """Keeps answers in this process, as JSON, so that the bound is that of the memory which they take."""

    def __init__(self, most: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._most = most
        self._max_bytes = max_bytes
        self._bytes = 0
        self._number = 0
        self._rows: OrderedDict[Key, _Row] = OrderedDict()

    async def put(self, kept: KeptAnswer) -> None:
        self._number += 1
        key = (kept.kind, kept.owner, kept.id)
        before = self._take(key)
        row = _Row(kept.to_json(), kept.labels, self._number if before is None else before.number)
        self._rows[key] = row
        self._bytes += row.size
        while self._bytes > self._max_bytes or len(self._rows) > self._most:
            self._take(next(iter(self._rows)))

    async def get(self, kind: Kind, owner: str, answer_id: str) -> KeptAnswer | None:
        row = self._rows.get((kind, owner, answer_id))
        return None if row is None else KeptAnswer.from_json(owner, row.text)

    async def page(
        self,
        kind: Kind,
        owner: str,
        labels: Mapping[str, str],
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = False,
    ) -> Page | None:
        behind = None if after is None else self._rows.get((kind, owner, after))
        if after is not None and behind is None:
            return None
        sign = -1 if newest_first else 1
        found = [
            row
            for key, row in self._rows.items()
            if key[:2] == (kind, owner)
            and labels.items() <= row.labels.items()
            and (behind is None or sign * row.number > sign * behind.number)
        ]
        found.sort(key=lambda row: sign * row.number)
        return Page([KeptAnswer.from_json(owner, row.text) for row in found[:limit]], len(found) > limit)

    async def delete(self, kind: Kind, owner: str, answer_id: str) -> bool:
        return self._take((kind, owner, answer_id)) is not None

    def _take(self, key: Key) -> _Row | None:
        row = self._rows.pop(key, None)
        self._bytes -= 0 if row is None else row.size
        return row


def keeping_last(send: Send, keep: Callable[[], Awaitable[None]]) -> Send:
    """A ``send`` that keeps an answer before the last of it goes out, so that nobody can ask for it too early."""

    async def keep_and_send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await keep()
        await send(message)

    return keep_and_send
