"""Responses that are kept, each for the caller whose key made it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from gateway.endpoints.responses.items import Item

MAX_RESPONSES = 10_000
MAX_BYTES = 128 * 2**20
"""How many responses, and how much JSON, a process keeps; the oldest go first."""


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """A response, and the items that it answers: those before it in its conversation too."""

    owner: str
    """The name of the key that made it. Nobody else is told that it exists."""
    response: Mapping[str, Any]
    input: Sequence[Item]

    @property
    def id(self) -> str:
        """The id of the response."""
        return str(self.response["id"])

    @property
    def items(self) -> list[Item]:
        """The conversation so far: what was asked, and what was answered."""
        return [*self.input, *self.response["output"]]

    def to_json(self) -> bytes:
        """Everything about it but its owner."""
        return orjson.dumps({"response": self.response, "input": self.input})

    @classmethod
    def from_json(cls, owner: str, text: bytes) -> KeptResponse:
        """What :meth:`to_json` wrote."""
        document = orjson.loads(text)
        return cls(owner, document["response"], document["input"])


class KeptResponses(Protocol):
    """Where responses are kept. It may forget; whoever asks is then told that there is no such response."""

    async def put(self, kept: KeptResponse) -> None:
        """Keeps a response, instead of one of the same owner and id."""
        ...

    async def get(self, owner: str, response_id: str) -> KeptResponse | None:
        """The response of this id, if this owner has one."""
        ...

    async def delete(self, owner: str, response_id: str) -> bool:
        """Forgets a response; whether there was one."""
        ...


class ResponsesInMemory:
    """Keeps responses in this process, as JSON, so that the bound is that of the memory which they take."""

    def __init__(self, most: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self._most = most
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def put(self, kept: KeptResponse) -> None:
        text = kept.to_json()
        await self.delete(kept.owner, kept.id)
        self._kept[kept.owner, kept.id] = text
        self._bytes += len(text)
        while self._bytes > self._max_bytes or len(self._kept) > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)

    async def get(self, owner: str, response_id: str) -> KeptResponse | None:
        text = self._kept.get((owner, response_id))
        return None if text is None else KeptResponse.from_json(owner, text)

    async def delete(self, owner: str, response_id: str) -> bool:
        text = self._kept.pop((owner, response_id), None)
        self._bytes -= len(text or b"")
        return text is not None
