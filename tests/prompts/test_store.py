"""The prompts in force: files with versions and labels, and what happens when they change."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from graph.parts import Parts
from llm import Model
from llm.testing import ScriptedProvider
from prompts import InvalidPrompt, LLMPromptArtifact, PromptStore, UnknownPrompt
from prompts.files import load


def write(folder: Path, file: str, content: str = "hi", head: str = "") -> Path:
    path = folder / file
    path.write_text(f"{head}\n[[prompt_template]]\nrole = 'user'\ncontent = '{content}'\n")
    return path


def content(store: PromptStore, reference: str) -> Any:
    return store[reference].prompt_template[0]["content"]


def test_versions_and_labels(tmp_path: Path) -> None:
    """A bare name is the version labelled production, or where none is, the highest."""
    write(tmp_path, "a.toml", "1", "labels = ['old']")
    write(tmp_path, "a@v2.toml", "2", "labels = ['production', 'eu']")
    write(tmp_path, "a@v10.toml", "10")
    write(tmp_path, "b@v2.toml", "b2")
    write(tmp_path, "b@v1.toml", "b1")
    store = PromptStore(tmp_path)
    references = ("a", "a@production", "a@eu", "a@old", "a@v1", "a@v10", "a@latest", "b", "b@v1")
    assert [content(store, reference) for reference in references] == ["2", "2", "2", "1", "1", "10", "10", "b2", "b1"]
    assert store["a"].reference == "a@v2"
    for reference, message in (
        ("a@v3", "prompt 'a' has no 'v3'; it has: v10, v2, production, eu, v1, old, latest"),
        ("a@producton", "did you mean 'production'"),
        ("ruter", "did you mean 'router'"),
    ):
        with pytest.raises(UnknownPrompt, match=message):
            store[reference]


def test_prompts_of_python_stand_between_the_library_and_the_folder(tmp_path: Path) -> None:
    """All versions of a name come from one place, so a library's higher version takes nothing over."""
    write(tmp_path, "mine.toml", "of the folder")
    made = [
        LLMPromptArtifact(name, [{"role": "user", "content": "of Python"}], version=9) for name in ("mine", "router")
    ]
    store = PromptStore(tmp_path, artifacts=made)
    assert (content(store, "mine"), content(store, "router")) == ("of the folder", "of Python")
    assert [origin.source for origin in store.prompts.prompts["router"]] == ["Python"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.toml": "", "b.toml": "name = 'a'"}, r"b\.toml: prompt 'a' has 'v1' in .*a\.toml already"),
        ({"a.toml": "labels = ['x']", "a@v2.toml": "labels = ['x']"}, "has 'x' in .* already; give each .* label once"),
        ({"a@v2.toml": "version = 3"}, r"a@v2\.toml:1: the file's name says that version is 2, and 'version' is 3"),
        ({"a.toml": "x = 1", "b.toml": "y = 1"}, r"a\.toml:1: unknown key 'x'.*\n.*b\.toml:1: unknown key 'y'"),
        ({"a.toml": "verson = 1"}, r"a\.toml:1: unknown key 'verson'; .*did you mean 'version'"),
    ],
)
def test_sets_that_contradict_themselves_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    """Every faulty file has its line in the error."""
    for name, head in files.items():
        write(tmp_path, name, head=head)
    with pytest.raises(InvalidPrompt, match=message):
        PromptStore(tmp_path)


YAML = """\
description: Asks for a capital
labels: [production]
prompt_template:
  - role: system
    content: 'Reply as JSON, such as {"capital": "Rome"}.'
  - role: user
    content: |
      The capital of {country}?
prompt_legend:
  country: {field: place}
"""


def test_yaml_says_the_same(tmp_path: Path) -> None:
    """The keys are those of TOML."""
    (tmp_path / "capital@v3.yaml").write_text(YAML)
    prompt = PromptStore(tmp_path)["capital@production"]
    assert (prompt.version, prompt.description) == (3, "Asks for a capital")
    assert prompt.render({"place": "Italy"}) == [
        {"role": "system", "content": 'Reply as JSON, such as {"capital": "Rome"}.'},
        {"role": "user", "content": "The capital of Italy?\n"},
    ]


TOML = '''\
description = "of many lines"

# the first message
[[prompt_template]]
role = "system"
content = """
one
two"""

[[prompt_template]]
role = "user"
content = "x"
'''


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("p.toml", TOML.replace("two", "{{ two"), 6),
        ("p.toml", TOML.replace('"user"', '"usr"'), 11),
        ("p.toml", TOML.replace('role = "user"\n', ""), 10),
        ("p.toml", TOML + "[prompt_legend.z]\ndescription = 'y'\n", 13),
        ("p.toml", TOML + "[invocation_config]\nn = 1\ntemprature = 1\n", 15),
        ("p.toml", TOML + "[invocation_config]\nn = 2020-01-01\n", 14),
        ("p.yaml", YAML.replace("{country}", "{{ country"), 7),
        ("p.yaml", YAML.replace("role: user", "role: usr"), 6),
        ("p.yaml", YAML.replace("field:", "fields:"), 10),
        ("p.yaml", YAML + "labels: []\n", 11),
        ("p.yaml", YAML + "version: [\n", 12),
        ("p.yaml", YAML + "version: yes\n", 11),
        ("p.yaml", "- a\n", 1),
        ("p.yaml", "", 1),
        ("p.yaml", YAML + "? [a]\n: 1\n", 11),
        ("p.yaml", YAML + "1: 2\n", 11),
        ("p.yaml", "prompt_template: &a [*a]\n", 1),
        ("p.yaml", YAML.replace("|\n      The capital of {country}?", "{country}"), 7),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, file: str, text: str, line: int) -> None:
    """Also where the reader of the format does not tell lines; of a text of several lines it is the first."""
    path = tmp_path / file
    path.write_text(text)
    with pytest.raises(InvalidPrompt) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")


