"""Code of one's own that cannot be used: the operator reads of it, and nothing of ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.catalog.own_code import told
from gateway.cli.main import app

HEAD = "graphs: []\n"
GRAPH = "graphs:\n  - name: g\n    build: {}:build\n"
MODEL = HEAD + "models:\n  - name: m\n    class: {}:Mine\n"
TOOLS = HEAD + "tools:\n  - {{name: t, kind: python, functions: ['{}:look']}}\n"


def check(folder: Path, settings: str, module: str) -> str:
    """What ``penstock check`` says of settings that name a module of this text; they are refused, in one line."""
    sys.modules.pop("mine_of_test", None)
    (folder / "mine_of_test.py").write_text(module)
    path = folder / "penstock.yaml"
    path.write_text(settings.format("mine_of_test"))
    result = CliRunner().invoke(app, ["check", str(path)])
    assert (result.exit_code, result.exception.__class__, result.output.count("\n")) == (2, SystemExit, 1)
    return result.output.removeprefix("penstock: ").replace(str(folder), "").rstrip()


@pytest.mark.parametrize(
    ("settings", "module", "says"),
    [
        (
            GRAPH,
            "def build():\n    return nope\n",
            "/penstock.yaml:3: graphs.0.build: graph 'g': NameError: name 'nope' is not defined "
            "(/mine_of_test.py:2, in build)",
        ),
        (GRAPH, "\n1 / 0\n", "graph 'g': ZeroDivisionError: division by zero (/mine_of_test.py:2)"),
        (GRAPH, "def build(:\n", "graph 'g': SyntaxError: invalid syntax (/mine_of_test.py:1)"),
        (GRAPH, "import no_such_library\n", "No module named 'no_such_library' (/mine_of_test.py:1)"),
        (
            GRAPH,
            "import json\ndef build():\n    return json.loads('')\n",
            "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (/mine_of_test.py:3, in build)",
        ),
        (
            GRAPH,
            "from graph import Flow\ndef build():\n    flow = Flow('f')\n    flow.add_step('no.such:Thing')\n",
            ", in build)",
        ),
        (
            GRAPH,
            "def biuld(): ...\n",
            "the module mine_of_test (/mine_of_test.py) has no 'build'; did you mean 'biuld'?",
        ),
        (GRAPH, "def build(): ...\n", "graph 'g': mine_of_test:build returned a NoneType, not a Flow"),
        (MODEL, "boom\n", "/penstock.yaml:4: models.0.class: model 'm' (mine_of_test:Mine): NameError: name 'boom'"),
        (TOOLS, "boom\n", "/penstock.yaml:3: tools.0: tools 't': NameError: name 'boom' is not defined (/mine_of_test"),
        (
            TOOLS,
            "import no_such_library\n",
            "tools 't': ModuleNotFoundError: No module named 'no_such_library' (/mine_of_test",
        ),
        (
            TOOLS,
            "def loook(): ...\n",
            "tools 't': the module mine_of_test (/mine_of_test.py) has no 'look'; did you mean 'loook'?",
        ),
    ],
)
def test_what_is_wrong_is_told_with_both_lines(
    settings: str, module: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the settings and that of one's own file, in one sentence and without a traceback."""
    monkeypatch.syspath_prepend(tmp_path)
    said = check(tmp_path, settings, module)
    assert says in said
    assert "gateway/" not in said


@pytest.mark.parametrize("settings", [GRAPH, MODEL, TOOLS])
def test_a_module_that_python_does_not_find_is_told_with_where_it_is(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in the folder where the command was called, which is not on Python's path by itself."""
    monkeypatch.chdir(tmp_path)
    said = check(tmp_path, settings, "")
    assert "No module named 'mine_of_test'; it is in , where Python does not look: start with PYTHONPATH=" in said


def test_a_module_that_is_nowhere_is_told_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every folder that Python looks into, and how another one is added."""
    monkeypatch.syspath_prepend(tmp_path / "looked-into")
    said = check(tmp_path, GRAPH.replace("{}", "no_such_module_at_all"), "")
    assert "No module named 'no_such_module_at_all'; modules are looked for in /looked-into, " in said
    assert said.endswith("start with PYTHONPATH=FOLDER, in which 'no_such_module_at_all' is")


def test_a_fault_of_ours_is_not_told_as_one_of_the_settings() -> None:
    """No line of one's own is in it, and it is none of the errors by which we refuse: its traceback is what we need."""
    assert told(ZeroDivisionError("x")) is None
    assert told(ValueError("it will not do")) == "it will not do"
