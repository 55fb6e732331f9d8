"""The targets, for as long as a test may take; scripts/fuzz tries them for longer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.errors import InvalidBody
from tests.fuzzing.__main__ import fuzz, summary
from tests.fuzzing.targets import TARGETS, Target, sse, told


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_but_what_is_expected_is_raised(name: str) -> None:
    """Whatever comes over the wire, what must hold does."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TARGETS[name].given)
    def check(given: Any) -> None:
        TARGETS[name].check(given)

    check()


def test_what_is_found_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Once for each place, with the input that shows it; and how many inputs were tried."""

    def check(given: Any) -> None:
        if given != [b""]:
            raise InvalidBody("found")

    monkeypatch.setitem(TARGETS, "sse", Target(TARGETS["sse"].given, check))
    count, found = fuzz(0.01, ["sse"])
    assert [place.partition(" at ")[0] for place in found] == ["sse: InvalidBody"]
    assert summary(count, found).endswith("; 1 findings")
    assert "InvalidBody: found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data\n\n", [b""]),
        (b"data\ndata\n\ndata:", [b"\n"]),
        (b"\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n", [b"x"]),
        (b"data:  two\r\rdatax: no\n\n", [b" two"]),
    ],
)
def test_events_by_the_letter_of_the_specification(stream: bytes, events: list[bytes]) -> None:
    """A line that is only a field's name, a mark at the very beginning, one space: as the specification has it."""
    assert told(stream) == events
    for size in range(1, len(stream) + 1):
        sse([stream[start : start + size] for start in range(0, len(stream), size)])
