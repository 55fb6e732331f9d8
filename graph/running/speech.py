"""Speech: what steps say, led to where it ends: to the client, to a draft, or into one body."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from graph.compiled.node import Node
from graph.compiled.paths import get_path
from graph.compiled.results import END, settled
from graph.compiled.tail import Tail, refusal
from graph.errors import StreamOnStream
from graph.running.growing import watched
from graph.running.stream import Window, fed, through

if TYPE_CHECKING:
    from graph.running.walk import Walk


def whole(walk: Walk, node: Node) -> AsyncGenerator[Any, None] | None:
    """What a responder says that does not stream: a draft; it leaves at once where drafts are shown."""
    body = walk.event.body
    if node.shows_drafts:
        return _shown(walk, node, body)
    walk.run.hold(walk.event, [body])
    walk.leave(node)
    return None


async def _shown(walk: Walk, node: Node, body: Any) -> AsyncGenerator[Any, None]:
    shown = body if node.show is None else node.show(body)
    if shown is not None:
        yield shown
    if node.show is None:
        walk.run.answered = True
    else:
        walk.run.hold(walk.event, [body])
    walk.leave(node)


async def lead(walk: Walk, node: Node, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None] | None:
    """Leads a stream to where it ends: gathered there, or, from a responder, up to its first chunk."""
    tail = node.tail
    if tail.refused_by is not None:
        await source.aclose()
        raise StreamOnStream(refusal(node, tail))
    for passed in tail.passed:
        walk.enter(passed)
    walk.event.at = node.name
    chunks = _teed(walk, node, source) if tail.sides else source
    chunks = through(chunks, tail.nodes, walk.event) if tail.nodes else chunks
    if tail.end.responding is not None and tail.end.responding.judge_every is not None:
        chunks = watched(chunks, tail.end.responding.judge_every, tail.end.size, partial(_refuses, walk, tail.end))
    if tail.end.live:
        walk.run.streamed = True
        return _said(walk, node, await anext(chunks, END), chunks)
    async with aclosing(chunks):
        gathered = [chunk async for chunk in chunks]
    _gather(walk, node, tail, gathered)
    return None


async def _said(walk: Walk, node: Node, chunk: Any, rest: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """What the responder says, as it comes: the chunk that has been taken (``END`` if there was none), and the rest.
    From here on an error can only end the answer."""
    end = node.tail.end
    keeps, show = bool(end.outlets), end.show
    said: list[Any] = []
    try:
        async with aclosing(rest) as chunks:
            while chunk is not END:
                if keeps:
                    said.append(chunk)
                shown = chunk if show is None else show(chunk)
                if shown is not None:
                    yield shown
                chunk = await anext(chunks, END)
    except Exception as error:
        await _tell(walk, walk.blame(error), error)
        raise
    _gather(walk, node, node.tail, said)


async def _tell(walk: Walk, node: Node, error: Exception) -> None:
    """Tells the handler of an error that can only end the answer. What it returns does not matter any more."""
    handler = node.handler_of(error)
    if handler is not None:
        walk.event.error, walk.event.origin_state = error, node.name
        walk.enter(handler)
        await settled(walk.call(handler))
        walk.leave(handler)


def _gather(walk: Walk, node: Node, tail: Tail, chunks: list[Any]) -> None:
    """Makes one body of a stream that has ended, for whoever follows; where nobody does there is none."""
    end, run = tail.end, walk.run
    if walk.refusal is not None:
        _go_back(walk, end, chunks)
        return
    if end.outlets or not end.live:
        walk.event.at = end.name
        picked = [get_path(chunk, end.input_path) for chunk in chunks] if end.collects and end.input_path else chunks
        walk.take(end, end.gather(walk.event.body, picked))
    if end.responding is not None:
        run.streamed = run.streamed or not end.collects
        if end.live and end.show is None:
            run.answered = True
        else:
            run.hold(walk.event, [walk.event.body] if end.collects else chunks)
    for left in (node, *tail.passed):
        walk.leave(left)


# --- drafts that are judged while they grow


async def _refuses(walk: Walk, responder: Node, so_far: Sequence[Any]) -> bool:
    """Whether the step behind the responder, given a copy of the event with the draft so far, sends that back."""
    judge = responder.next
    assert judge is not None  # noqa: S101 - validated
    trial = walk.branch(responder)
    trial.take(responder, responder.gather(trial.event.body, list(so_far)))
    trial.event.at = judge.name
    trial.take(judge, await settled(trial.call(judge)))
    if not any(follower.reaches_responder for follower in trial.selected(judge)):
        return False
    walk.refusal = trial.event
    return True


def _go_back(walk: Walk, responder: Node, chunks: list[Any]) -> None:
    """A draft was refused while it grew: the walk goes on where the judge is done with it."""
    judge, refusal = responder.next, walk.refusal
    assert judge is not None  # noqa: S101
    assert refusal is not None  # noqa: S101
    walk.run.hold(walk.event, chunks)
    walk.leave(responder)
    walk.event.become(refusal)
    walk.refusal = None
    walk.enter(judge)
    walk.leave(judge)


# --- side branches that read along


def _teed(walk: Walk, node: Node, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The stream; beside it its side branches read along, through a bounded window each."""
    windows = [Window() for _ in node.tail.sides]
    readers = [
        walk.run.spawn(_listen(walk.branch(node), node, tail, window))
        for tail, window in zip(node.tail.sides, windows, strict=True)
    ]
    return fed(source, windows, readers)


async def _listen(walk: Walk, node: Node, tail: Tail, window: Window) -> None:
    """A side branch: gathers the stream in the window, then walks on."""
    walk.aside = True
    for passed in tail.passed:
        walk.enter(passed)
    walk.event.at = node.name
    entered, follower = walk.event.body, None
    try:
        async with aclosing(through(window.chunks(), tail.nodes, walk.event)) as chunks:
            gathered = [chunk async for chunk in chunks]
        _gather(walk, node, tail, gathered)
        follower = await walk.next()
    except Exception as error:
        follower = walk.recover(entered, error)
    await walk.carry(follower)
