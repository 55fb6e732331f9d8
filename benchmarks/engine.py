"""What a graph engine costs, beside others: ``python -m benchmarks.engine``.

Seven contenders run the same five graphs (``contenders/measure.py`` says which). Each has a virtual environment of its
own, made on the first run under ``.bench/``, and in each round a process of its own. A measurement is made of ten short
series, between which the contenders take turns, so that what else goes on on the machine meets all of them; the fastest
series counts, as disturbances only ever add (on two busy shared cores, the same series takes up to 1.7 times as long).
Printed are the medians over the rounds as one Markdown table: CPU time (``time.process_time``) of all threads, wall
time for the runs that sleep. Ratios are made within a round, and their medians are shown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from math import inf, isnan, nan
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "locks/run.txt"
GIT = ("git", "--no-optional-locks", "-C", str(ROOT))
INSTALLING = 1800.0
"""Seconds that pip may take for one contender."""
SERIES, ENOUGH = 10, 6.0
"""How many series a measurement has, and after how many seconds of them a slow contender has had enough."""

MEASUREMENTS = {
    "line": "line of 10, µs a step",
    "cycle": "cycle of 2, 100 ×, µs a step",
    "fan_out": "fan-out to 5 and join, µs a run",
    "stream": "10,000 chunks through 3 steps, µs a chunk",
    "concurrent": "50 runs of 20 ms, wall ms",
}


@dataclass(frozen=True)
class Contender:
    """Somebody who takes part: a script in ``contenders/``, and what ``pip install`` is given for it."""

    script: str
    title: str
    environment: str
    installs: tuple[str, ...] = ()


_PENSTOCK = ("--require-hashes", "--no-deps", "-r", str(LOCK))

CONTENDERS = (
    Contender("bare_asyncio", "bare asyncio", "bare"),
    Contender("penstock", "Penstock", "penstock", _PENSTOCK),
    Contender("penstock_traced", "Penstock, tracing on", "penstock", _PENSTOCK),
    Contender("storey", "storey", "storey", ("storey==1.14.1", "packaging==26.3")),  # it imports packaging undeclared
    Contender("mlrun", "MLRun's mock server", "mlrun", ("mlrun==1.12.1",)),
    Contender("langgraph", "LangGraph", "langgraph", ("langgraph==1.2.22",)),
    Contender("pydantic_graph", "pydantic-graph", "pydantic_graph", ("pydantic-graph==2.68.0",)),
)
BARE, PENSTOCK = "bare_asyncio", "penstock"


@dataclass
class Outcome:
    """What came of one contender over all rounds."""

    version: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    """By measurement, what must be known of its figure, or why there is none."""
    error: str | None = None
    """What kept it from being installed or run at all."""

    def take(self, said: dict[str, Any], round_: int) -> None:
        """One answer of the script: the figure of a round is the smallest. What failed once has no figure."""
        name, self.version = said["measurement"], said["version"]
        figures = self.figures.setdefault(name, [])
        if len(figures) <= round_:
            figures.append(inf)
        figures[-1] = min(figures[-1], said["figure"]) if "figure" in said else nan
        if note := said.get("error") or said.get("cannot") or said.get("note"):
            self.notes[name] = note

    def median(self, name: str) -> float:
        """The median of a measurement; not a number without one."""
        return _middle(self.figures.get(name, ()))

    def times(self, other: Outcome, name: str) -> float:
        """How many times as much as another one, in the same rounds."""
        pairs = zip(self.figures.get(name, ()), other.figures.get(name, ()), strict=False)
        return _middle([mine / others for mine, others in pairs])

    def spread(self, other: Outcome) -> float:
        """How far the round in which a ratio to another contender is farthest from its median is from that."""
        far = [
            abs(mine / others / self.times(other, name) - 1)
            for name, figures in self.figures.items()
            for mine, others in zip(figures, other.figures.get(name, ()), strict=False)
        ]
        return max((each for each in far if not isnan(each)), default=nan)


def _middle(values: Sequence[float]) -> float:
    return median(values) if values and not any(map(isnan, values)) else nan


# --- environments


def prepare(cache: Path, contender: Contender) -> None:
    """Makes the environment of a contender, unless it stands already.

    Raises:
        subprocess.SubprocessError: when pip fails or takes too long.
    """
    folder, wanted = cache / contender.environment, _fingerprint(contender)
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"making the environment of {contender.title} ...", file=sys.stderr)
        _quietly([sys.executable, "-m", "venv", "--clear", str(folder)])
        if contender.installs:
            _pip(folder, contender.installs)
        stamp.write_text(wanted, encoding="utf-8")


def _fingerprint(contender: Contender) -> str:
    files = [Path(argument) for argument in contender.installs if argument.endswith(".txt")]
    locked = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return " ".join((platform.python_version(), *contender.installs, *locked))


def _pip(folder: Path, arguments: Sequence[str]) -> None:
    _quietly([str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", *arguments])


def _quietly(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALLING)


def prepare_all(cache: Path, contenders: Sequence[Contender], commit: str | None) -> dict[str, Outcome]:
    """The environments of all; who cannot be installed has the reason as its error."""
    failed: dict[str, str | None] = {}
    for contender in contenders:
        if contender.environment in failed:
            continue
        try:
            prepare(cache, contender)
            if contender.environment == PENSTOCK:
                install_penstock(cache / PENSTOCK, commit)
            failed[contender.environment] = None
        except (subprocess.SubprocessError, OSError) as error:
            failed[contender.environment] = why(getattr(error, "stderr", None) or str(error))
    return {contender.script: Outcome(error=failed[contender.environment]) for contender in contenders}


def install_penstock(folder: Path, commit: str | None) -> None:
    """Builds Penstock from a commit, or from the checkout as it is now. It is built before each benchmark, so that
    nobody who edits the checkout meanwhile changes the figures."""
    with TemporaryDirectory() as exported:
        if commit is not None:
            archive = f"{exported}/penstock.tar"
            _quietly([*GIT, "archive", "-o", archive, commit])
            _quietly(["tar", "-x", "-f", archive, "-C", exported])
        source = str(ROOT) if commit is None else exported
        _pip(folder, ("--no-deps", "--no-build-isolation", "--force-reinstall", source))


# --- rounds


class Process:
    """The process of a contender in one round. It measures what it is asked for, and waits in between."""

    def __init__(self, cache: Path, contender: Contender) -> None:
        self._said_besides = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [str(cache / contender.environment / "bin/python"), "-P", "-m", f"contenders.{contender.script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said_besides,
            text=True,
            cwd=cache,
            env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")},
        )

    def ask(self, name: str) -> dict[str, Any]:
        """One measurement. Whatever else the libraries print is passed over.

        Raises:
            ContenderEnded: when the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{name}\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith('{"measurement"'):
                said: dict[str, Any] = json.loads(line)
                return said
        self._said_besides.seek(0)
        raise ContenderEnded(why(self._said_besides.read()))

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._said_besides.close()


