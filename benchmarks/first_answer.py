"""What a start costs, and the first answer: ``python -m benchmarks.first_answer``.

Each round starts a gateway with the embedded model in a process of its own, asks the trip planner once, and stops it.
Printed is the median of all rounds, with the smallest and the largest.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

ROUNDS = 5
REQUEST = {
    "model": "trip-planner",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "Plan a trip to Lisbon on 14 May"}],
}


@contextmanager
def gateway() -> Iterator[tuple[int, int, float]]:
    """A gateway on a free port: its port, its process id, and the seconds until it listened."""
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PENSTOCK_"))}
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            port = re.search(r":(\d+) ", process.stdout.readline())
            assert port is not None, "the gateway did not start"
            yield int(port[1]), process.pid, time.perf_counter() - begun
        finally:
            process.terminate()


def resident_mb(pid: int) -> float:
    """The resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def ask(port: int) -> dict[str, float]:
    """One answer: seconds to its first word and to its end, and what the run produced."""
    connection = HTTPConnection("127.0.0.1", port)
    begun = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(REQUEST), {"content-type": "application/json"})
    answer = connection.getresponse()
    first = tokens = 0.0
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if not first and event["choices"] and event["choices"][0]["delta"].get("content"):
            first = time.perf_counter() - begun
        tokens = event["usage"]["completion_tokens"] if event.get("usage") else tokens
    whole = time.perf_counter() - begun
    connection.close()
    return {"first word, s": first, "whole answer, s": whole, "tokens of the run": tokens}


def one_round() -> dict[str, float]:
    """The figures of one start and two answers; the first of them is cold."""
    with gateway() as (port, pid, started):
        at_rest = resident_mb(pid)
        cold, warm = ask(port), ask(port)
        figures = {"start to listening, s": started, "resident at rest, MB": at_rest}
        figures |= {f"cold: {name}": value for name, value in cold.items()}
        figures |= {f"warm: {name}": value for name, value in warm.items()}
        figures["resident after two answers, MB"] = resident_mb(pid)
    return figures


def main() -> None:
    """Prints the table."""
    rounds = [one_round() for _ in range(ROUNDS)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {ROUNDS} rounds")
    print(f"{'':34}{'median':>9}{'min':>9}{'max':>9}")
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        print(f"{name:34}{median(values):9.2f}{min(values):9.2f}{max(values):9.2f}")


if __name__ == "__main__":
    main()
