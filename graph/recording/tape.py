"""Tapes: what came into a run from outside, recorded, and played again without it.

Whatever a run cannot know by itself goes over its event's tape: chunks of models, results of tools, the clock, random
draws, and whole steps that say ``outside = True`` of themselves. Without a tape these come from where they always come.
A recording keeps them under the step that asked and the number of its asking, so that parallel branches do not get in
each other's way; a replay gives them back, and compares what is asked and what steps make with what was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import orjson

from graph.errors import ReplayDiffers
from graph.recording.packing import pack, unpack, unpack_error
from llm.packing import pack_error

HIDDEN = "[secret]"


class Tape(Protocol):
    """What stands between a run and the outside. ``step`` is the name of the step that asks."""

    def stream(self, step: str, asked: Any, make: Callable[[], AsyncGenerator[Any, None]]) -> AsyncGenerator[Any, None]:
        """Chunks from outside."""
        ...

    async def value(self, step: str, asked: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        """A value from outside."""
        ...

    def draw(self, step: str, make: Callable[[], Any]) -> Any:
        """A value from outside that is there at once: the time, a random number."""
        ...

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """A value from outside that is there at once and stays the same for the whole run, whoever asks for it."""
        ...

    def left(self, step: str, body: Any) -> None:
        """What the event's body was when it left a step."""
        ...

    def about(self, what: Any) -> Tape:
        """The same tape for what is asked about something: in one step several may be asked about side by side, whose
        answers come in any order."""
        ...


@dataclass(slots=True)
class Entry:
    """One asking: the digest of the question, what came, how it broke if it did."""

    asked: str
    came: list[Any] = field(default_factory=list)
    error: dict[str, Any] | None = None


