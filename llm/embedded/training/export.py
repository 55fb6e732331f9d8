"""A checkpoint to the Hugging Face folder that is shipped: float16 weights, configuration, tokenizer, template."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from llm.embedded.template import CHAT_TEMPLATE, Special
from llm.embedded.tokenizer import Tokenizer
from llm.embedded.training.network import SHAPES, config
from llm.embedded.weights import Config

_PAD, _END = list(Special).index(Special.PAD), list(Special).index(Special.END)


def export(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Write the model's files, tokenizer and template included, and the log of the training beside the checkpoint."""
    saved = torch.load(checkpoint, map_location="cpu")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": weight.half().contiguous() for name, weight in saved["weights"].items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    shape = config(SHAPES[saved["recipe"]["shape"]], Tokenizer.load(tokenizer).size)
    _write(folder / "config.json", _config(shape))
    _write(folder / "generation_config.json", {"eos_token_id": _END, "pad_token_id": _PAD, "do_sample": False})
    _write(folder / "tokenizer.json", _with_visible_calls(json.loads(tokenizer.read_text("utf-8"))))
    _write(folder / "tokenizer_config.json", _tokenizer_config(shape))
    shutil.copy(checkpoint.with_name("training_log.jsonl"), folder / "training_log.jsonl")


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS over every other file of the folder, in the form of `sha256sum`."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def _config(shape: Config) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "intermediate_size": shape.hidden,
        "max_position_embeddings": shape.context_length,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.theta,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "pad_token_id": _PAD,
        "eos_token_id": _END,
        "bos_token_id": None,
        "dtype": "float16",
    }


def _tokenizer_config(shape: Config) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": Special.END,
        "pad_token": Special.PAD,
        "model_max_length": shape.context_length,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _with_visible_calls(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """`<|tool_call|>` must not vanish where transformers skips special tokens, or a call would look like text."""
    for token in tokenizer["added_tokens"]:
        token["special"] = token["content"] != Special.TOOL_CALL
    return tokenizer


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=None if "model" in data else 1) + "\n", "utf-8")
