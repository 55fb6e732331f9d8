"""The client is tested on both loops that it may run in."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """asyncio's own loop, and uvloop, under which the gateway runs."""
    return "asyncio", {"use_uvloop": request.param}
