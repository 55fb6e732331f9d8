"""What all tests share."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "house",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],  # which takes minutes where a gateway is asked
)
settings.load_profile("house")

LONGEST = 200
"""Seconds that an async test may take; less than ``timeout`` of pytest's settings."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no process of several is left alone with one of them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/llm/embedded/"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """An async test that hangs fails alone; ended from outside by ``timeout``, all after it would fail with it. What it
    leaves is collected after its loop: an SDK leaves the generators of a stream that nobody reads to its end in a
    cycle, and a thread that collects them while the loop closes them finds one of them at work, which is an error.
    Where a fixture of the session is async, all tests have one task, so that no cancellation of one may be left in it.
    """
    test = pyfuncitem.obj
    if not iscoroutinefunction(test):
        return (yield)

    @wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                await test(*args, **kwargs)
        finally:
            task = asyncio.current_task()
            while task is not None and task.uncancel():
                pass

    pyfuncitem.obj = bounded
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture
def anyio_backend() -> str:
    """All async tests run on asyncio."""
    return "asyncio"
