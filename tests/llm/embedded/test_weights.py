"""The shipped files: small, intact, and damaged ones are refused with the file's name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from llm.embedded import FOLDER, Engine, ModelFolderError

MAX_BYTES = 10_000_000


def test_the_weights_are_float16_and_small() -> None:
    """At most 10 MB, every tensor in half precision."""
    data = (FOLDER / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert len(data) <= MAX_BYTES
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}


def test_the_checksums_match() -> None:
    """SHA256SUMS names every file of the folder but itself, rightly."""
    lines = (FOLDER / "SHA256SUMS").read_text("utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(sums) == {path.name for path in FOLDER.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_an_engine_says_what_it_is(engine: Engine) -> None:
    """Name, size, context and the fingerprint of the weights."""
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert engine.name == "penstock-demo"
    assert engine.fingerprint == digest[:12]
    assert 1_000_000 < engine.parameters < 5_000_000
    assert engine.context_length >= 1024


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_folder_is_refused_by_file(folder: Path, name: str) -> None:
    """A missing or broken file is named in the error."""
    (folder / name).write_bytes(b"{}")
    with pytest.raises(ModelFolderError, match=name):
        Engine.load(folder)
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=name):
        Engine.load(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    """config.json and model.safetensors must belong together."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"num_hidden_layers": 40}), "utf-8")
    with pytest.raises(ModelFolderError, match=r"config\.json"):
        Engine.load(folder)


@pytest.mark.parametrize("change", [{"model_type": "gpt2"}, {"num_key_value_heads": 1}, {"tie_word_embeddings": False}])
def test_networks_that_are_not_computed_here_are_refused(folder: Path, change: dict[str, object]) -> None:
    """Another architecture is said to be one, not computed wrongly."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ModelFolderError, match="computed here"):
        Engine.load(folder)
