"""Reads a model's folder: config.json and model.safetensors (https://github.com/huggingface/safetensors#format)."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.embedded.errors import ModelFolderError

Array = NDArray[np.float32]
Stored = NDArray[np.float16] | NDArray[np.float32]
_DTYPES: dict[str, type[np.float16 | np.float32]] = {"F16": np.float16, "F32": np.float32}


@dataclass(frozen=True)
class Config:
    """The shape of a Llama; lengths in numbers of elements, `context_length` in tokens."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    context_length: int
    epsilon: float
    theta: float

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Read a config.json of `LlamaForCausalLM`. Raises ModelFolderError for shapes that we do not compute."""
        try:
            data = json.loads(path.read_text("utf-8"))
            _check(data)
            return cls(
                vocabulary=data["vocab_size"],
                width=data["hidden_size"],
                layers=data["num_hidden_layers"],
                heads=data["num_attention_heads"],
                hidden=data["intermediate_size"],
                context_length=data["max_position_embeddings"],
                epsilon=data["rms_norm_eps"],
                theta=data.get("rope_theta") or data["rope_parameters"]["rope_theta"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFolderError(f"{path}: {error}") from error


def _check(data: dict[str, Any]) -> None:
    if data["model_type"] != "llama" or not data["tie_word_embeddings"]:
        raise ValueError("only Llama models with tied word embeddings are computed here")
    if data.get("num_key_value_heads", data["num_attention_heads"]) != data["num_attention_heads"]:
        raise ValueError("grouped key-value heads are not computed here")


def load_tensors(path: Path) -> tuple[dict[str, Stored], str]:
    """The tensors of a safetensors file as they are stored, and the SHA-256 of the file. Raises ModelFolderError."""
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        tensors = {name: _tensor(entry, body) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{path}: not readable as safetensors: {error}") from error
    return tensors, hashlib.sha256(data).hexdigest()


def _tensor(entry: dict[str, Any], body: memoryview) -> Stored:
    start, end = entry["data_offsets"]
    tensor: Stored = np.frombuffer(body[start:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensor
