"""``penstock prompts list | render | diff``: the prompts that a gateway with these settings would use."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import yaml

from gateway.cli.common import Config, give_up, settings_of
from gateway.cli.tables import AsJson, print_json, print_table
from prompts import LLMPromptArtifact, PromptError, PromptStore

prompts = typer.Typer(help="The prompts that are used.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="name, name@v3 or name@label.", show_default=False)]


@prompts.command("list")
def list_prompts(config: Config = None, as_json: AsJson = False) -> None:
    """Lists all prompts with their versions, labels and placeholders, and where they come from."""
    rows = [
        {
            "name": origin.artifact.name,
            "version": f"v{origin.artifact.version}",
            "labels": " ".join(origin.artifact.labels),
            "placeholders": " ".join(sorted(origin.artifact.variables)),
            "description": origin.artifact.description,
            "from": origin.source,
        }
        for origins in _store(config).prompts.prompts.values()
        for origin in origins
    ]
    (print_json if as_json else print_table)(rows)


@prompts.command("render")
def render_prompt(
    reference: Reference,
    field: Annotated[
        list[str] | None, typer.Argument(help="Fields of the body: name=text.", show_default=False)
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option(help="A JSON file with the body, or a list of bodies; - is standard input.", show_default=False),
    ] = None,
    config: Config = None,
) -> None:
    """Prints the messages that a prompt makes of a body, as JSON; of a list of bodies the list of their messages."""
    given, said = _read(body), dict(map(_field, field or ()))
    try:
        messages = _store(config)[reference].render(
            [each | said for each in given] if isinstance(given, list) else given | said
        )
    except PromptError as error:
        give_up(str(error))
    typer.echo(orjson.dumps(messages, option=orjson.OPT_INDENT_2).decode())


@prompts.command("diff")
def diff_prompts(old: Reference, new: Reference, config: Config = None) -> None:
    """Prints what differs between two prompts, or two versions of one; the status is 1 when something does."""
    store = _store(config)
    try:
        one, other = store[old], store[new]
    except PromptError as error:
        give_up(str(error))
    lines = list(unified_diff(_written(one), _written(other), one.reference, other.reference, lineterm=""))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(1 if lines else 0)


def _store(config: Path | None) -> PromptStore:
    try:
        return PromptStore(settings_of(config).prompts.path)
    except PromptError as error:
        give_up(str(error))


def _written(prompt: LLMPromptArtifact) -> list[str]:
    """A prompt as lines of YAML, without its name, version and labels."""
    members = ("description", "prompt_template", "prompt_legend", "invocation_config")
    tree = orjson.loads(orjson.dumps({name: getattr(prompt, name) for name in members}))
    return yaml.dump(tree, Dumper=_Lines, sort_keys=False, allow_unicode=True, width=10_000).splitlines()


class _Lines(yaml.SafeDumper):
    """Texts of several lines are written as such, so that a difference is in one of them."""


_Lines.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)
)


def _field(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals:
        give_up(f"'{written}' is no field; write name=text, or the whole body with --body")
    return name, value


def _read(path: Path | None) -> Any:
    if path is None:
        return {}
    try:
        body = orjson.loads(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        give_up(f"{path}: {error}")
    if not all(isinstance(each, dict) for each in (body if isinstance(body, list) else [body])):
        give_up(f"{path}: the body is no JSON object, and no list of them")
    return body
