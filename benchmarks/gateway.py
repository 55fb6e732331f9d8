"""What a gateway costs, beside others: ``python -m benchmarks.gateway``.

A fast upstream answers by a script (``gateways/upstream.py``); between it and the load (``gateways/load.py``) stand, in
turn, nobody, nginx, an app written by hand, Penstock, and other gateways, each over the same requests. Each gateway has
one core for itself, the load and the upstream share another one. In each round all take turns within seconds, so that
what else goes on on the machine meets all of them; ratios are made within a round, and their medians are shown. CPU
time is that of the whole process tree (``/proc/*/schedstat``). LiteLLM and Portkey are installed under ``.bench/`` on
the first run; who cannot be installed is left out, and the table says why.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import isnan, nan
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine import measured_commit, short
from benchmarks.gateways.contenders import ROOT, Gateway, Place, Unavailable, gateways

MESSAGES = [{"role": "user", "content": "Say ten words, and say them slowly, one after the other."}]
BODY = {"model": "bench", "messages": MESSAGES, "temperature": 0.5}
STARTING = 120.0
"""Seconds that a gateway may take to its first answer."""
FEW, MANY = 2, 102
"""Chunks of the two streams whose difference is what a chunk costs."""
LEVELS = (32, 64, 128, 256, 512, 1024)
"""So many streams at once are tried, until one of them stalls."""
STALL = 0.5
"""Seconds of silence in a stream, whose chunks come each 50 ms, that are a stall."""

FIGURES = {
    "rate": "requests/s",
    "request": "CPU µs a request",
    "stream": "CPU µs a short stream",
    "chunk": "CPU µs a chunk",
    "p50": "added p50, ms",
    "p99": "added p99, ms",
    "first": "added first token, ms",
    "streams": "streams at once",
    "idle": "MB idle",
    "loaded": "MB loaded",
    "start": "start to first answer, s",
}
RATIOS = frozenset({"rate", "request", "stream", "chunk"})


@dataclass
class Running:
    """A gateway that runs, or the upstream itself, and its figures by round."""

    name: str
    title: str
    port: int
    headers: Mapping[str, str]
    pid: int | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)
    error: str | None = None

    def take(self, name: str, figure: float) -> None:
        """One figure of a round."""
        self.figures.setdefault(name, []).append(figure)

    def median(self, name: str) -> float:
        """The median of a figure; not a number without one."""
        values = [value for value in self.figures.get(name, ()) if not isnan(value)]
        return median(values) if values else nan

    def times(self, other: Running, name: str) -> float:
        """How many times as much as another one, in the same rounds."""
        pairs = zip(self.figures.get(name, ()), other.figures.get(name, ()), strict=False)
        ratios = [mine / others for mine, others in pairs if others]
        return median(ratios) if ratios else nan

    def cpu(self) -> float:
        """Seconds of CPU time of all its processes so far."""
        threads = (task for pid in tree(self.pid) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return sum(int(_read(thread).split()[0] or 0) for thread in threads if _read(thread)) / 1e9

    def resident(self) -> float:
        """Its resident memory in MB; pages that its processes share count once for each."""
        lines = (line for pid in tree(self.pid) for line in _read(Path(f"/proc/{pid}/status")).splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def tree(pid: int | None) -> Iterator[int]:
    """A process and all below it."""
    if pid is not None:
        yield pid
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in _read(children).split():
                yield from tree(int(child))


class Load:
    """The process that asks, see ``gateways/load.py``."""

    def __init__(self, core: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gateways.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509 - no threads here
        )

    def ask(self, whom: Running, mode: str, body: Mapping[str, Any] | None = None, **how: Any) -> dict[str, Any]:
        """One load and what came of it."""
        command = {"mode": mode, "port": whom.port, "path": "/v1/chat/completions", "headers": dict(whom.headers)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({**command, "body": {**BODY, **(body or {})}, **how}) + "\n")
        self.process.stdin.flush()
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said


def streamed(chunks: int, pause: int = 0) -> dict[str, Any]:
    """The members that ask for a stream of so many chunks, so many milliseconds apart."""
    return {"stream": True, "max_tokens": chunks, "seed": pause}


# --- processes


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def process(
    command: Sequence[str], core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A process on a core of its own; its id. At the end it is gone, with all that it started."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509 - no threads here
        )
        try:
            yield started.pid
        finally:
            below = list(tree(started.pid))
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
            for pid in below[1:]:
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, 9)


def start(stack: ExitStack, gateway: Gateway, place: Place, core: int, load: Load) -> Running:
    """A gateway that has answered, or the reason why not."""
    running = Running(gateway.name, gateway.title, place.port, gateway.headers)
    begun = time.perf_counter()
    place.folder.mkdir(exist_ok=True)
    log = place.folder / "log.txt"
    running.pid = stack.enter_context(process(gateway.command(place), core, log, gateway.environment))
    while time.perf_counter() < begun + STARTING:
        if load.ask(running, "streams", streams=1)["answers"]:
            running.take("start", time.perf_counter() - begun)
            return running
    lines = _read(log).strip().splitlines() or ["it said nothing"]
    running.error = f"no answer within {STARTING:.0f} s; it said: {lines[-1]}"
    return running


# --- measurements


def one_round(running: Running, load: Load) -> None:
    """The figures of one gateway in one round; latencies as they are, until those of the upstream are taken off."""
    load.ask(running, "closed", connections=16, seconds=0.3)
    begun = running.cpu()
    closed = load.ask(running, "closed", connections=16, seconds=1.5)
    running.take("rate", closed["answers"] / closed["seconds"])
    running.take("request", _each(running.cpu() - begun, closed["answers"]))
    costs = []
    for chunks, seconds in ((FEW, 1.0), (MANY, 2.0)):
        begun = running.cpu()
        closed = load.ask(running, "closed", streamed(chunks, 5), connections=32, seconds=seconds)
        costs.append(_each(running.cpu() - begun, closed["answers"]))
    running.take("stream", costs[0])
    running.take("chunk", (costs[1] - costs[0]) / (MANY - FEW))
    alone = load.ask(running, "closed", connections=1, seconds=2)
    first = load.ask(running, "open", streamed(10, 1), rate=25, seconds=2)
    for name, value in (("p50", alone["p50"]), ("p99", alone["p99"]), ("first", first["first_p50"])):
        running.take(name, nan if value is None else value * 1e3)


def _each(seconds: float, answers: int) -> float:
    return seconds / answers * 1e6 if answers else nan


def many_streams(running: Running, load: Load) -> None:
    """How many streams at once go on without a stall; each has forty chunks, 50 ms apart."""
    most = 0
    for level in LEVELS:
        result = load.ask(running, "streams", streamed(40, 50), streams=level)
        if result["failed"] or result["silence"] > STALL:
            break
        most = level
    running.take("streams", most)
    running.take("loaded", running.resident() or nan)


def measure(contenders: Sequence[Running], load: Load, rounds: int) -> None:
    """All rounds; in each somebody else begins."""
    direct = contenders[0]
    for running in contenders[1:]:
        running.take("idle", running.resident())
    for index in range(rounds):
        print(f"round {index + 1} of {rounds} ...", file=sys.stderr)
        first = index % len(contenders)
        for running in (*contenders[first:], *contenders[:first]):
            one_round(running, load)
        for running in contenders[1:]:
            for name in ("p50", "p99", "first"):
                running.figures[name][-1] -= direct.figures[name][-1]
    for running in contenders:
        many_streams(running, load)


# --- the table


def table(contenders: Sequence[Running], absent: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The table, and below it who is not in it."""
    penstock = next((running for running in contenders if running.name == "penstock"), Running("", "", 0, {}))
    yield f"| | {' | '.join(FIGURES.values())} |"
    yield f"|---|{'---:|' * len(FIGURES)}"
    for running in contenders:
        yield f"| {running.title} | {' | '.join(_cell(running, name, penstock) for name in FIGURES)} |"
    yield ""
    for running in contenders:
        if isnan(running.median("stream")):
            yield f"{running.title} answered no stream; what it said is in .bench/run-{running.name}/log.txt"
    yield from (f"{title} is not in the table: {reason}" for title, reason in absent)