@dataclass(slots=True)
class Recording:
    """A tape that writes down: ``entries`` by ``step#asking`` (those of the whole run by their names), digests of what
    left ``steps`` by ``step#visit``.

    Digests are made as if each of ``secrets`` read :data:`HIDDEN`, which is how a recording is written.
    """

    secrets: Sequence[str] = ()
    entries: dict[str, Entry] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    _asked: Counter[str] = field(default_factory=Counter)
    _left: Counter[str] = field(default_factory=Counter)

    async def stream(
        self, step: str, asked: Any, make: Callable[[], AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        entry = self._entry(step, asked)
        try:
            async with aclosing(make()) as chunks:
                async for chunk in chunks:
                    entry.came.append(pack(chunk))
                    yield chunk
        except Exception as error:
            entry.error = pack_error(error)
            raise

    async def value(self, step: str, asked: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        entry = self._entry(step, asked)
        try:
            value = await make()
        except Exception as error:
            entry.error = pack_error(error)
            raise
        entry.came.append(pack(value))
        return value

    def draw(self, step: str, make: Callable[[], Any]) -> Any:
        value = make()
        self._entry(step, None).came.append(pack(value))
        return value

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        value = make()
        if what not in self.entries:
            self.entries[what] = Entry(digest(None), [pack(value)])
        return value

    def left(self, step: str, body: Any) -> None:
        self.steps[_key(self._left, step)] = digest(body, self.secrets)

    def about(self, what: Any) -> Tape:
        return Part(self, thing=digest(what, self.secrets))

    def _entry(self, step: str, asked: Any) -> Entry:
        key = _key(self._asked, step)
        self.entries[key] = Entry(digest(asked, self.secrets))
        return self.entries[key]


@dataclass(slots=True)
class Replay:
    """A tape that is played.

    Raises:
        ReplayDiffers: at the first thing that is asked, or left by a step, in another way than was recorded.
    """

    entries: Mapping[str, Entry]
    steps: Mapping[str, str]
    _asked: Counter[str] = field(default_factory=Counter)
    _left: Counter[str] = field(default_factory=Counter)

    async def stream(
        self, step: str, asked: Any, make: Callable[[], AsyncGenerator[Any, None]]
    ) -> AsyncGenerator[Any, None]:
        entry = self._entry(step, asked)
        for chunk in entry.came:
            yield unpack(chunk)
        if entry.error is not None:
            raise unpack_error(entry.error)

    async def value(self, step: str, asked: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        entry = self._entry(step, asked)
        if entry.error is not None:
            raise unpack_error(entry.error)
        return unpack(entry.came[0])

    def draw(self, step: str, make: Callable[[], Any]) -> Any:
        return unpack(self._entry(step, None).came[0])

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        if what not in self.entries:
            raise ReplayDiffers(f"this run needs {what}, which the recorded run did not")
        return unpack(self.entries[what].came[0])

    def left(self, step: str, body: Any) -> None:
        recorded = self.steps.get(_key(self._left, step))
        visit = f"visit {self._left[step]} of step '{step}'"
        if recorded is None:
            raise ReplayDiffers(f"{visit} is not in the recording")
        if recorded != digest(body):
            raise ReplayDiffers(f"{visit} makes something else than when it was recorded")

    def about(self, what: Any) -> Tape:
        return Part(self, thing=digest(what))

    def ended(self) -> None:
        """Says that the run is over.

        Raises:
            ReplayDiffers: when the recorded one was not.
        """
        for key in self.steps:
            step, _, visit = key.rpartition("#")
            if int(visit) > self._left[step]:
                raise ReplayDiffers(f"visit {visit} of step '{step}' is in the recording, and does not happen now")

    def _entry(self, step: str, asked: Any) -> Entry:
        key = _key(self._asked, step)
        entry = self.entries.get(key)
        number = self._asked[step]
        if entry is None:
            raise ReplayDiffers(f"step '{step}' asks the outside {number} times, which the recorded run did not")
        if entry.asked != digest(asked):
            raise ReplayDiffers(f"step '{step}' asks the outside something else (time {number}) than was recorded")
        return entry


@dataclass(frozen=True, slots=True)
class Part:
    """A tape for a part of what a run asks: its steps are called by other names on it, so that parts that are asked
    side by side have places of their own.

    Attributes:
        tape: the whole.
        inside: the step that it is of, where it is a flow inside another.
        thing: what is asked about, where it is one of several.
    """

    tape: Tape
    inside: str = ""
    thing: str = ""

    def stream(self, step: str, asked: Any, make: Callable[[], AsyncGenerator[Any, None]]) -> AsyncGenerator[Any, None]:
        return self.tape.stream(self._named(step), asked, make)

    async def value(self, step: str, asked: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        return await self.tape.value(self._named(step), asked, make)

    def draw(self, step: str, make: Callable[[], Any]) -> Any:
        return self.tape.draw(self._named(step), make)

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        return self.tape.once(what, make)

    def left(self, step: str, body: Any) -> None:
        self.tape.left(self._named(step), body)

    def about(self, what: Any) -> Tape:
        return Part(self.tape.about([self.thing, what] if self.thing else what), self.inside)

    def _named(self, step: str) -> str:
        return "/".join(name for name in (self.inside, step, self.thing) if name)


def _key(asked: Counter[str], step: str) -> str:
    asked[step] += 1
    return f"{step}#{asked[step]}"


def digest(value: Any, secrets: Sequence[str] = ()) -> str:
    """A short fingerprint of any value; objects count by their members, what has none by its type."""
    text = orjson.dumps(value, default=_members, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    return sha256(hidden(text, secrets).encode()).hexdigest()[:16]


def hidden(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets in it."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _members(value: Any) -> Any:
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value, key=str) if not isinstance(value, tuple) else list(value)
    names = getattr(type(value), "__slots__", None) or getattr(value, "__dict__", None) or ()
    public = {name: getattr(value, name, None) for name in names if not name.startswith("_")}
    return public or f"{type(value).__module__}.{type(value).__qualname__}"
