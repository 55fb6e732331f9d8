"""The server process: what it does not hold, and how it listens."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

from tests.serving import serving

PROGRAM = """
import sys
from gateway.app import create_app
from gateway.config import Settings
import gateway.serving.server

provider = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
settings = {"providers": [provider], "models": [{"name": "up", "provider": "far"}], "graphs": []}
create_app(Settings.model_validate(settings))
unneeded = {"jsonpath", "jsonschema_rs", "numpy", "omegaconf", "stamina"}
unneeded |= {"gateway.exchanges.agreement"}
print(*sorted(unneeded & sys.modules.keys()))
"""


def test_a_gateway_over_upstreams_does_not_hold_what_it_does_not_need() -> None:
    """Arrays, paths into bodies, schemas, retries of steps, what compares questions and the reader of settings files
    are imported with their first use."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


async def test_what_is_said_leaves_at_once() -> None:
    """A connection does not keep a second part of an answer back until the first is acknowledged: Nagle's algorithm is
    off in every connection that is accepted, whatever loop serves it."""
    async with serving() as gateway:
        listening = gateway.server.socket
        reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        writer.write(b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n")
        (accepted,) = gateway.server.server_state.connections
        connection = accepted.transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
