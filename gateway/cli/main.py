"""The command line: ``penstock serve | check | run | replay | routes | version | graph … | prompts … | keys … | …``."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from gateway.catalog.catalog import Catalog
from gateway.cli.common import Config, give_up, remark, settings_of
from gateway.cli.guard import guard
from gateway.cli.keys import keys
from gateway.cli.prompts import prompts
from gateway.cli.tables import AsJson, print_json
from gateway.cli.usage import usage
from gateway.config.faults import InvalidSettings
from gateway.config.told import unknown
from graph import ReplayDiffers, ToolsetUnavailable
from llm import ModelError, UnknownModel

app = typer.Typer(
    name="penstock", help="An OpenAI-compatible LLM gateway whose models can be agents.", no_args_is_help=True
)
graphs = typer.Typer(help="The graphs that are served.", no_args_is_help=True)
app.add_typer(graphs, name="graph")
app.add_typer(prompts, name="prompts")
app.add_typer(keys, name="keys")
app.add_typer(usage, name="usage")
app.add_typer(guard, name="guard")


@app.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default=False)] = None,
) -> None:
    """Starts the gateway."""
    from gateway.serving.server import run  # noqa: PLC0415 - the server is imported only to serve
    from gateway.serving.workers import WorkerFailed  # noqa: PLC0415

    settings = settings_of(config, host=host, port=port)
    try:
        run(settings)
    except (InvalidSettings, ModelError, ToolsetUnavailable, OSError) as error:
        give_up(str(error))
    except WorkerFailed:
        raise typer.Exit(2) from None


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="Settings file (YAML).", show_default=False)] = None,
    config: Config = None,
) -> None:
    """Looks whether the gateway could serve by a settings file, without starting anything."""
    from gateway.app import create_app  # noqa: PLC0415 - the app is imported only to be built
    from gateway.config.hints import hints  # noqa: PLC0415

    settings = settings_of(file or config)
    try:
        catalog = Catalog.of(settings)
        endpoints = create_app(settings, catalog).table.listed()
    except InvalidSettings as error:
        give_up(str(error))
    source = settings.files[0] if settings.files else "the embedded settings"
    names = ", ".join(served.name for served in catalog) or "nothing"
    typer.echo(f"{source} can be used: {len(endpoints)} endpoints; served are {names}")
    for hint in hints(settings, endpoints):
        remark(f"hint: {hint}")


@graphs.command("list")
def list_graphs(config: Config = None) -> None:
    """Lists what is served, and whether its answers stream."""
    table = Table("name", "kind", "steps", "answer", "because")
    for served in _catalog(config):
        verdict = served.flow.streaming
        cells = (served.name, served.kind, " ".join(served.flow.steps), verdict.kind, verdict.because)
        table.add_row(*map(Text, cells))
    Console().print(table)


@graphs.command("show")
def show_graph(
    name: str,
    config: Config = None,
    explain: Annotated[bool, typer.Option(help="Print every path, and why it streams or not.")] = False,
) -> None:
    """Prints one graph as mermaid text, and whether its answer streams."""
    served = {served.name: served for served in _catalog(config)}
    if name not in served:
        give_up(unknown("graph", name, served))
    flow = served[name].flow
    if explain:
        typer.echo(flow.explain())
        return
    typer.echo(flow.plot())
    typer.echo(f"%% answer: {flow.streaming.kind} ({flow.streaming.because})")


@app.command("run")
def run_job(
    graph: str,
    rows: Annotated[Path, typer.Option("--input", "-i", help="JSON Lines: strings, or objects with messages.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines; rows that are there are not run again.")],
    config: Config = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="How many rows run at a time.")] = 8,
) -> None:
    """Runs a graph over the rows of a file; goes on where it was cut off."""
    from rich.progress import Progress  # noqa: PLC0415 - only jobs draw bars

    from gateway.job import Job, count_rows, started  # noqa: PLC0415

    catalog = _catalog(config)
    served = {served.name: served for served in catalog}
    if graph not in served:
        give_up(unknown("graph", graph, served))
    try:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(escape(graph), total=count_rows(rows))
            job = Job(served[graph], rows, output, concurrency, lambda done: bar.advance(task, done))

            async def work() -> None:
                async with started(catalog):
                    await job.run()

            asyncio.run(work())
    except (ModelError, ToolsetUnavailable, OSError) as error:
        give_up(str(error))
    typer.echo(f"{job.done} rows run, {job.failed} of them failed, {job.skipped} were done before")
    raise typer.Exit(1 if job.failed else 0)


@app.command("replay")
def replay_run(file: Annotated[Path, typer.Argument(help="A recorded run.")], config: Config = None) -> None:
    """Runs a recorded request again, offline, and says where it first differs."""
    from gateway.telemetry.recordings import replay  # noqa: PLC0415

    catalog = _catalog(config)
    try:
        answered = asyncio.run(replay(file, catalog))
    except InvalidSettings as error:
        give_up(str(error))
    except (ReplayDiffers, UnknownModel) as error:
        remark(str(error))
        raise typer.Exit(1) from None
    typer.echo(answered.decode(), nl=False)


@app.command("routes")
def list_routes(
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Lists the table of endpoints: who may call what, and what answers. All else is 404."""
    from gateway.app import create_app  # noqa: PLC0415 - the app is imported only to be built

    try:
        rows = [row.to_json() for row in create_app(settings_of(config)).table.listed()]
    except InvalidSettings as error:
        give_up(str(error))
    if as_json:
        print_json(rows)
        return
    table = Table("method", Column("path", overflow="fold"), "role", "action", "answers")
    for row in rows:
        table.add_row(*map(Text, row.values()))
    Console().print(table)


@app.command("version")
def show_version() -> None:
    """Prints the version."""
    typer.echo(version("penstock"))


def _catalog(config: Path | None) -> Catalog:
    try:
        return Catalog.of(settings_of(config))
    except InvalidSettings as error:
        give_up(str(error))
