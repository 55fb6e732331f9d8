"""Clients that need an older ``openai`` than ours live in ``.venv-clients``: ``make test-clients``."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from importlib.util import find_spec

import pytest

THEIRS = {
    "langchain_openai": "test_langchain.py",
    "litellm": "test_litellm.py",
    "llama_index": "test_llama_index.py",
    "pydantic_ai": "test_pydantic_ai.py",
}
collect_ignore = [] if any(find_spec(package) for package in THEIRS) else list(THEIRS.values())
"""Where one of them is, all must be; elsewhere their tests are not looked for."""

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch prices while it is imported


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """All of these tests run in one loop: what clients keep of a call belongs to the loop of that call."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_loop(anyio_backend: str) -> AsyncGenerator[None, None]:
    """Holds the loop between tests."""
    yield  # noqa: PT022 - a coroutine would give it back