def test_a_changed_file_is_in_force_when_it_is_next_asked_for(tmp_path: Path) -> None:
    """A new version, a moved label, a file that is gone; without a change nothing is read."""
    told: list[InvalidPrompt | None] = []
    path = write(tmp_path, "a.toml", "old")
    store = PromptStore(tmp_path, look_seconds=0, report=told.append)
    live = store.live("a")
    first = live.current
    assert live.current is first
    write(tmp_path, "a.toml", "newer")
    assert content(store, "a") == "newer"
    write(tmp_path, "a@v2.toml", "second")
    assert live.current.prompt_template[0]["content"] == "second"
    path.unlink()
    assert store.refresh() is True
    assert [origin.artifact.version for origin in store.prompts.prompts["a"]] == [2]
    assert store.refresh() is False
    assert told == [None, None, None]


def test_within_its_interval_the_store_does_not_look(tmp_path: Path) -> None:
    """Asking costs a look at the clock; whoever cannot wait refreshes."""
    write(tmp_path, "a.toml", "old")
    store = PromptStore(tmp_path, look_seconds=3600)
    write(tmp_path, "a.toml", "newer")
    assert content(store, "a") == "old"
    assert store.refresh()
    assert content(store, "a") == "newer"


def test_the_last_good_set_stays_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of it, and the log says once why; once it is mended, the new set is in force."""
    write(tmp_path, "a.toml", "old a")
    write(tmp_path, "b.toml", "old b")
    store = PromptStore(tmp_path, look_seconds=0)
    write(tmp_path, "a.toml", "{{ newer a")
    write(tmp_path, "b.toml", "newer b")
    assert [content(store, name) for name in ("a", "b", "a")] == ["old a", "old b", "old a"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "those before stay in force" in record.getMessage()
    assert f"{tmp_path / 'a.toml'}:4: prompt 'a', message 0" in record.getMessage()
    write(tmp_path, "a.toml", "mended a")
    assert [content(store, name) for name in ("a", "b")] == ["mended a", "newer b"]


def test_a_filter_that_is_mistyped_comes_never_into_force(tmp_path: Path) -> None:
    """Minijinja would find it in the first request."""
    told: list[InvalidPrompt | None] = []
    write(tmp_path, "a.toml", "{{ x|upper }}")
    store = PromptStore(tmp_path, look_seconds=0, report=told.append)
    path = write(tmp_path, "a.toml", "{{ x|uper }}")
    assert store["a"].render({"x": "x"})[0]["content"] == "X"
    assert [str(fault) for fault in told] == [
        f"{path}:4: prompt 'a', message 0: minijinja has no filter 'uper'; mend its name, or leave it out"
    ]


def test_a_prompt_in_use_is_neither_taken_away_nor_made_unfillable(tmp_path: Path) -> None:
    """What is proved when a graph is built holds for versions that come later."""
    told: list[InvalidPrompt | None] = []
    write(tmp_path, "router.toml", "one of {{ labels }}")
    write(tmp_path, "a.toml", "mine")
    store = PromptStore(tmp_path, look_seconds=0, report=told.append)
    model = Parts(Model("m", ScriptedProvider.of(), "m"), prompts=store).llm("router").filled_by("labels")
    store.live("a")
    write(tmp_path, "router.toml", "one of {{ lables }}")
    assert model.request(body={"labels": "x"}).messages[0]["content"] == "one of x"
    write(tmp_path, "router.toml", "choose of {{ labels }}")
    (tmp_path / "a.toml").unlink()
    assert model.request(body={"labels": "x"}).messages[0]["content"] == "one of x"
    write(tmp_path, "a.toml", "mine")
    assert model.request(body={"labels": "x"}).messages[0]["content"] == "choose of x"
    faults = [str(fault) for fault in told if fault is not None]
    assert "prompt 'router' needs 'lables'; here labels can be used; did you mean 'labels'?" in faults[0]
    assert "there is no prompt 'a'" in faults[1]


def test_a_copy_in_another_process_goes_on(tmp_path: Path) -> None:
    """It has what is in force, even while the folder is faulty, and sees later changes itself."""
    write(tmp_path, "a.toml", "old")
    live = PromptStore(tmp_path, look_seconds=0).live("a")
    write(tmp_path, "a.toml", "{{ broken")
    copy = pickle.loads(pickle.dumps(live))
    assert copy.current.prompt_template[0]["content"] == "old"
    write(tmp_path, "a.toml", "mended")
    assert copy.current.prompt_template[0]["content"] == "mended"
