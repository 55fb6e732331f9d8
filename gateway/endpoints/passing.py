"""A chat answer that passes: the frames are those of the upstream, see :mod:`llm.providers.openai_passing`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import orjson

from gateway.answers import Dialect, Ending
from gateway.edge.sse import DONE, frame
from gateway.faults import Fault
from llm import ChatChunk, ChatCompletion


class PassingDialect:
    """A chat answer in the bytes that stand beside its chunks; what comes without them is said in ``own`` words.

    An upstream may answer a request for a stream with a whole answer, and it may report no usage.
    """

    def __init__(self, own: Callable[[], Dialect], *, include_usage: bool) -> None:
        self._make_own = own
        self._include_usage = include_usage
        self._first = b""
        self._told = False
        self._begun = False

    def begin(self) -> bytes:
        return b""

    def chunk(self, chunk: ChatChunk) -> bytes:
        if chunk.wire is None:
            return b"" if self._first else self._opening() + self._own.chunk(chunk)
        self._first = self._first or chunk.wire
        self._told = self._told or chunk.usage is not None
        return chunk.wire

    def end(self, ending: Ending) -> bytes:
        if not self._first:
            return self._opening() + self._own.end(ending)
        if self._told or not self._include_usage:
            return DONE
        event = orjson.loads(self._first.partition(b"\n\n")[0].removeprefix(b"data: "))
        head = {name: value for name, value in event.items() if name not in ("choices", "usage")}
        return frame({**head, "choices": [], "usage": ending.usage.to_wire()}) + DONE

    def error(self, fault: Fault) -> bytes:
        return self._own.error(fault)

    def whole(self, completion: ChatCompletion, ending: Ending) -> Any:
        if completion.wire is None:
            return self._own.whole(completion, ending)
        if completion.usage is not None and not completion.usage.estimated:
            return orjson.Fragment(completion.wire)
        return {**orjson.loads(completion.wire), "usage": ending.usage.to_wire()}

    @cached_property
    def _own(self) -> Dialect:
        return self._make_own()

    def _opening(self) -> bytes:
        opening = b"" if self._begun else self._own.begin()
        self._begun = True
        return opening
