"""Prompt artifacts: values go in as text, and what is wrong is found when a prompt is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import llm
from graph import LLModel
from llm.testing import ScriptedProvider
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


def test_templates_cannot_reach_what_objects_and_lists_have_beside_their_fields() -> None:
    """A field that is not there is an error, also where Python's dict and list have a method of its name."""
    body = {"a": {"x": 1, "count": 2}, "b": [1]}
    for content in ("{{ a.items }}", "{{ a.copy }}", "{{ a.clear() }}", "{{ b.count }}", "{{ b.append(2) }}"):
        with pytest.raises(RenderingFailed, match=r"undefined|is a function, and no value|AttributeError"):
            text(content, body)
    pairs = "{% for k, v in a|items %}{{ k }}={{ v }} {% endfor %}"
    shown = text(f"{{{{ a.count }}}} {pairs}{{{{ a.items()|length }}}} {{{{ a|tojson }}}} {{{{ b }}}}", body)
    assert shown == '2 x=1 count=2 2 {"x": 1, "count": 2} [1]'


def test_names_in_strings_and_raw_text_are_not_looked_at() -> None:
    """Only what minijinja reads can be mistyped."""
    content = (
        "{{ 'a|uper is od }}' }}{% raw %}{{ x|uper }}{% endraw %}{# x|uper #} a|uper {{ x|upper }}{{ range(2)|list }}"
    )
    assert text(content, {"x": "x"}) == "a|uper is od }}{{ x|uper }} a|uper X[0, 1]"
    assert text("{% for range in x %}{{ range }}{% endfor %}", {"x": "ab"}) == "ab"


@pytest.mark.parametrize("body", ["x", 5, [5]])
def test_a_body_without_fields_cannot_fill_a_prompt(body: Any) -> None:
    """The error says what it is."""
    with pytest.raises(RenderingFailed, match=r"is filled from the fields of a body, which is a (str|int)"):
        artifact("{x}").render(body)


def test_a_name_that_is_no_text_is_refused() -> None:
    """As one with a space is."""
    for name in (5, None, "a b"):
        with pytest.raises(InvalidPrompt, match="write a name without '@' and spaces"):
            LLMPromptArtifact(name)  # type: ignore[arg-type]


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
        ("a = = 1", r"bad\.toml:1: .*line 1"),
        ("nope = 1", r"bad\.toml:1: unknown key 'nope'; known are description"),
        ('name = "x"', r"bad\.toml:1: prompt_template: this is missing; write it"),
        ("prompt_template = [{role = 'user', content = '{% if %}'}]", r"bad\.toml:1: prompt 'bad', message 0"),
        ("prompt_template = 'x'", r"bad\.toml:1: prompt_template: Input should be a valid list"),
        ("prompt_template = ['x']", r"bad\.toml:1: prompt_template\.0: Input should be a valid dictionary"),
        ("prompt_template = [{role = 'user', content = 5}]", r"bad\.toml:1: .*content is missing, write a string"),
        ("prompt_template = [{content = 'x'}]", r"bad\.toml:1: prompt 'bad', message 0: role is None, write one of"),
        ("version = '2'\nprompt_template = []", r"bad\.toml:1: version: Input should be a valid integer"),
        ("version = true\nprompt_template = []", r"bad\.toml:1: version: Input should be a valid integer"),
        ("name = 5\nprompt_template = []", r"bad\.toml:1: name: Input should be a valid string"),
        ("description = ['x']\nprompt_template = []", r"bad\.toml:1: description: Input should be a valid string"),
        ("prompt_legend = {a = 'x'}\nprompt_template = []", r"bad\.toml:1: prompt_legend\.a: .*dictionary"),
        ("prompt_legend = {a = {field = 1}}\nprompt_template = []", r"bad\.toml:1: prompt_legend\.a\.field: .*string"),
        ("invocation_config = 'x'\nprompt_template = []", r"bad\.toml:1: invocation_config: .*dictionary"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, message: str) -> None:
    """The error names the file, and the line."""
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(InvalidPrompt, match=message):
        PromptStore(tmp_path)


def test_unknown_prompts_and_folders(tmp_path: Path) -> None:
    """The errors say what there is."""
    with pytest.raises(UnknownPrompt, match="there is no prompt 'nope'; there are: judge"):
        PromptStore()["nope"]
    for folder in (tmp_path / "nope", Path("nowhere")):
        with pytest.raises(InvalidPrompt, match=rf"^{Path.cwd() / folder}: there is no such folder of prompts"):
            PromptStore(folder)


