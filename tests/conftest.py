"""What all tests share."""

from __future__ import annotations

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no process of several is left alone with one of them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/llm/embedded/"))


@pytest.fixture
def anyio_backend() -> str:
    """All async tests run on asyncio."""
    return "asyncio"
