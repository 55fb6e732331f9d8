"""Server-sent events: whatever the reads are, the events are the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.errors import UpstreamGarbled
from llm.sse import EventParser

STREAM = (
    'data: {"a": "ü\u2028x"}\n\n: ping\n\ndata:{"b":1}\r\n\r\n'
    "event: x\ndata: one\ndata: two\n\nid: 7\n\ndata: [DONE]\n\n"
)
EVENTS = ['{"a": "ü\u2028x"}'.encode(), b'{"b":1}', b"one\ntwo", b"[DONE]"]


def parse(reads: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [data for read in reads for data in parser.feed(read)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_reads_of_any_size_give_the_same_events(size: int, newline: str) -> None:
    """Comments, other fields, cut characters, every kind of line end: only the data of whole events comes out."""
    stream = STREAM.replace("\r\n", "\n").replace("\n", newline).encode()
    assert parse([stream[start : start + size] for start in range(0, len(stream), size)]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=12))
def test_any_split_gives_the_same_events(cuts: list[int]) -> None:
    """There is no place where a network read could end that changes what is understood."""
    stream, edges = STREAM.encode(), sorted({0, *cuts, len(STREAM.encode())})
    reads = [stream[start:stop] for start, stop in pairwise(edges)]
    assert parse(reads) == EVENTS


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    """Without the blank line behind it, an event is not whole."""
    assert parse([b"data: whole\n\ndata: half\n"]) == [b"whole"]


@pytest.mark.parametrize("read", [b"data: " + b"x" * 200, b"data: x\n" * 200])
def test_an_event_has_a_bound(read: bytes) -> None:
    """An upstream that never ends an event is an error, not a way to fill the memory."""
    parser = EventParser(max_event_bytes=100)
    with pytest.raises(UpstreamGarbled, match="more than 100 bytes"):
        list(parser.feed(read))