class ContenderEnded(Exception):
    """A contender could not be started, or went away while it measured."""


def measure(cache: Path, contenders: Sequence[Contender], outcomes: dict[str, Outcome], rounds: int) -> None:
    """All rounds. A contender whose process ends is not tried again."""
    for index in range(rounds):
        print(f"round {index + 1} of {rounds} ...", file=sys.stderr)
        left = [contender for contender in contenders if outcomes[contender.script].error is None]
        first = index % max(len(left), 1)
        with ExitStack() as stack:
            processes = {
                contender.script: stack.enter_context(closing(Process(cache, contender)))
                for contender in (*left[first:], *left[:first])
            }
            for name in MEASUREMENTS:
                one_measurement(name, index, processes, outcomes)


def one_measurement(name: str, index: int, processes: dict[str, Process], outcomes: dict[str, Outcome]) -> None:
    """All series of one measurement in one round, of one contender after the other, again and again."""
    spent = dict.fromkeys(processes, 0.0)
    for _ in range(SERIES):
        for script, process in processes.items():
            if outcomes[script].error is not None or spent[script] > ENOUGH:
                continue
            begun = time.perf_counter()
            try:
                outcomes[script].take(process.ask(name), index)
            except ContenderEnded as error:
                outcomes[script].error = f"ended in {name}: {error}"
            spent[script] += time.perf_counter() - begun


