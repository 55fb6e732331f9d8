"""The feed: every worker's events, once each, in bounded memory; who comes back finds what it missed."""

from __future__ import annotations

import os

import orjson

from gateway.telemetry.feed import SLOT, SLOTS, Feed, Listener


def read(listener: Listener) -> list[int]:
    """The numbers that the events hold, of all that has come."""
    numbers: list[int] = []
    while some := [orjson.loads(body) for _, body in listener.read()]:
        numbers += [event["n"] for event in some]
    return numbers


def test_events_of_all_workers_come_once_and_in_their_order() -> None:
    """Also those of another process."""
    feed = Feed(2)
    listener = Listener(feed)
    feed.write(0, {"n": 1})
    if (pid := os.fork()) == 0:
        feed.write(1, {"n": 2})
        os._exit(0)
    os.waitpid(pid, 0)
    feed.write(0, {"n": 3})
    assert read(listener) == [1, 2, 3]
    assert read(listener) == []


def test_who_comes_back_goes_on_where_it_was() -> None:
    """An id says how far each worker has been read; one of another gateway, or of nobody, begins now."""
    feed = Feed(2)
    listener = Listener(feed)
    for n in range(6):
        feed.write(n % 2, {"n": n})
    ids = {orjson.loads(body)["n"]: place for place, body in listener.read()}
    assert read(Listener(feed, ids[2])) == [3, 4, 5]
    for strange in ("", Listener(Feed(2)).id, f"{feed.epoch}:1", f"{feed.epoch}:1.x", f"{feed.epoch}:1.{'9' * 400}"):
        assert read(Listener(feed, strange)) == []


def test_a_reader_that_is_too_slow_is_told_what_it_missed() -> None:
    """The ring does not grow, and what is left comes in order."""
    feed = Feed()
    listener = Listener(feed)
    for n in range(SLOTS + 10):
        feed.write(0, {"n": n})
    (_, first), *_ = listener.read()
    assert orjson.loads(first) == {"type": "missed", "events": 10 + SLOTS // 2}
    assert read(listener) == list(range(10 + SLOTS // 2 + 256, SLOTS + 10))


def test_an_event_that_is_too_long_is_left_out() -> None:
    """Nothing is written over its neighbours."""
    feed = Feed()
    listener = Listener(feed)
    feed.write(0, {"n": 1})
    feed.write(0, {"n": 2, "name": "x" * SLOT})
    feed.write(0, {"n": 3})
    assert read(listener) == [1, 3]


def test_nothing_is_written_while_nobody_listens() -> None:
    """Whoever begins to is heard by all workers."""
    feed = Feed(2)
    assert not feed.is_heard
    assert list(Listener(feed).read()) == []
    assert feed.is_heard
