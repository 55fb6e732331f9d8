"""``penstock prompts``, as its user sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

CONFIG = """\
providers: [{name: far, kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: sk-never-shown}]
models: [{name: up, provider: far}]
"""
PROMPT = """\
[[prompt_template]]
role = "user"
content = '''
The capital of {{ country }}?
Be brief.'''
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "capital.toml").write_text("labels = ['production']\n" + PROMPT)
    (folder / "capital@v2.toml").write_text(PROMPT.replace("brief", "polite") + "[invocation_config]\nseed = 1\n")
    path = tmp_path / "penstock.yaml"
    path.write_text(f"{CONFIG}prompts: {{path: '{folder}'}}\n")
    return path


def call(*arguments: str, stdin: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["prompts", *arguments], env={"COLUMNS": "300"}, input=stdin)
    return result.exit_code, result.output


def test_list_names_versions_and_sources(config: Path) -> None:
    """One row a version, the prompts that ship among them."""
    code, output = call("list", "-c", str(config))
    assert code == 0
    assert re.search(r"capital .*v2 .*country .*capital@v2\.toml", output)
    assert re.search(r"capital .*v1 .*production .*country .*capital\.toml", output)
    assert re.search(r"router .*v1 .*labels .*Names the topic.*library", output)
    rows = json.loads(call("list", "--json", "-c", str(config))[1])
    assert [row["version"] for row in rows if row["name"] == "capital"] == ["v2", "v1"]


def test_render_prints_the_messages(config: Path, tmp_path: Path) -> None:
    """Fields are given one by one, or as a body of JSON in a file or on standard input."""
    messages = [{"role": "user", "content": "The capital of Peru?\nBe brief."}]
    body = tmp_path / "body.json"
    body.write_text('{"country": "Peru"}')
    for arguments, stdin in (
        (["capital", "country=Peru"], None),
        (["capital@v1", "--body", str(body)], None),
        (["capital@production", "--body", "-"], '{"country": "Peru"}'),
    ):
        code, output = call("render", *arguments, "-c", str(config), stdin=stdin)
        assert (code, json.loads(output)) == (0, messages)


def test_render_prints_the_messages_of_each_of_a_list_of_bodies(config: Path) -> None:
    """As the artifact does; a field that is given by itself is each one's."""
    arguments = ("render", "capital", "--body", "-", "-c", str(config))
    code, output = call(*arguments, stdin='[{"country": "Peru"}, {"country": 0}]')
    assert code == 0
    said = [messages[0]["content"].partition("?")[0] for messages in json.loads(output)]
    assert said == ["The capital of Peru", "The capital of 0"]
    assert call(*arguments, stdin="[5]")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["capital"], "prompt 'capital' needs 'country'"),
        (["captal"], "there is no prompt 'captal'"),
        (["capital", "country"], "'country' is no field; write name=text"),
        (["capital", "--body", "/nope.json"], "/nope.json: "),
    ],
)
def test_what_cannot_be_rendered_is_told(config: Path, arguments: list[str], message: str) -> None:
    """On one line, with status 2."""
    code, output = call("render", *arguments, "-c", str(config))
    assert code == 2
    assert output.startswith(f"penstock: {message}")


def test_diff_shows_the_lines_that_differ(config: Path) -> None:
    """As diff does, with its status."""
    code, output = call("diff", "capital", "capital@v2", "-c", str(config))
    assert code == 1
    assert output.startswith("--- capital@v1\n+++ capital@v2\n")
    assert "-    Be brief.\n+    Be polite.\n" in output
    assert "+  seed: 1\n" in output
    assert call("diff", "capital", "capital@v1", "-c", str(config)) == (0, "")


def test_faulty_prompts_are_told_with_their_line(config: Path, tmp_path: Path) -> None:
    """Every command stops at them."""
    (tmp_path / "prompts" / "bad.toml").write_text("\nx = 1\n")
    code, output = call("list", "-c", str(config))
    assert (code, "bad.toml:2: unknown key 'x'" in output) == (2, True)