def test_case_37_placeholders_in_single_braces() -> None:
    """Case 37: a missing one stays, falsy values are filled in, braces of JSON are text, attributes out of reach."""
    legend = {"x": {"field": "place", "description": "where"}, "n": {"description": "how many"}}
    prompt = artifact('{"q": "{x}", "n": {n}, "in": {"k": {}}} {other} {x.y} {{ x }}', prompt_legend=legend)
    assert prompt.render({"place": "", "n": 0})[0]["content"] == '{"q": "", "n": 0, "in": {"k": {}}} {other} {x.y} '
    assert text("{x} {y}", {"y": False}) == "{x} False"
    assert text("{x}", {"x": "{y} {{ y }}", "y": 1}) == "{y} {{ y }}"
    assert artifact("{x} {{ y }} {y} {range} {true}").optional == {"x"}


def test_case_37_a_list_of_bodies_is_a_list_of_message_lists() -> None:
    """Case 37: in their order."""
    assert artifact("{x}").render([{"x": 1}, {}]) == [
        [{"role": "user", "content": "1"}],
        [{"role": "user", "content": "{x}"}],
    ]


def test_case_37_without_a_template_the_messages_of_the_body_are_used() -> None:
    """Case 37: an artifact without a template brings just its parameters."""
    bare = LLMPromptArtifact("bare", invocation_config={"temperature": 0.5})
    model = LLModel("m", bare, model=llm.Model("m", ScriptedProvider.of(), "m"))
    messages = [{"role": "user", "content": "{x}"}]
    assert model.enrich_prompt({"messages": messages}, "m", bare) == (messages, {"temperature": 0.5})


def test_case_37_messages_may_carry_tool_calls_and_content_parts() -> None:
    """Case 37: their texts are templates, and roles, types and everything that is no text stay as they are."""
    function = {"name": "weather", "arguments": '{"city": {{ city|tojson }}, "days": [1]}'}
    prompt = LLMPromptArtifact(
        "p",
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "In {city}?"},
                    {"type": "image_url", "image_url": {"url": "{{ url }}"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c{n}", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c{n}", "content": '{"sky": "blue"}'},
        ],
    )
    asked, called, answered = prompt.render({"city": 'a "b"', "url": "https://x/y.png", "n": 1})
    assert asked["content"] == [
        {"type": "text", "text": 'In a "b"?'},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] == "c1"
    assert called["tool_calls"][0]["function"]["arguments"] == '{"city": "a \\"b\\"", "days": [1]}'
    assert answered["content"] == '{"sky": "blue"}'


