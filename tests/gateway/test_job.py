"""A graph as a job: over the rows of a file, so many at a time, and on where it was cut off."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.catalog.deployed import Served
from gateway.cli.main import app
from gateway.job import Job, keep_finished
from graph import Flow
from llm import ChatRequest, UpstreamRateLimited
from tests.gateway.cli.test_main import CONFIG


def served(step: Any) -> Served:
    flow = Flow("job")
    flow.to(step, name="step").respond()
    return Served("job", "graph", flow, "penstock", "", 0)


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(
        "".join(row if isinstance(row, str) and row.endswith("\n") else json.dumps(row) + "\n" for row in rows)
    )
    return path


def read(path: Path) -> dict[int, Any]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["row"] for line in lines}) == len(lines)
    return {line["row"]: line.get("answer", line.get("error", {}).get("message")) for line in lines}


async def test_every_row_has_a_line(tmp_path: Path) -> None:
    """Strings and requests; each under its number; a row that is none of them fails by itself."""
    rows = write(
        tmp_path, "one", {"messages": [{"role": "user", "content": "two"}]}, "not json\n", 5, "\n", {"messages": []}
    )
    job = Job(served(lambda request: request.text.upper()), rows, tmp_path / "out.jsonl")
    await job.run()
    answers = read(tmp_path / "out.jsonl")
    assert (answers[0], answers[1]) == ("ONE", "TWO")
    assert "not JSON" in answers[2]
    assert "JSON object" in answers[3]
    assert "messages" in answers[5]
    assert (job.done, job.failed, 4 in answers) == (5, 3, False)


async def test_so_many_rows_run_at_a_time(tmp_path: Path) -> None:
    """No more than the limit, and as many as that."""
    inside = most = 0
    together = asyncio.Barrier(3)

    async def busy(request: ChatRequest) -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await together.wait()
        inside -= 1
        return "done"

    await Job(served(busy), write(tmp_path, *"abcdef"), tmp_path / "out.jsonl", concurrency=3).run()
    assert most == 3


async def test_a_job_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    """Finished rows are not run again; failed ones and a torn last line are."""
    ran: list[str] = []

    def step(request: ChatRequest) -> str:
        ran.append(request.text)
        if request.text == "c" and ran.count("c") == 1:
            raise UpstreamRateLimited("busy")
        return request.text

    rows, output = write(tmp_path, *"abcd"), tmp_path / "out.jsonl"
    await Job(served(step), rows, output, concurrency=1).run()
    assert ran == ["a", "b", "c", "d"]
    output.write_bytes(output.read_bytes()[:-5])
    job = Job(served(step), rows, output, concurrency=1)
    await job.run()
    assert ran[4:] == ["c", "d"]
    assert read(output) == {0: "a", 1: "b", 2: "c", 3: "d"}
    assert (job.done, job.failed, job.skipped) == (2, 0, 2)


def test_only_lines_with_an_answer_are_finished(tmp_path: Path) -> None:
    """Whatever else stands in an output file is taken out of it."""
    output = tmp_path / "out.jsonl"
    output.write_text(
        '{"row": 0, "answer": "a"}\n{"row": 1, "error": {}}\nnonsense\n[1]\n{"row": "x", "answer": "b"}\n'
    )
    assert keep_finished(output) == {0}
    assert output.read_text() == '{"row": 0, "answer": "a"}\n'
    assert keep_finished(tmp_path / "none.jsonl") == set()


def test_the_command(tmp_path: Path) -> None:
    """penstock run: what was done is said, and a failed row is an exit code of 1."""
    config = tmp_path / "penstock.yaml"
    config.write_text(CONFIG)
    rows, output = write(tmp_path, "ab", {"messages": []}), tmp_path / "out.jsonl"
    arguments = ["run", "spelling", "-i", str(rows), "-o", str(output), "--config", str(config)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "2 rows run, 1 of them failed, 0 were done before" in result.output
    assert read(output)[0] == "AB"
    again = CliRunner().invoke(app, arguments)
    assert "1 rows run, 1 of them failed, 1 were done before" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nope", "-i", "x", "-o", "y"], "there is no graph 'nope'; there are: up, spelling"),
        (["run", "spelling", "-i", "/no/such/rows", "-o", "y"], "No such file"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], message: str) -> None:
    """One sentence, and exit code 2."""
    config = tmp_path / "penstock.yaml"
    config.write_text(CONFIG)
    result = CliRunner().invoke(app, [*arguments, "--config", str(config)])
    assert (result.exit_code, message in result.output) == (2, True)
