"""``python -m tests.fuzzing SECONDS [TARGET …]``: tries the targets for so long, and says what it found."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzzing.targets import TARGETS, Target

ROUND = 2000
"""How many inputs a target is tried on in its turn."""


def turn(target: Target, number: int, tried: Callable[[], None]) -> None:
    """Tries a target on inputs that no other turn has; what it finds is made small and raised."""

    @seed(number)
    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(target.given)
    def check(given: Any) -> None:
        tried()
        target.check(given)

    check()


def fuzz(seconds: float, names: list[str]) -> tuple[Counter[str], dict[str, str]]:
    """Gives each target its turn until the time is over: how many inputs each was tried on, and what was found, by the
    place where it was raised."""
    ends, count, found = time.monotonic() + seconds, Counter[str](), dict[str, str]()
    number = time.time_ns()
    while time.monotonic() < ends:
        for name in names:
            number += 1
            try:
                turn(TARGETS[name], number, lambda name=name: count.update((name,)))  # type: ignore[misc]
            except Exception as error:
                note(name, error, found)
        print(summary(count, found), file=sys.stderr, flush=True)  # noqa: T201
    return count, found


def note(name: str, error: BaseException, found: dict[str, str]) -> None:
    """Keeps a finding, if it is a new one, and prints it at once."""
    errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    for each in errors:
        last = traceback.extract_tb(each.__traceback__)[-1]
        place = f"{name}: {type(each).__name__} at {last.filename}:{last.lineno}"
        if place not in found:
            found[place] = "".join(traceback.format_exception(each))
            print(f"FOUND {place}\n{found[place]}", flush=True)  # noqa: T201


def summary(count: Counter[str], found: dict[str, str]) -> str:
    """How many inputs were tried, and how many findings there are."""
    tried = ", ".join(f"{name} {number:,}" for name, number in count.items())
    return f"{count.total():,} inputs ({tried}); {len(found)} findings"


def main() -> int:
    """1 when anything was found."""
    seconds, names = float(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    count, found = fuzz(seconds, names)
    print(summary(count, found), flush=True)  # noqa: T201
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