def test_minijinja_goes_before_single_braces() -> None:
    """Loops, strings in expressions, raw blocks and comments are minijinja's; a name in a loop is the loop's."""
    assert text("{% for x in xs %}{x},{% endfor %}", {"xs": [1, 2]}) == "1,2,"
    assert text("{{ '{x}' }} {% raw %}{x} {{ y }}{% endraw %}{# {x} #}", {"x": 1}) == "{x} {x} {{ y }}"


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "fields", "error"),
    [
        ({"role": "usr", "content": "x"}, {}, "role is 'usr', write one of .*; did you mean 'user'"),
        ({"role": "user", "contents": "x"}, {}, "unknown key 'contents'; did you mean 'content'"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, {}, "only the assistant calls tools"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, {}, "tool call 0 is not whole, write"),
        ({"role": "assistant", "tool_calls": []}, {}, "tool_calls is no list with a call in it"),
        ({"role": "tool", "content": "x"}, {}, "tool_call_id is missing"),
        ({"role": "user", "content": []}, {}, "content is missing, write a string, or a list of content parts"),
        ({"role": "user", "content": ["x"]}, {}, "content part 0 has no type"),
        ({"role": "user", "content": [{"type": "text"}]}, {}, "content part 0: text is missing"),
        ({"role": "user", "content": "x", "cache_control": {1: 2}}, {}, "1 is no text; write keys in quotation marks"),
        ({"role": "user", "content": "{contry}"}, {"prompt_legend": {"country": {}}}, "did you mean 'contry'"),
        (
            {"role": "user", "content": "{country} {contry}"},
            {"prompt_legend": {"country": {}}},
            "uses contry, which the legend does not explain; did you mean 'country'",
        ),
        (
            {"role": "user", "content": "{x}"},
            {"prompt_legend": {"x": {"feild": "y"}}},
            "has field and description only",
        ),
        ({"role": "user", "content": "x"}, {"invocation_config": {"temprature": 0}}, "did you mean 'temperature'"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"user": {1}}}, "user is a set, which JSON has not"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"seed": "1"}}, "seed is '1'; write a whole number"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"n": True}}, "n is True; write a whole number"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"top_p": "hot"}}, "top_p is 'hot'; write a number"),
        (
            {"role": "user", "content": "x"},
            {"invocation_config": {"response_format": "json"}},
            "write an object such as",
        ),
        ({"role": "user", "content": "x"}, {"invocation_config": {"stop": 5}}, "stop is 5; write a text, or a list"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"tools": {}}}, "tools is {}; write a list"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"temperature": 3}}, "temperature is 3; write 0 to 2"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"max_tokens": 0}}, "is 0; write at least 1"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"n": 2}}, "n is 2; write 1"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"min_p": float("inf")}}, "min_p is inf, which JSON"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"messages": []}}, "write them into prompt_template"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"model": "m"}}, "which model is asked, the model"),
        ({"role": "user", "content": "x"}, {"invocation_config": {"stream": True}}, "who asks says whether"),
        ({"role": "user", "content": "x"}, {"invocation_config": None}, "invocation_config is a NoneType; write an"),
        ({"role": "user", "content": "x"}, {"description": 5}, "description is a int; write a text"),
        ({"role": "user", "content": "x"}, {"version": "2"}, "version is '2'; write a number such as 1"),
        ({"role": "user", "content": "x"}, {"labels": "production"}, "labels is 'production'; write a list of texts"),
        ({"role": "user", "content": "x"}, {"labels": [5]}, "'5' is no label"),
        ({"role": "user", "content": [{"type": "txt", "text": "x"}]}, {}, "the type 'txt'; did you mean 'text'"),
        ({"role": "user", "content": [{"type": "image_url"}]}, {}, "image_url is missing; write it"),
        ({"role": "user", "content": "{{ x|uper }}"}, {}, "minijinja has no filter 'uper'; mend its name"),
        ({"role": "user", "content": "{% filter uper %}x{% endfilter %}"}, {}, "minijinja has no filter 'uper'"),
        ({"role": "user", "content": "{% if x is not od %}x{% endif %}"}, {}, "minijinja has no test 'od'"),
        ({"role": "user", "content": "{{ range }}"}, {}, "'range' is a function of minijinja's; call it, or give"),
        ({"role": "user", "content": "x"}, {"version": 0}, "versions count from 1"),
        ({"role": "user", "content": "x"}, {"labels": ["v3"]}, "'v3' is no label"),
        ({"role": "user", "content": "x"}, {"labels": ["latest"]}, "'latest' is always the highest version's"),
    ],
)
def test_typos_and_halves_are_refused_with_the_remedy(message: Any, fields: Any, error: str) -> None:
    """The nearest name is said where there is one."""
    with pytest.raises(InvalidPrompt, match=error):
        LLMPromptArtifact("p", [message], **fields)


def test_parameters_that_nobody_knows_are_passed_on() -> None:
    """Only what looks like a known one, mistyped, is refused."""
    config = {"top_k": 5, "max_new_tokens": 9, "my_vendors_option": True}
    assert artifact("x", invocation_config=config).invocation_config == config


def test_a_mistyped_field_of_the_body_is_told() -> None:
    """The error of a missing variable names the nearest field that is there."""
    with pytest.raises(MissingVariable, match=r"needs 'country', and the body has only .*; did you mean 'contry'"):
        text("{{ country }}", {"contry": "France"})
    with pytest.raises(MissingVariable, match=r"needs 'place', .*; did you mean 'plaec'"):
        text("{{ place }}", {"plaec": "France"})


def test_of_many_fields_of_a_body_few_are_told() -> None:
    """A body can have any number, with names of any length."""
    with pytest.raises(MissingVariable) as raised:
        text("{{ country }}", {f"field{number:06}" + "x" * 300: 1 for number in range(5000)})
    assert "' and more" in str(raised.value).replace("']", "'")
    assert len(str(raised.value)) < 10_000


def test_whoever_fills_fields_is_held_to_those() -> None:
    """A placeholder in single braces counts when it is explained, or looks like a field, mistyped."""
    artifact("{{ city }} {anything}").filled_by("city")
    cases: list[tuple[str, Any]] = [("{{ town }}", {}), ("{town}", {"town": {}}), ("{citty}", {})]
    for content, legend in cases:
        with pytest.raises(InvalidPrompt, match=r"prompt 'p' needs '\w+'; here city can be used"):
            artifact(content, prompt_legend=legend).filled_by("city")
