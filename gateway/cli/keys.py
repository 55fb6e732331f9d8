"""``penstock keys create | list | rotate | revoke | audit``: the keys in the store of a gateway, running or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError

from gateway.cli.common import Config, give_up, remark, settings_of
from gateway.cli.tables import AsJson, print_json, print_table, told_time, told_value
from gateway.config.faults import tell_faults
from gateway.config.fields import EVERYTHING
from gateway.config.hints import names_of, unserved
from gateway.errors import GatewayError
from gateway.keys.book import KeyBook
from gateway.keys.stored import NewKey, told
from gateway.serving.opening import book_of, opened
from gateway.store.periods import Period
from gateway.store.protocol import StoreUnavailable

keys = typer.Typer(help="Keys that callers show; those in the settings are changed there.", no_args_is_help=True)
Made = TypeVar("Made")
BY = "command line"


@keys.command("create")
def create_key(
    name: str,
    *,
    role: Literal["user", "admin"] = "user",
    team: str = "",
    model: Annotated[list[str] | None, typer.Option(help="A model or a pattern; all without.")] = None,
    endpoint: Annotated[list[str] | None, typer.Option(help="A path or a pattern; all without.")] = None,
    guardrail: Annotated[list[str] | None, typer.Option(help="A policy that holds for it.")] = None,
    budget_usd: float | None = None,
    period: Period = "month",
    rpm: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Requests under way at once.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="A day or a time, in UTC.")] = None,
    config: Config = None,
) -> None:
    """Makes a key and prints it, once."""
    said: dict[str, Any] = {"budget_usd": budget_usd, "period": period, "rpm": rpm, "tpm": tpm, "parallel": parallel}
    said |= {"name": name, "role": role, "team": team, "expires": expires}
    lists = {"models": model, "endpoints": endpoint, "guardrails": guardrail}
    said |= {what: given for what, given in lists.items() if given}
    try:
        new = NewKey.model_validate(said)
    except ValidationError as error:
        give_up(tell_faults(error, NewKey, name))
    _, shown = _with(config, lambda book: book.create(new, BY))
    typer.echo(shown)
    for warning in unserved(new.models, names_of(settings_of(config))):
        remark(warning)


@keys.command("list")
def list_keys(config: Config = None, as_json: AsJson = False) -> None:
    """Lists the keys in the store."""
    rows = [key.to_json() for key in _with(config, _keys)]
    if as_json:
        print_json(rows)
    else:
        print_table([_row(key) for key in rows])


@keys.command("rotate")
def rotate_key(
    name: str,
    grace_hours: Annotated[float, typer.Option(min=0, max=720, help="How long the old key is still valid.")] = 24,
    config: Config = None,
) -> None:
    """Makes a new key in place of one and prints it, once."""
    _, shown = _with(config, lambda book: book.rotate(name, grace_hours * 3600, BY))
    typer.echo(shown)


@keys.command("revoke")
def revoke_key(name: str, config: Config = None) -> None:
    """Ends a key for good."""
    _with(config, lambda book: book.revoke(name, BY))
    typer.echo(f"{name} is revoked")


@keys.command("audit")
def show_audit(
    limit: Annotated[int, typer.Option(min=1)] = 100, config: Config = None, as_json: AsJson = False
) -> None:
    """Lists what was done to keys, by whom and when; the latest first."""
    records = _with(config, lambda book: book.records(limit))
    if as_json:
        print_json(records)
    else:
        print_table([_record(record) for record in records])


async def _keys(book: KeyBook) -> list[Any]:
    return list(book.keys.values())


def _row(key: Mapping[str, Any]) -> dict[str, str]:
    """What a person looks for in a key."""
    limits = {"rpm": "{} rpm", "tpm": "{} tpm", "parallel": "{} at once", "budget_usd": f"{{}} USD a {key['period']}"}
    revoked = f"revoked {told_time(key['revoked'])}" if key["revoked"] else ""
    return {
        **{name: told_value(key[name]) for name in ("name", "role", "models", "team")},
        "limits": "\n".join(words.format(told_value(key[of])) for of, words in limits.items() if key[of] is not None),
        "ends": revoked or told_time(key["expires"]),
        "guardrails": told_value(key["guardrails"]),
        "endpoints": "" if key["endpoints"] == list(EVERYTHING) else told_value(key["endpoints"]),
    }


def _record(record: Mapping[str, Any]) -> dict[str, str]:
    """What was done to a key; ``name=value`` a line, and beside what was changed what it was."""
    changed = record["action"] == "changed"
    changes = (
        f"{name}={told_value(value[1]) or 'none'} (was {told_value(value[0]) or 'none'})"
        if changed
        else f"{name}={told_value(value)}"
        for name, value in record["changes"].items()
        if changed or told_value(value)
    )
    said = {name: told_value(record[name]) for name in ("action", "key", "by")}
    return {"at": told_time(told(record["at"])), **said, "changes": "\n".join(changes)}


def _with(config: Path | None, work: Callable[[KeyBook], Awaitable[Made]]) -> Made:
    """What some work makes of the keys in the store."""
    settings = settings_of(config)

    async def do() -> Made:
        store, _, rows, _ = opened(settings.store, settings.usage)
        book = book_of(settings, rows)
        if book is None:
            give_up("keys are kept only where auth.secret is set: openssl rand -hex 32 makes one")
        try:
            await store.start()
            await book.refresh()
            return await work(book)
        finally:
            await store.close()

    try:
        return asyncio.run(do())
    except (StoreUnavailable, GatewayError) as error:
        give_up(str(error))
