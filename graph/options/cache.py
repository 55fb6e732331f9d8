"""``cache=``: what a step made for a key is used again, for a while."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from copy import deepcopy
from typing import Any

from cachetools import TTLCache

from graph.compiled.results import as_stream, is_generator_function, settled
from graph.event import Event
from graph.written.expression import body_of


class Cache:
    """A bounded memory of what a step made.

    Args:
        key: what makes the key of what the step is given (its body, or the event); what it returns must be hashable.
        seconds: how long an entry is good.
        size: how many entries are kept; the least recently used one goes first.
    """

    def __init__(self, key: Callable[[Any], Hashable], seconds: float = 300.0, size: int = 1024) -> None:
        self.key = key
        self.entries: TTLCache[Hashable, Any] = TTLCache(maxsize=size, ttl=seconds)


def cached(call: Callable[[Any], Any], cache: Cache) -> Callable[[Any], Any]:
    """The call, made only when the cache has nothing for its key. Hits are copies; failures and left streams are not
    kept. Of a step that works on the event, and gives back nothing or an event, the body is kept."""

    async def value(given: Any) -> Any:
        key = cache.key(given)
        found = cache.entries.get(key)
        if found is None:
            made = await settled(call(given))
            on_event = isinstance(given, Event) and (made is None or isinstance(made, Event))
            cache.entries[key] = on_event, deepcopy(body_of(given if made is None else made) if on_event else made)
            return made
        on_event, kept = found
        if not on_event:
            return deepcopy(kept)
        given.body = deepcopy(kept)
        return None

    async def stream(given: Any) -> AsyncGenerator[Any, None]:
        key = cache.key(given)
        known = cache.entries.get(key)
        if known is not None:
            for chunk in deepcopy(known):
                yield chunk
            return
        said = []
        async with aclosing(as_stream(call(given))) as chunks:
            async for chunk in chunks:
                said.append(deepcopy(chunk))
                yield chunk
        cache.entries[key] = said

    return stream if is_generator_function(call) else value
