"""SubFlow: a flow as a step of another."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from graph.event import Event
from graph.recording.tape import Part

if TYPE_CHECKING:
    from graph.flow import Flow
    from graph.running.run import FlowRun


class SubFlow:
    """Runs a flow on the event of another. Its answer is the body that follows; what streams there streams here.

    The inner run has its own visits, caps and state. What it spends counts for the outer run too, under the names
    ``outer/inner`` of its steps, and who watches the outer run watches it.
    """

    full_event = True
    needs_whole = True

    def __init__(self, flow: Flow) -> None:
        self.name = flow.name
        self.flow = flow.validate()
        self.do_event = self._stream if flow.streaming.kind in ("live", "accepted") else self._whole
        for hook in ("as_reasoning", "size"):
            inner = flow.plan.responder and getattr(flow.plan.responder.instance, hook, None)
            if inner is not None:
                setattr(self, hook, inner)

    async def _whole(self, event: Event) -> Any:
        return await self._start(event).result()

    async def _stream(self, event: Event) -> AsyncGenerator[Any, None]:
        async with aclosing(self._start(event).chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    def _start(self, event: Event) -> FlowRun:
        outer = event.run
        inner = event.branch()
        inner.state = {}
        inner.tape = None if event.tape is None else Part(event.tape, inside=event.at)
        return self.flow.start(inner, outer.hooks if outer is not None else None, outer)
