"""``penstock guard check``: what a policy says of the lines of a file."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import orjson
import typer

from gateway.catalog.catalog import Catalog
from gateway.cli.common import Config, give_up, settings_of
from gateway.config.faults import InvalidSettings
from gateway.endpoints.guardrails import verdict_on
from gateway.guarding.guards import Guards
from guardrails import Policy
from guardrails.places import PLACES, Place

guard = typer.Typer(help="The policies of guardrails.", no_args_is_help=True)


@guard.command("check")
def check_file(
    file: Annotated[Path, typer.Argument(help="A text a line; - reads standard input.")],
    config: Config = None,
    policy: Annotated[str, typer.Option(help="Its name; without, the one that there is.", show_default=False)] = "",
    place: Annotated[str, typer.Option(help=f"What the lines are: {', '.join(PLACES)}.")] = "input",
) -> None:
    """Prints a line of JSON for each line of a file; ends with status 1 when one is refused."""
    if place not in PLACES:
        give_up(f"--place must be one of {', '.join(PLACES)}")
    chosen = _policy(_guards(config), policy)
    counted: Counter[str] = Counter()
    looked_at: Place = place
    for number, line in enumerate(_lines(file), 1):
        said = verdict_on(chosen, line, looked_at)
        counted[said["action"]] += 1
        typer.echo(orjson.dumps({"line": number, **said}).decode())
    typer.echo(", ".join(f"{action}: {times}" for action, times in counted.items()), err=True)
    raise typer.Exit(1 if counted["refuse"] else 0)


def _guards(config: Path | None) -> Guards:
    try:
        return Catalog.of(settings_of(config)).guards
    except InvalidSettings as error:
        give_up(str(error))


def _policy(guards: Guards, name: str) -> Policy:
    names = list(guards)
    if name not in names and (name or len(names) != 1):
        give_up(f"write --policy with one of: {', '.join(names) or 'there are none in the settings'}")
    return guards[name or names[0]]


def _lines(file: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        give_up(f"{file}: {error}")
    return text.splitlines()
