"""Engines to test with: the shipped one, and one whose weights are noise."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from llm.embedded import FOLDER, CallArguments, CallStart, Engine, Generation, GenerationOptions, TextPiece
from llm.embedded.network import Network
from llm.embedded.tokenizer import Tokenizer
from llm.embedded.weights import Config


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The shipped model."""
    return Engine.load(FOLDER)


@pytest.fixture(scope="session")
def noise() -> Engine:
    """A model of random weights with the shipped tokenizer: what a constraint must hold all alone."""
    tokenizer = Tokenizer.load(FOLDER / "tokenizer.json")
    config = Config(tokenizer.size, 32, 2, 2, 64, 512, 1e-6, 10_000.0)
    return Engine("noise", Network(config, random_tensors(config)), tokenizer, "0" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped folder, free to be damaged."""
    return Path(shutil.copytree(FOLDER, tmp_path / "model"))


def random_tensors(config: Config) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    random = np.random.default_rng(0)
    width, hidden = config.width, config.hidden
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens": (config.vocabulary, width), "norm": (width,)}
    for index in range(config.layers):
        layer = f"layers.{index}"
        shapes |= {f"{layer}.self_attn.{name}_proj": (width, width) for name in "qkvo"}
        shapes |= {f"{layer}.mlp.{name}_proj": (hidden, width) for name in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj": (width, hidden)}
        shapes |= {f"{layer}.{name}_layernorm": (width,) for name in ("input", "post_attention")}
    return {f"model.{name}.weight": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def text(generation: Generation) -> str:
    """The text of an answer."""
    return "".join(piece.text for piece in generation if isinstance(piece, TextPiece))


def calls(generation: Generation) -> list[tuple[str, str]]:
    """The calls of an answer: names and arguments as JSON text."""
    made: list[tuple[str, str]] = []
    for piece in generation:
        if isinstance(piece, CallStart):
            assert piece.index == len(made)
            made.append((piece.name, ""))
        elif isinstance(piece, CallArguments):
            name, arguments = made[piece.index]
            made[piece.index] = (name, arguments + piece.text)
    return made


def options(**changes: object) -> GenerationOptions:
    return GenerationOptions(**changes)  # type: ignore[arg-type]


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "date": {"type": "string"}},
            "required": ["location", "date"],
            "additionalProperties": False,
        },
    },
}
ATTRACTIONS = {
    "type": "function",
    "function": {
        "name": "search_attractions",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "weather": {"type": "string"}},
            "required": ["location", "weather"],
            "additionalProperties": False,
        },
    },
}
