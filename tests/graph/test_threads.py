"""Threads for functions that block: many at once, and none that never comes back is in anybody's way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from threading import Barrier, Event
from weakref import ref

import pytest

from graph import Flow
from graph.threads import MAX_THREADS, DaemonThreads, in_thread

STUCK = """
import asyncio, threading
from graph.threads import in_thread

async def main():
    try:
        await asyncio.wait_for(in_thread(threading.Event().wait), 0.05)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""


async def test_as_many_block_side_by_side_as_there_are_threads() -> None:
    """Each waits for all others; with one thread less none would ever end."""
    meeting = Barrier(MAX_THREADS)
    await asyncio.gather(*(in_thread(meeting.wait, 60) for _ in range(MAX_THREADS)))


async def test_the_loops_own_threads_are_free_while_functions_are_stuck() -> None:
    """The gateway counts tokens there, and reads files: whoever writes a step cannot take them from it."""
    go, flow = Event(), Flow()
    flow.to(lambda _: go.wait(60), name="stuck", execution_mechanism="thread_pool").respond()
    stuck = [asyncio.create_task(flow.run(number)) for number in range(MAX_THREADS + 1)]
    try:
        assert await asyncio.to_thread(lambda: not any(each.done() for each in stuck))
    finally:
        go.set()
    assert await asyncio.gather(*stuck) == [True] * (MAX_THREADS + 1)


async def test_who_ends_the_program_in_a_thread_does_not() -> None:
    """A library that calls sys.exit() would end the loop, and all other requests with it."""
    with pytest.raises(RuntimeError, match="a function in a thread raised SystemExit"):
        await asyncio.create_task(in_thread(sys.exit, 3))


def test_threads_are_made_when_they_are_needed_and_kept() -> None:
    """One call after the other takes two at most: the next may come before the last has quite ended."""
    threads = DaemonThreads(8)
    for _ in range(100):
        threads.submit(int).result()
    assert threads._made <= 2


def test_who_gives_up_waiting_starts_nothing() -> None:
    """A call that was cancelled while it waited for a thread is not made."""
    threads, go, made = DaemonThreads(1), Event(), list[int]()
    first = threads.submit(go.wait, 60)
    left = threads.submit(made.append, 1)
    last = threads.submit(made.append, 2)
    assert left.cancel()
    go.set()
    assert (first.result(), last.result(), made) == (True, None, [2])


def test_what_nobody_waits_for_is_not_kept() -> None:
    """While all threads are stuck, a request that gives up leaves nothing of what it has sent."""
    threads, go = DaemonThreads(1), Event()
    stuck = threads.submit(go.wait, 60)
    sent = {1, 2}
    there = ref(sent)
    left = threads.submit(len, sent)
    assert left.cancel()
    del left, sent
    assert there() is None
    go.set()
    assert stuck.result()
    assert threads.submit(len, ()).result() == 0
    assert threads._made == 1


def test_a_function_that_never_comes_back_does_not_keep_the_process() -> None:
    """A gateway that was told to stop, stops."""
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "gave up\n")
