"""Tables of the command line, in terminals of several widths."""

from __future__ import annotations

import pytest

from gateway.cli.tables import print_table, told_time, told_value

ROW = {
    "name": "first-app",
    "models": "trip-*, penstock-demo",
    "limits": "600 rpm\n200000 tpm",
    "nothing": "",
    "ends": "2027-01-01 00:00:00",
    "guardrails": "quiet",
}


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, **row: str) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table([{**ROW, **row}])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("width", "left"),
    [(200, ""), (80, ""), (55, "guardrails"), (42, "ends, guardrails"), (20, "models, limits, ends, guardrails")],
)
def test_no_word_is_torn_and_what_is_left_out_is_named(
    width: int, left: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last columns go first; one in which nothing stands is never shown."""
    table, _, said = printed(capsys, monkeypatch, width).rpartition("┘\n")
    assert max(map(len, table.splitlines())) <= width
    gone = left.split(", ") if left else []
    for name, cell in ROW.items():
        words = [name, *cell.replace(",", " ").split()] if cell else []
        assert all((word in table) is (name not in gone) for word in words)
    assert "nothing" not in table
    assert said == (f"Too narrow for: {left}. --json has everything.\n" if left else "")


def test_a_very_long_word_is_folded(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no other column's place, and nothing of it is lost."""
    table = printed(capsys, monkeypatch, 80, name="x" * 150)
    assert table.count("x") == 150
    assert all(name in table for name in ("models", "limits", "ends"))


def test_no_rows_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table would say nothing."""
    print_table([])
    assert capsys.readouterr().out == "there are none\n"


def test_values_as_a_person_reads_them() -> None:
    """Times in UTC, numbers without what says nothing, lists with commas."""
    assert told_time("2026-11-22T15:09:53+02:00") == "2026-11-22 13:09:53"
    assert told_time("2027-01-01T00:00:00") == "2027-01-01 00:00:00"
    assert [told_value(value) for value in (86400.0, 12.5, 3, None, ["a", "b"], "")] == [
        "86400",
        "12.5",
        "3",
        "",
        "a, b",
        "",
    ]
