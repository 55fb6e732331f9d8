"""The page on clients says what works: each of its examples runs, and plans the trip that it asks for."""

from __future__ import annotations

import asyncio
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import THEIRS
from tests.clients.scripts import NODE
from tests.serving import serving

PAGE = Path(__file__).parents[2] / "docs" / "gateway" / "clients.md"
BLOCKS = re.findall(r"^## ([^\n]+)\n|```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
HERE = any(map(find_spec, THEIRS))
"""Whether this is the environment of other people's clients."""
PACKAGE = Path(__file__).parent / "node"
COMMANDS = {"py": [sys.executable, "-"], "js": [NODE, "--input-type=module", "-"], "sh": ["sh"]}


def examples() -> list[Any]:
    """Those of the clients that live in this environment, under their headings."""
    heading, found = "", []
    for title, language, block in BLOCKS:
        heading = title or heading
        theirs = any(re.search(rf"^(from|import) {package}\b", block, re.MULTILINE) for package in THEIRS)
        if block and theirs is HERE:
            found.append(pytest.param(language, block, id=f"{heading}-{language}"))
    return found


@pytest.mark.parametrize(("language", "block"), examples())
async def test_an_example(language: str, block: str, capfd: pytest.CaptureFixture[str]) -> None:
    """As it stands, but for the port; clients that are slow to load in this process, which has loaded them."""
    async with serving() as gateway:
        program = block.replace("127.0.0.1:8080", gateway.address.removeprefix("http://"))
        capfd.readouterr()
        if HERE:
            await asyncio.to_thread(exec, program, {"__name__": "__main__"})
        else:
            process = await asyncio.create_subprocess_exec(
                *COMMANDS[language], stdin=asyncio.subprocess.PIPE, cwd=PACKAGE
            )
            await process.communicate(program.encode())
            assert process.returncode == 0
        printed = capfd.readouterr().out
    said = "".join(re.findall(r'"content":"([^"]*)"', printed)) if language == "sh" else printed
    assert "Lisbon" in said
