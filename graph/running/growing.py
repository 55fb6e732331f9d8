"""``judge_every=``: a draft is looked at while it grows, and a refusal stops whoever makes it at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any


def characters(chunk: Any) -> int:
    """How long a chunk is, where its responder does not say so (``size(chunk)``)."""
    return len(chunk) if isinstance(chunk, (str, bytes)) else len(str(chunk))


async def watched(
    source: AsyncGenerator[Any, None],
    every: int,
    size: Callable[[Any], int],
    refuses: Callable[[Sequence[Any]], Awaitable[bool]],
) -> AsyncGenerator[Any, None]:
    """The stream, shown so far to ``refuses`` each time it has grown by ``every``; closed when that says yes."""
    so_far: list[Any] = []
    length = looked_at = 0
    async with aclosing(source) as chunks:
        async for chunk in chunks:
            so_far.append(chunk)
            length += size(chunk)
            yield chunk
            if length - looked_at >= every:
                looked_at = length
                if await refuses(so_far):
                    return
