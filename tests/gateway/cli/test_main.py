"""The command line, as its user sees it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

CONFIG = """\
server: {port: 0, drain_seconds: 2}
providers: [{name: far, kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: sk-never-shown}]
models: [{name: up, provider: far}]
graphs: [{name: spelling, build: "tests.end_to_end.own_graphs:spelling"}]
"""

JSON = "content-type: application/json"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.yaml"
    path.write_text(CONFIG)
    return path


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_graph_show_prints_mermaid_and_the_verdict(config: Path) -> None:
    """The drawing can be pasted, and the comment under it says how the answer streams."""
    code, output = call("graph", "show", "spelling", "--config", str(config))
    assert code == 0
    assert output.startswith("flowchart LR\n")
    assert "%% answer: live (spell → upper streams" in output


def test_graph_show_explains_every_path(config: Path) -> None:
    """With --explain: one line a path, and why it streams or not."""
    code, output = call("graph", "show", "spelling", "--explain", "--config", str(config))
    assert code == 0
    assert "spell → upper: the stream of 'spell' reaches the client live" in output


def test_graph_list_names_everything(config: Path) -> None:
    """Models are graphs of one step."""
    code, output = call("graph", "list", "-c", str(config))
    assert code == 0
    assert re.search(r"up .*model .*responder .*live", output)
    assert re.search(r"spelling .*graph .*spell upper .*live", output)


def test_routes_prints_the_table(config: Path) -> None:
    """As it stands: own rows and rules in it; with --json for programs."""
    rows = "api:\n  - {path: /say, graph: spelling}\n  - {path: '/admin/*', action: FORBID}\n"
    config.write_text(CONFIG + rows)
    code, output = call("routes", "--config", str(config))
    _, listed = call("routes", "--json", "--config", str(config))
    table = {(row["method"], row["path"]): row for row in json.loads(listed)}
    assert code == 0
    assert re.search(r"POST .*/say .*user .*ALLOW .*graph spelling", output)
    assert table["POST", "/say"]["answers"] == "graph spelling"
    assert (table["GET", "/admin/runs"]["action"], table["GET", "/admin/runs"]["role"]) == ("FORBID", "admin")
    assert table["POST", "/v1/chat/completions"]["answers"] == "the gateway"


def test_routes_tears_no_path_in_a_narrow_terminal(config: Path) -> None:
    """A path that is cut off cannot be called: it is folded instead."""
    narrow = CliRunner().invoke(app, ["routes", "--config", str(config)], env={"COLUMNS": "80"})
    cells = [line.split("│")[2].strip() for line in narrow.output.splitlines() if line.count("│") == 6]
    assert "…" not in narrow.output
    assert "/v2/models/{model}/versions/{version}/infer" in "".join(cells)


def test_routes_names_a_row_that_cannot_be(config: Path) -> None:
    """Status 2, with the line."""
    config.write_text(CONFIG + "api:\n  - {path: /v1/models, method: GET, graph: spelling}\n")
    code, output = call("routes", "--config", str(config))
    assert code == 2
    assert f"{config}:6: api.0: GET /v1/models is answered already" in output


MARKUP = "[/nope][bold]x[/bold]"


def test_markup_in_a_name_is_printed_as_it_is(config: Path, tmp_path: Path) -> None:
    """A name is text for the terminal, in tables, in errors and beside progress bars."""
    config.write_text(CONFIG.replace("name: spelling", f'name: "{MARKUP}"'))
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text('"ab"\n')
    _, listed = call("graph", "list", "-c", str(config))
    shown, drawn = call("graph", "show", MARKUP, "-c", str(config))
    code, ran = call("run", MARKUP, "-i", str(rows), "-o", str(output), "-c", str(config))
    _, refused = call("graph", "show", "[/other]", "-c", str(config))
    assert MARKUP in listed
    assert (shown, drawn.startswith("flowchart LR\n")) == (0, True)
    assert (code, MARKUP in ran) == (0, True)
    assert f"there is no graph '[/other]'; there are: up, {MARKUP}" in refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("graph", "show", "nope"), "there is no graph 'nope'; there are: up, spelling"),
        (("graph", "show", "nope", "--config", "/no/such/file.yaml"), "/no/such/file.yaml: No such file or directory"),
        (("serve", "--host", "0.0.0.0"), "auth.keys is empty"),
    ],
)
def test_faults_are_one_sentence_and_exit_code_2(config: Path, arguments: tuple[str, ...], message: str) -> None:
    """No traceback: what is wrong, and what to do."""
    given = arguments if "--config" in arguments else (*arguments, "--config", str(config))
    code, output = call(*given)
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_the_version() -> None:
    """The version of the distribution."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", call("version")[1])


