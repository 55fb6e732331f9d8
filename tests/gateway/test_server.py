"""The server process: what it does not hold."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from gateway.app import create_app
from gateway.config import Settings
import gateway.server

provider = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
settings = {"providers": [provider], "models": [{"name": "up", "provider": "far"}], "graphs": []}
create_app(Settings.model_validate(settings))
unneeded = {"jsonpath", "jsonschema_rs", "numpy", "omegaconf", "gateway.exchanges.agreement"}
print(*sorted(unneeded & sys.modules.keys()))
"""


def test_a_gateway_over_upstreams_does_not_hold_what_it_does_not_need() -> None:
    """Arrays, paths into bodies, schemas, what compares questions and the reader of settings files are imported with
    their first use."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
