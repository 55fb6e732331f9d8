"""Prompt artifacts: values go in as text, and what is wrong is found when a prompt is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prompts import InvalidPrompt, LLMPromptArtifact, MissingVariable, PromptStore, RenderingFailed, UnknownPrompt


def artifact(content: str, **fields: Any) -> LLMPromptArtifact:
    return LLMPromptArtifact("p", [{"role": "user", "content": content}], **fields)


def text(content: str, body: dict[str, Any] | None = None, **fields: Any) -> str:
    rendered: str = artifact(content, **fields).render(body)[0]["content"]
    return rendered


def test_placeholders_are_filled() -> None:
    """Falsy values are values; other fields of the body do not matter."""
    assert text("{{ a }} {{b}}!", {"a": 0, "b": "", "c": 1}) == "0 !"
    assert text("{{ n }} {{ f }}", {"n": None, "f": False}) == "None False"


def test_the_legend_says_which_field_fills_a_placeholder() -> None:
    """By default it is the field of the same name."""
    legend = {"city": {"field": "place", "description": "where"}}
    assert text("{{ city }}", {"place": "Oslo"}, prompt_legend=legend) == "Oslo"
    assert artifact("{{ city }}").variables == {"city"}


def test_braces_that_are_not_doubled_are_text() -> None:
    """JSON can stand in a prompt as it is."""
    assert text('{"a": {"b": 1}} {x}') == '{"a": {"b": 1}} {x}'


def test_values_are_never_templates() -> None:
    """What a caller sends is inserted as text, whatever it looks like."""
    assert text("{{ a }}", {"a": "{{ b }} {% for x in y %}"}) == "{{ b }} {% for x in y %}"
    assert text("{{ a }}", {"a": "<b>&"}) == "<b>&"


class Secretive:
    """An object with something inside."""

    inside = "secret"

    def __str__(self) -> str:
        return "outside"


@pytest.mark.parametrize(
    "content",
    ["{{ a.__class__ }}", "{{ a.inside }}", "{{ a['inside'] }}", "{{ b.c.inside }}", "{{ d[0].inside }}"],
)
def test_templates_cannot_reach_attributes(content: str) -> None:
    """What is inside objects is out of reach even for the author of a template; of them there is only the text."""
    body = {"a": Secretive(), "b": {"c": Secretive()}, "d": [Secretive()]}
    with pytest.raises(RenderingFailed, match="undefined"):
        artifact(content).render(body)
    assert text("{{ a }} {{ b.c }} {{ d[0] }}", body) == "outside outside outside"


def test_a_failed_rendering_does_not_repeat_the_values() -> None:
    """The error names prompt and line, and nothing of what was filled in."""
    with pytest.raises(RenderingFailed) as raised:
        text("{{ a.x }}", {"a": {"y": "my secret"}})
    assert "prompt 'p', line 1" in str(raised.value)
    assert "my secret" not in str(raised.value)


def test_a_template_cannot_run_for_ever() -> None:
    """Loops spend fuel, and it ends."""
    with pytest.raises(RenderingFailed, match="fuel"):
        text("{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}")


def test_a_missing_field_is_named() -> None:
    """The error says which one, and which there are."""
    with pytest.raises(MissingVariable, match=r"prompt 'p' needs 'b', and the body has only \['a'\]"):
        text("{{ a }} {{ b }}", {"a": 1})


@pytest.mark.parametrize(
    ("template", "legend", "message"),
    [
        ([{"role": "wizard", "content": "x"}], {}, "message 0: role is 'wizard'"),
        ([{"role": "user"}], {}, "message 0: content is missing"),
        ([{"role": "user", "content": 5}], {}, "message 0: content is missing, write a string"),
        ([{"role": "user", "content": "x"}, "hi"], {}, "message 1: write an object with role and content"),
        ([{"role": "user", "content": "{{ a"}], {}, "message 0: "),
        ([{"role": "user", "content": "{{ a }}"}], {"b": {}}, "the legend explains b.*it uses a"),
    ],
)
def test_what_cannot_be_used_is_refused(template: Any, legend: Any, message: str) -> None:
    """Roles, contents, syntax and legend are checked when the artifact is made."""
    with pytest.raises(InvalidPrompt, match=message):
        LLMPromptArtifact("p", template, legend)


def test_the_library_that_ships_is_whole() -> None:
    """Every prompt that the agents use is there, and says what it is for."""
    store = PromptStore()
    assert {"router", "planner", "judge", "judge-by-copying", "responder", "writer", "reviewer"} <= set(store)
    assert all(store[name].description and store[name].version >= 1 for name in store)


def test_prompts_of_ones_own_replace_those_that_ship(tmp_path: Path) -> None:
    """A file in the operator's folder goes before the one of the same name; others stay."""
    (tmp_path / "router.toml").write_text('[[prompt_template]]\nrole = "system"\ncontent = "Mine: {{ labels }}"\n')
    (tmp_path / "notes.txt").write_text("not a prompt")
    store = PromptStore(tmp_path)
    assert store["router"].render({"labels": "a"})[0]["content"] == "Mine: a"
    assert "planner" in set(store)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = = 1", r"bad\.toml: .*line 1"),
        ("nope = 1", r"bad\.toml: unknown key 'nope'; known are description"),
        ('name = "x"', r"bad\.toml: .*prompt_template"),
        ("prompt_template = [{role = 'user', content = '{% if %}'}]", r"bad\.toml: prompt 'bad', message 0"),
        ("prompt_template = 'x'", r"bad\.toml: prompt_template: Input should be a valid list"),
        ("prompt_template = ['x']", r"bad\.toml: prompt_template\.0: Input should be a valid dictionary"),
        ("prompt_template = [{role = 'user', content = 5}]", r"bad\.toml: prompt_template\.0\.content: .*string"),
        ("prompt_template = [{content = 'x'}]", r"bad\.toml: prompt 'bad', message 0: role is None, write one of"),
        ("version = '2'\nprompt_template = []", r"bad\.toml: version: Input should be a valid integer"),
        ("version = true\nprompt_template = []", r"bad\.toml: version: Input should be a valid integer"),
        ("name = 5\nprompt_template = []", r"bad\.toml: name: Input should be a valid string"),
        ("description = ['x']\nprompt_template = []", r"bad\.toml: description: Input should be a valid string"),
        ("prompt_legend = {a = 'x'}\nprompt_template = []", r"bad\.toml: prompt_legend\.a: .*dictionary"),
        ("prompt_legend = {a = {field = 1}}\nprompt_template = []", r"bad\.toml: prompt_legend\.a\.field: .*string"),
        ("invocation_config = 'x'\nprompt_template = []", r"bad\.toml: invocation_config: .*dictionary"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, message: str) -> None:
    """The error names the file, and the line where TOML itself is broken."""
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(InvalidPrompt, match=message):
        PromptStore(tmp_path)


def test_unknown_prompts_and_folders(tmp_path: Path) -> None:
    """The errors say what there is."""
    with pytest.raises(UnknownPrompt, match="there is no prompt 'nope'; there are: judge"):
        PromptStore()["nope"]
    with pytest.raises(InvalidPrompt, match="no such folder"):
        PromptStore(tmp_path / "nope")
