"""Tables that a person reads, in a terminal as narrow as it may be; the same as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array, for programs.")]
LONGEST: Final = 15
"""Words of more characters are folded rather than given a column that wide."""


def print_json(rows: Any) -> None:
    """Everything that there is."""
    typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())


def print_table(rows: Sequence[Mapping[str, str]], numbers: Sequence[str] = ()) -> None:
    """Rows under their columns, of which the first say most; those under ``numbers`` are set to the right.

    A column in which nothing stands is left out. Of the others, the last are left out and named, where the terminal is
    too narrow for all; no word is torn for want of width that is not a very long one.
    """
    console = Console(highlight=False)
    names = [name for at, name in enumerate(rows[0] if rows else ()) if not at or any(row[name] for row in rows)]
    columns = {name: [name, *(row[name] for row in rows)] for name in names}
    shown = _fitting(columns, console.width)
    table = Table()
    for name, width in shown.items():
        table.add_column(Text(name), width=width, overflow="fold", justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in shown))
    console.print(table if rows else "there are none")
    if left := [name for name in names if name not in shown]:
        console.print(f"Too narrow for: {', '.join(left)}. --json has everything.", soft_wrap=True)


def _fitting(columns: Mapping[str, Sequence[str]], room: int) -> dict[str, int]:
    """The columns that there is room for, and their widths: of their longest words, then of their longest lines."""
    least = {name: min(LONGEST, max(map(_longest_word, cells))) for name, cells in columns.items()}
    names = list(columns)
    while len(names) > 1 and _width(least[name] for name in names) > room:
        names.pop()
    shown = {name: least[name] for name in names}
    for wanted in (_longest_word, _longest_line):
        needs = {name: max(map(wanted, columns[name])) - shown[name] for name in names}
        for name in sorted(needs, key=lambda name: needs[name]):
            shown[name] += max(0, min(needs[name], room - _width(shown.values())))
    return shown


def _width(columns: Iterable[int]) -> int:
    """Of a table with these columns, with their lines and the space beside them."""
    return sum(width + 3 for width in columns) + 1


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def told_time(at: str | None) -> str:
    """A time as JSON has it, as a person reads it: in UTC, to the second."""
    if at is None:
        return ""
    time = datetime.fromisoformat(at)
    return (time.astimezone(UTC) if time.tzinfo else time).strftime("%Y-%m-%d %H:%M:%S")


def told_value(value: Any) -> str:
    """A value of JSON as a person reads it; empty for what says nothing."""
    if isinstance(value, list):
        return ", ".join(map(told_value, value))
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)