def why(said: str) -> str:
    """The line that says what went wrong."""
    lines = said.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if "rror" in line or line.startswith("Timeout")), lines[-1])


# --- the table


def table(contenders: Sequence[Contender], outcomes: dict[str, Outcome]) -> Iterable[str]:
    """The table, and below it what must be known of its figures."""
    yield f"| | {' | '.join(MEASUREMENTS.values())} | spread |"
    yield f"|---|{'---:|' * len(MEASUREMENTS)}---:|"
    notes: list[str] = []
    for contender in contenders:
        outcome = outcomes[contender.script]
        cells = [_cell(contender, name, outcomes, notes) for name in MEASUREMENTS]
        spread = outcome.spread(outcomes.get(BARE, Outcome()))
        shown = "" if isnan(spread) or contender.script == BARE else f"±{spread:.0%}"
        yield f"| {contender.title} {outcome.version or '(never ran)'} | {' | '.join(cells)} | {shown} |"
    yield ""
    yield from (f"{number}. {note}" for number, note in enumerate(notes, start=1))


def _cell(contender: Contender, name: str, outcomes: dict[str, Outcome], notes: list[str]) -> str:
    outcome = outcomes[contender.script]
    note, mark = outcome.error or outcome.notes.get(name), ""
    if note:
        sentence = f"{contender.title}: {note}"
        if sentence not in notes:
            notes.append(sentence)
        mark = f" [{notes.index(sentence) + 1}]"
    if isnan(outcome.median(name)):
        return f"—{mark}"
    ratios = [outcome.times(outcomes.get(other, Outcome()), name) for other in (BARE, PENSTOCK)]
    return f"{short(outcome.median(name))} ({' · '.join(f'{short(ratio)}×' for ratio in ratios)}){mark}"


def short(number: float) -> str:
    """A figure with as many digits as mean something."""
    if isnan(number):
        return "?"
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def measured_commit(commit: str | None) -> str:
    """Its short name; of the checkout with a plus sign when its packages differ from the last commit."""
    named = subprocess.run(
        [*GIT, "rev-parse", "--short", commit or "HEAD"], capture_output=True, text=True, check=False
    )
    packages = ["gateway", "graph", "guardrails", "llm", "prompts"]
    same = commit or not subprocess.run([*GIT, "diff", "--quiet", "HEAD", "--", *packages], check=False).returncode
    return f"{named.stdout.strip()}{'' if same else '+'}"


def main() -> None:
    """Prepares, measures, and prints the table."""
    names = [contender.script for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where the environments are kept")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--commit", help="measure Penstock as of this commit instead of the checkout as it is")
    given = parser.parse_args()
    contenders = [contender for contender in CONTENDERS if contender.script in given.only]
    cache = given.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    outcomes, commit = prepare_all(cache, contenders, given.commit), measured_commit(given.commit)
    before = os.getloadavg()[0]
    measure(cache, contenders, outcomes, given.rounds)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {before:.1f} before, {os.getloadavg()[0]:.1f} after), "
        f"Python {platform.python_version()}, {given.rounds} rounds, Penstock at {commit}"
    )
    print("Median (times bare asyncio · times Penstock); spread: how far a ratio to bare asyncio strayed.\n")
    print("\n".join(table(contenders, outcomes)))
    raw = {
        script: {name: [None if isnan(each) else each for each in figures] for name, figures in outcome.figures.items()}
        for script, outcome in outcomes.items()
    }
    (cache / "engine.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
