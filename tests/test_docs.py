"""Every example of the documentation runs, and ends with something that it claims."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from llm.providers.presets import presets

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(language: str) -> list[Any]:
    """The blocks of a language, page by page."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(
            re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1
        )
    ]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_settings_are_accepted_as_they_stand(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each YAML block is settings, once the keys that it takes from the environment are there."""
    for name in [*re.findall(r"oc\.env:(\w+)", block), *(preset.key for preset in presets().values())]:
        monkeypatch.setenv(name or "NONE_NEEDED", f"sk-of-nobody-as-long-as-a-secret-is-{name}")
    path = tmp_path / "penstock.yaml"
    path.write_text(block + ("" if "graphs:" in block else "\ngraphs: []\n"))
    load(path)


@pytest.mark.parametrize("block", blocks("python"))
def test_an_example_runs_as_it_stands(block: str, tmp_path: Path) -> None:
    """Each block is a program of its own, with an assert in it."""
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(block)))
    script = tmp_path / "example.py"
    script.write_text(block)
    subprocess.run([sys.executable, "-W", "error", script], cwd=tmp_path, check=True, timeout=50)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """What a page points to inside the project is there."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_is_listed() -> None:
    """The first page of the documentation leads to all others."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.name != "README.md":
            assert str(page.relative_to(ROOT / "docs")) in index
