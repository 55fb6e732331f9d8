"""The page on V2: the model that it trains is served by the settings that it shows, and its clients get its answers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import load
from tests.serving import serving

PAGE = (Path(__file__).parent.parent.parent / "docs" / "gateway" / "v2.md").read_text(encoding="utf-8")


def block(language: str, part: str) -> str:
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if part in text]
    return str(found)


async def test_the_model_of_the_page_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, served, and asked with curl and with tritonclient, as the page says."""
    (tmp_path / "my_models.py").write_text(block("python", "class Iris"))
    (tmp_path / "penstock.yaml").write_text(block("yaml", "# penstock.yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "my_models.py"], check=True, timeout=50)
    settings = load(tmp_path / "penstock.yaml")
    async with serving(
        **settings.model_dump(include={"models", "graphs"}, by_alias=True, exclude_unset=True)
    ) as gateway:
        address = gateway.address.removeprefix("http://")
        client = block("py", "tritonclient").replace("127.0.0.1:8080", address)
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", client], check=True, timeout=50)
        _, command, promised = block("console", "models/iris/infer").splitlines()
        command = command.removeprefix("$ ").replace("127.0.0.1:8080", address)
        run = await asyncio.to_thread(subprocess.run, command, shell=True, check=True, capture_output=True, text=True)
    assert run.stdout.partition('"timestamp"')[0] == promised.partition('"timestamp"')[0]


def test_the_model_of_the_page_takes_fifteen_lines() -> None:
    """As few as the settings file promises, without what trains it."""
    served = block("python", "class Iris").partition("if __name__")[0]
    assert len([line for line in served.splitlines() if line.strip()]) <= 15
