"""``cache=``: what a step made for a key is used again, for a while."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from copy import deepcopy
from typing import Any

from cachetools import TTLCache

from graph.compiled.results import as_stream, is_generator_function, settled


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
    kept."""

    async def value(given: Any) -> Any:
        key = cache.key(given)
        if key not in cache.entries:
            cache.entries[key] = deepcopy(made := await settled(call(given)))
            return made
        return deepcopy(cache.entries[key])

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
