"""What only Redis does: keys that end, a cluster, scripts that are gone, answers that do not come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.store.protocol import LATE, Account, Amount, Hold, Limits, StoreUnavailable
from gateway.store.redis import RedisStore
from tests.gateway.store.servers import RedisServer

ONE = Amount(requests=1, tokens=40, nanos=10, slots=1)
KEY = Account("key:app", Limits(requests=100), "day")
TEAM = Account("team:search", Limits(requests=100), "total")
HOLD = Hold("a", (KEY, TEAM))


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncGenerator[Any, None]:
    """A client of the server."""
    client = Redis(unix_socket_path=str(own_redis.socket))
    yield client
    await client.aclose()


async def test_everything_ends_but_budgets_that_never_do(own_redis: RedisServer, redis: Any) -> None:
    """Each key has its time to live, while work is under way and after it; nothing is left behind for ever."""
    store = RedisStore(own_redis.url, 5)
    for name in ("a", "b"):
        await store.reserve(Hold(name, HOLD.accounts), ONE, 30)
    await store.renew([HOLD], 30)
    await store.adjust(HOLD, Amount(1, 90, 90), final=True)
    lives = {key.decode(): await redis.ttl(key) for key in await redis.keys()}
    await store.close()
    assert {key for key, life in lives.items() if life < 0} == {"penstock:{team%3Asearch}:team:search:spent"}
    assert len(lives) == 8
    day = 24 * 3600
    late = ("holds", "leases")
    assert all(life <= 65 + 30 + LATE * key.endswith(late) or "spent" in key for key, life in lives.items())
    assert lives["penstock:{team%3Asearch}:key:app:spent"] <= day + 30


async def test_scripts_that_are_gone_are_sent_again(own_redis: RedisServer, redis: Any) -> None:
    """As after a failover."""
    store = RedisStore(own_redis.url, 5)
    assert (await store.reserve(HOLD, ONE, 30)).granted
    await redis.script_flush()
    assert await store.adjust(HOLD, ONE, final=True)
    await store.close()


async def test_an_answer_that_does_not_come_in_time(own_redis: RedisServer) -> None:
    """Nobody waits longer than was said; when Redis goes on, so does the store."""
    store = RedisStore(own_redis.url, 0.2)
    await store.start()
    own_redis.hold_up()
    with pytest.raises(StoreUnavailable, match="Redis does not answer"):
        await store.reserve(HOLD, ONE, 30)
    own_redis.go_on()
    patient = RedisStore(own_redis.url, 5)
    assert await patient.adjust(HOLD, Amount(), final=True) in (True, False)
    assert (await patient.reserve(Hold("b", HOLD.accounts), ONE, 30)).granted
    await patient.close()
    await store.close()


async def test_a_redis_that_is_gone(own_redis: RedisServer) -> None:
    """It is said at once; when it is back, the same store goes on."""
    store = RedisStore(own_redis.url, 5)
    await store.start()
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        await store.reserve(HOLD, ONE, 30)
    own_redis.start()
    assert (await store.reserve(HOLD, ONE, 30)).granted
    await store.close()


async def test_a_cluster_has_the_keys_of_a_reservation_in_one_place(
    tmp_path_factory: pytest.TempPathFactory, unused_tcp_port: int
) -> None:
    """A cluster refuses scripts over keys of several slots; these have one tag."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), "--cluster-enabled", "yes", port=unused_tcp_port)
    with server:
        client: Any = Redis(unix_socket_path=str(server.socket))
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
            pass
        store = RedisStore(f"redis+cluster://127.0.0.1:{unused_tcp_port}", 5)
        await store.start()
        assert (await store.reserve(HOLD, ONE, 30)).granted
        await store.renew([HOLD], 30)
        assert await store.adjust(HOLD, ONE, final=True)
        await store.close()
        await client.aclose()