@contextmanager
def serve(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway in a process of its own, and its banner."""
    command = [sys.executable, "-m", "gateway", "serve", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while "curl -N" not in "".join(lines) and (line := process.stdout.readline()):
            lines.append(line)
        yield process, "".join(lines)
    finally:
        process.kill()
        process.communicate()


def test_serve_says_where_it_listens_answers_and_stops(config: Path) -> None:
    """The banner names the address; curl gets an answer on the wire; SIGTERM ends it with exit code 0."""
    with serve("--config", str(config)) as (process, banner):
        address = re.search(r"http://127\.0\.0\.1:\d+", banner)
        assert address is not None
        body = {"model": "spelling", "stream": True, "messages": [{"role": "user", "content": "ab"}]}
        curl = subprocess.run(
            ["curl", "-sN", f"{address[0]}/v1/chat/completions", "-H", JSON, "-d", json.dumps(body)],
            capture_output=True,
            text=True,
            check=True,
        )
        events = curl.stdout.split("\n\n")
        failed = subprocess.run(
            ["curl", "-si", f"{address[0]}/v1/nope"], capture_output=True, text=True, check=True
        ).stdout
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    deltas = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events[:-2]]
    assert [delta.get("content") for delta in deltas] == ["", "A", "B", None]
    assert events[-2:] == ["data: [DONE]", ""]
    assert failed.startswith("HTTP/1.1 404 Not Found\n")
    assert "x-request-id: req_" in failed
    assert process.returncode == 0
    assert "sk-never-shown" not in banner + errors


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-program"], "No such file or directory; "),
        ([sys.executable, "-c", "print('hello')"], "Connection closed"),
    ],
)
def test_tools_that_are_not_there_are_said_in_one_sentence(config: Path, command: list[str], said: str) -> None:
    """The error names the row and where to look; no traceback, and the status of a wrong setting."""
    row = {"name": "shop", "kind": "mcp", "command": command}
    config.write_text(f"{CONFIG}tools: {json.dumps([row])}\n")
    with serve("--config", str(config)) as (process, banner):
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, banner) == (2, "")
    assert errors.splitlines()[-1].startswith("penstock: tools 'shop': ")
    assert said in errors.splitlines()[-1]
    assert f"run its command by hand ({command[0]} …)" in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_said_in_one_sentence(config: Path) -> None:
    """The error names the port and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serve("--config", str(config), "--port", port) as (process, _):
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.strip() == f"penstock: port {port} is taken; choose another one with --port"


@pytest.mark.parametrize("option", [[], ["--config"]])
def test_check_says_what_would_be_served(config: Path, option: list[str]) -> None:
    """Nothing is started, and no key is printed."""
    code, output = call("check", *option, str(config))
    assert code == 0
    assert output.startswith(f"{config} can be used: ")
    assert "served are up, spelling\n" in output
    assert "sk-never-shown" not in output


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("modles: []\n", "modles"), ("graphs: [{name: x, build: 'no.such:module'}]\n", "No module named 'no'")],
)
def test_check_says_what_is_wrong(wrong: str, told: str, tmp_path: Path) -> None:
    """Also of what only building it shows; the status is 2."""
    path = tmp_path / "penstock.yaml"
    path.write_text(wrong)
    code, output = call("check", str(path))
    assert (code, told in output) == (2, True)