def _cell(running: Running, name: str, penstock: Running) -> str:
    value = running.median(name)
    if isnan(value) or (running.pid is None and name not in ("rate", "streams")):
        return "" if running.pid is None else "—"
    if name in RATIOS and not isnan(ratio := running.times(penstock, name)):
        return f"{short(value)} ({short(ratio)}×)"
    return short(value)


def prepared(cache: Path, chosen: Sequence[Gateway]) -> tuple[list[Gateway], list[tuple[str, str]]]:
    """Those that can take part, and the others with the reason."""
    able, absent = [], []
    for gateway in chosen:
        try:
            gateway.prepare(cache)
            able.append(gateway)
        except Unavailable as reason:
            print(f"{gateway.title} is left out: {reason}", file=sys.stderr)
            absent.append((gateway.title, str(reason)))
    return able, absent


def main() -> None:
    """Prepares, measures, and prints the table."""
    upstream_port = free_port()
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    everybody = gateways(upstream)
    names = [gateway.name for gateway in everybody]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where the others are installed")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    given = parser.parse_args()
    cache = given.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    able, absent = prepared(cache, [gateway for gateway in everybody if gateway.name in given.only])
    cores = sorted(os.sched_getaffinity(0))
    before = os.getloadavg()[0]
    with ExitStack() as stack:
        load = Load(cores[-1])
        stack.callback(load.process.kill)
        script = [sys.executable, "-m", "benchmarks.gateways.upstream", str(upstream_port)]
        stack.enter_context(process(script, cores[-1], cache / "upstream.txt"))
        running = [Running("direct", "the upstream itself", upstream_port, {})]
        while not load.ask(running[0], "streams", streams=1)["answers"]:
            pass
        for gateway in able:
            place = Place(free_port(), upstream, cache / f"run-{gateway.name}")
            running.append(start(stack, gateway, place, cores[0], load))
        absent += [(each.title, each.error) for each in running if each.error is not None]
        running = [each for each in running if each.error is None]
        measure(running, load, given.rounds)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {before:.1f} before, {os.getloadavg()[0]:.1f} after), "
        f"Python {platform.python_version()}, {given.rounds} rounds, Penstock at {measured_commit(None)}"
    )
    print("Medians; in brackets times Penstock, within a round.\n")
    print("\n".join(table(running, absent)))
    raw = {each.name: each.figures for each in running}
    (cache / "gateway.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
