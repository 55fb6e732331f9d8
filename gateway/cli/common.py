"""What all commands share: the settings, and how to give up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gateway.config import Settings, config_path, load
from gateway.config.faults import InvalidSettings

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file (YAML).", show_default=False)]


def settings_of(config: Path | None, *, host: str | None = None, port: int | None = None) -> Settings:
    """The settings, or the end of the command with what is wrong with them."""
    try:
        return load(config_path(config), host=host, port=port)
    except InvalidSettings as error:
        give_up(str(error))


def give_up(message: str) -> NoReturn:
    """Says what is wrong, and ends the command with status 2."""
    remark(message)
    raise typer.Exit(2)


def remark(message: str) -> None:
    """Says something beside what the command prints."""
    Console(stderr=True, highlight=False).print(f"penstock: {message}", soft_wrap=True, markup=False)
