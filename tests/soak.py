"""The memory of one worker under a long load: ``python -m tests.soak [REQUESTS]``, 100,000 where nothing is said.

Keys, limits, budgets, a team and the ledger are on. A tenth of the requests is streamed, and one in fifty shows no key.
After each tenth of the requests the resident memory of the gateway's process is told; the status is 1 when it has grown
by more than a twentieth between the first tenth and the end.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.gateways.load import Load
from benchmarks.gateways.upstream import Upstream

CONNECTIONS = 16
STREAMED, STRANGE = 10, 50
"""One in so many requests is streamed, or shows no key."""
GROWTH = 1.05
CHAT = {"model": "up", "max_tokens": 10, "messages": [{"role": "user", "content": "Count to ten, please."}]}


def settings(folder: Path, upstream: int) -> dict[str, Any]:
    """Settings with all that is kept of callers. The limits are so high that none is reached."""
    limits = {"rpm": 10**9, "tpm": 10**12, "budget_usd": 10**6, "parallel": 1000}
    price = {"input": 0.01, "output": 0.01}
    return {
        "server": {"port": 0},
        "store": {"url": f"sqlite:///{folder / 'penstock.db'}"},
        "auth": {
            "teams": [{"name": "all", **limits}],
            "keys": [{"name": "app", "key": "sk-of-the-app", "team": "all", **limits}],
        },
        "providers": [{"name": "far", "kind": "openai", "base_url": f"http://127.0.0.1:{upstream}/v1"}],
        "models": [{"name": "up", "provider": "far", "price": price}],
        "graphs": [],
    }


@asynccontextmanager
async def gateway(upstream: int) -> AsyncGenerator[tuple[int, int], None]:
    """The process of a gateway: its id and its port."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "penstock.yaml")
        path.write_bytes(orjson.dumps(settings(Path(folder), upstream)))
        command = (sys.executable, "-m", "gateway", "serve", "--config", str(path))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            assert process.stdout is not None
            address = (await process.stdout.readline()).decode().split(" ")[4]
            yield process.pid, int(address.rpartition(":")[2])
        finally:
            process.terminate()
            await process.communicate()


def resident(pid: int) -> float:
    """The resident memory of a process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def loads(port: int) -> tuple[Load, Load, Load]:
    """What is asked mostly, sometimes and rarely."""
    command = {"port": port, "path": "/v1/chat/completions", "headers": {"authorization": "Bearer sk-of-the-app"}}
    whole = Load.of({**command, "body": CHAT})
    streamed = Load.of({**command, "body": {**CHAT, "stream": True}})
    return whole, streamed, Load.of({**command, "headers": {}, "body": CHAT})


async def ask(kinds: tuple[Load, Load, Load], number: int) -> None:
    """So many requests; of the answers only their number is kept."""
    numbers = iter(range(number))

    async def work() -> None:
        for each in numbers:
            kind = kinds[2] if each % STRANGE == 1 else kinds[1] if each % STREAMED == 0 else kinds[0]
            await kind.one()
            kind.results.clear()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


async def soak(number: int) -> int:
    """Asks, tells and judges."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    async with gateway(server.sockets[0].getsockname()[1]) as (pid, port):
        kinds, begun, sizes = loads(port), time.monotonic(), [resident(pid)]
        print(f"{0:>9,} requests  {sizes[0]:7.1f} MiB", flush=True)  # noqa: T201 - that is what it is for
        for tenth in range(1, 11):
            await ask(kinds, number // 10)
            sizes.append(resident(pid))
            rate = number * tenth / 10 / (time.monotonic() - begun)
            print(f"{number * tenth // 10:>9,} requests  {sizes[-1]:7.1f} MiB  {rate:6.0f}/s", flush=True)  # noqa: T201
        failed = kinds[0].failures + kinds[1].failures
        for kind in kinds:
            kind.close()
    server.close()
    told = ", ".join(f"{number} {what}" for what, number in failed.items()) or "none"
    print(f"failed: {told}; {kinds[2].failed} without a key; {sizes[10] / sizes[1] - 1:+.1%} since the first tenth")  # noqa: T201
    return int(failed.total() > 0 or sizes[10] > sizes[1] * GROWTH)


if __name__ == "__main__":
    sys.exit(asyncio.run(soak(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)))
