"""``penstock usage show | export``: the usage ledger of a gateway with these settings, running or not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway.cli.common import Config, give_up, settings_of
from gateway.cli.tables import AsJson, print_json, print_table
from gateway.serving.opening import opened
from gateway.store.protocol import StoreUnavailable
from gateway.usage.export import EXPORTERS, Format, export
from gateway.usage.rows import EVER, GROUPS, Span, UsageRows, span_of

usage = typer.Typer(help="What was used, by whom, of what and when.", no_args_is_help=True)
Made = TypeVar("Made")
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A day, in UTC.", show_default=False)]
SHOWN = ("requests", "failed", "prompt_tokens", "completion_tokens", "usd", "unpriced", "estimated_tokens")


@usage.command("show")
def show_usage(
    by: Annotated[list[str] | None, typer.Option(help=f"{', '.join(GROUPS)}; may be said more than once.")] = None,
    since: Day = None,
    until: Day = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Prints the sums of each group; by default of each key."""
    groups = [each for each in GROUPS if each in (by or ("key",))]
    for name in by or ():
        if name not in GROUPS:
            give_up(f"rows cannot be grouped by '{name}'; they can by {', '.join(GROUPS)}")
    totals = _with(config, lambda rows: rows.totals(_span(since, until), groups))
    rows = [{**dict(zip(groups, group, strict=True)), **sums.to_json()} for group, sums in sorted(totals.items())]
    if as_json:
        print_json(rows)
    else:
        words = [name.replace("_", " ") for name in SHOWN]
        print_table([_row(row, groups) for row in rows], numbers=words)


@usage.command("export")
def export_usage(
    format: Annotated[Format, typer.Option(help="parquet needs pip install 'penstock\\[parquet]'.")] = "csv",  # noqa: A002 - the option's name
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")] = None,
    since: Day = None,
    until: Day = None,
    config: Config = None,
) -> None:
    """Writes all rows, the oldest first."""

    async def work(rows: UsageRows) -> int:
        with output.open("wb") if output is not None else nullcontext(sys.stdout.buffer) as file:
            return await export(rows, _span(since, until), EXPORTERS[format](file))

    try:
        number = _with(config, work)
    except ImportError:
        give_up("parquet needs pyarrow: pip install 'penstock[parquet]'")
    except OSError as error:
        give_up(str(error))
    typer.echo(f"{number} rows", err=True)


def _row(sums: Mapping[str, Any], groups: Sequence[str]) -> dict[str, str]:
    """The sums of a group as a person reads them."""
    told = {name.replace("_", " "): str(sums[name]) for name in SHOWN}
    return {**{name: sums[name] for name in groups}, **told, "usd": f"{sums['usd']:.6f}"}


def _span(since: datetime | None, until: datetime | None) -> Span:
    begins: date = since.date() if since is not None else EVER
    return span_of(begins, until.date() if until is not None else None)


def _with(config: Path | None, work: Callable[[UsageRows], Awaitable[Made]]) -> Made:
    """What some work makes of the ledger."""
    settings = settings_of(config)

    async def do() -> Made:
        store, rows, _, _ = opened(settings.store, settings.usage)
        try:
            return await work(rows)
        finally:
            await store.close()

    try:
        return asyncio.run(do())
    except StoreUnavailable as error:
        give_up(str(error))
