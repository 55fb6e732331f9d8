"""Hints of ``penstock check``: the settings can be used, and something in them may not be what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

TRIPS = 'graphs:\n  - {name: trip-planner, build: "graph.agents.trip_planner:build"}\n'
KEY = "auth:\n  keys:\n    - {{name: a, key: long-enough, models: {}}}\n"
FORBIDDEN = 'api:\n  - {path: "/v2/*", action: FORBID}\n'
UPSTREAM = "providers:\n  - {{name: far, kind: openai, base_url: '{}'}}\nmodels:\n  - {{name: m, provider: far}}\n"


def hinted(folder: Path, settings: str) -> list[str]:
    """The hints, without the name of the file."""
    path = folder / "penstock.yaml"
    path.write_text(settings)
    result = CliRunner().invoke(app, ["check", str(path)])
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    return [line.removeprefix(f"penstock: hint: {path}:") for line in result.stderr.splitlines()]


@pytest.mark.parametrize(
    ("settings", "hints"),
    [
        ("graphs: []", []),
        ("server: {port: 0}", []),
        (TRIPS, []),
        (KEY.format("[penstock-demo, 'trip-*', '*']"), []),
        (
            KEY.format("[penstock-dmo, 'x-*']"),
            [
                "3: auth.keys.0: models: nothing is served under 'penstock-dmo'; did you mean 'penstock-demo'?",
                "3: auth.keys.0: models: nothing is served under 'x-*'",
            ],
        ),
        ("auth:\n  teams: [{name: t, models: [x]}]", ["2: auth.teams.0: models: nothing is served under 'x'"]),
        (
            FORBIDDEN,
            [
                "1: api: /v2/health/live and /v2/health/ready are forbidden too, so probes take this gateway for dead; "
                'a row {path: "/v2/health/*", role: anyone} lets them ask'
            ],
        ),
        (UPSTREAM.format("http://127.0.0.1:1/v1"), []),
        (
            UPSTREAM.format("http://127.0.0.1:1/"),
            [
                "2: providers.0.base_url: chats are asked of http://127.0.0.1:1/chat/completions; most servers have "
                "them under /v1, which belongs to the address"
            ],
        ),
        (FORBIDDEN + '  - {path: "/v2/health/*", role: anyone}', []),
    ],
)
def test_what_may_not_be_what_was_meant(settings: str, hints: list[str], tmp_path: Path) -> None:
    """It is told with its line, beside what the command prints, whose status stays 0."""
    assert hinted(tmp_path, settings) == hints


def test_a_settings_file_that_nobody_named_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies where the command was called, which says of the settings that come along that they can be used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    assert CliRunner().invoke(app, ["check"]).stderr == ""
    (tmp_path / "penstock.yaml").write_text("graphs: []")
    told = "penstock: hint: penstock.yaml lies here and was not looked at: name it, or let PENSTOCK_CONFIG name it\n"
    assert CliRunner().invoke(app, ["check"]).stderr == told
