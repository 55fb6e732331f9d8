"""A real Redis for those who need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.store.servers import RedisServer


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that the test may treat as it likes."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
