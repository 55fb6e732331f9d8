"""The ledger as a file: CSV, JSON Lines or Parquet, a page at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import IO, Any, Final, Literal, Protocol, TypeAlias

import orjson

from gateway.store.protocol import NANOS
from gateway.usage.row import COLUMNS, UsageRow
from gateway.usage.rows import Span, UsageRows

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
NAMES: Final = tuple("usd" if name == "nanos" else name for name in COLUMNS)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the beginning of a cell."""


class Exporter(Protocol):
    """Writes rows into a file that somebody else opens and closes."""

    def write(self, rows: Sequence[UsageRow]) -> None:
        """Adds rows."""
        ...

    def close(self) -> None:
        """There are no more."""
        ...


async def export(usage: UsageRows, span: Span, exporter: Exporter) -> int:
    """Writes the rows of a span in the order of their time, and says how many."""
    number = 0
    pages: AsyncGenerator[list[UsageRow], None] = usage.read(span)
    async with aclosing(pages):
        async for rows in pages:
            exporter.write(rows)
            number += len(rows)
    exporter.close()
    return number


class CsvExporter:
    """A line of names, and a line for each row. ``steps`` is JSON in a cell; what is not known is empty."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._write_lines([NAMES])

    def write(self, rows: Sequence[UsageRow]) -> None:
        self._write_lines([[_cell(row, name) for name in NAMES] for row in rows])

    def close(self) -> None:
        self._file.flush()

    def _write_lines(self, lines: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        self._file.write(text.getvalue().encode())


class JsonLinesExporter:
    """A JSON object in each line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: Sequence[UsageRow]) -> None:
        self._file.writelines(orjson.dumps(row.to_json(), option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    def close(self) -> None:
        self._file.flush()


class ParquetExporter:
    """Columns of Arrow's types; needs ``pyarrow``, the extra ``parquet``."""

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra, loaded when it is asked for
        from pyarrow import parquet  # noqa: PLC0415

        kinds = {"at": pa.timestamp("us", tz="UTC"), "usd": pa.float64(), "seconds": pa.float64()}
        whole = {name: pa.int64() for name in NAMES if name == "requests" or name.endswith("_tokens")}
        self._schema = pa.schema([(name, {**kinds, **whole}.get(name, pa.string())) for name in NAMES])
        self._table = pa.Table
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Sequence[UsageRow]) -> None:
        told = [{**row.to_json(), "at": round(row.at * 1_000_000), "steps": row.steps} for row in rows]
        self._writer.write_table(self._table.from_pylist(told, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


EXPORTERS: Final[Mapping[Format, Callable[[IO[bytes]], Exporter]]] = MappingProxyType(
    {"csv": CsvExporter, "jsonl": JsonLinesExporter, "parquet": ParquetExporter}
)


def _cell(row: UsageRow, name: str) -> Any:
    """A value as a cell; one that a spreadsheet would take for a formula is a text there too."""
    if name == "usd":
        return "" if row.nanos is None else f"{row.nanos / NANOS:.9f}"
    value = getattr(row, name)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
