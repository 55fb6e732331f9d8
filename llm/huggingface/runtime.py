"""Runtime: a model and its tokenizer, loaded once from a folder or the hub; safetensors only, no code of theirs."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from llm.chat import text_of
from llm.errors import ContextLengthExceeded, InvalidRequest, ModelNotLoaded

GENERATES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
UNBOUNDED = 2**20
"""Where a model says nothing of its context, or something beyond reason, this many tokens."""


def check_installed() -> None:
    """Raises ValueError, with the remedy, when torch or transformers is missing."""
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be installed: pip install 'penstock[huggingface]'")


def check_path(path: str) -> None:
    """Raises ValueError when a path can only be a folder, and there is none: the hub would take it for a wrong id."""
    folder = Path(path)
    if (folder.is_absolute() or path.startswith((".", "~"))) and not folder.is_dir():
        raise ValueError(f"there is no folder '{path}', seen from {Path.cwd()}")


class Runtime:
    """A loaded model. Its methods block and are meant for one thread; only :meth:`count` may be called in others.

    Attributes:
        torch: the module, imported when the first model is loaded.
        generates: whether it can answer; a model that cannot still embeds.
        context_length: how many tokens a prompt and its answer may have together.
    """

    def __init__(self, tokenizer: Any, model: Any, *, generates: bool) -> None:
        self.torch = import_module("torch")
        self.tokenizer = tokenizer
        self._counting = copy.deepcopy(tokenizer)  # a tokenizer fails in two threads at once
        self._counts = Lock()
        self.model = model
        self.generates = generates
        config = model.config.get_text_config()
        said = getattr(config, "max_position_embeddings", None) or UNBOUNDED
        self.context_length = min(said, tokenizer.model_max_length, UNBOUNDED)
        self.vocabulary = int(config.vocab_size)
        self.ends = self._ends()

    @classmethod
    def load(cls, path: str, device: str = "cpu", dtype: str = "auto") -> Runtime:
        """Reads a folder, or a model of the hub by its id; ``HF_HUB_OFFLINE=1`` keeps that to what is in the cache.

        Args:
            device: where it runs: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
            dtype: ``auto`` is the model's own, on a CPU ``float32``; else ``float32``, ``bfloat16`` or ``float16``.

        Raises:
            ModelNotLoaded: saying why.
        """
        transformers, torch = import_module("transformers"), import_module("torch")
        transformers.utils.logging.disable_progress_bar()
        local = Path(path).is_dir()
        kind = "float32" if dtype == "auto" and device == "cpu" else dtype
        try:
            common: dict[str, Any] = {"trust_remote_code": False, "local_files_only": local}
            config = transformers.AutoConfig.from_pretrained(path, **common)
            generates = any(name.endswith(GENERATES) for name in config.architectures or ())
            auto = transformers.AutoModelForCausalLM if generates else transformers.AutoModel
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **common)
            model = auto.from_pretrained(
                path, dtype=kind if kind == "auto" else getattr(torch, kind), use_safetensors=True, **common
            )
            return cls(tokenizer, model.to(device).eval(), generates=generates)
        except Exception as error:  # of the files, of the hub, of the device: each library has its own
            why = str(error).partition("\n")[0] or type(error).__name__
            raise ModelNotLoaded(f"the model '{path}' cannot be loaded: {why}") from error

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of a conversation by the model's own chat template, ready for an answer.

        Raises:
            InvalidRequest: when the template refuses the conversation, or there is no template.
            ContextLengthExceeded: when no room is left for an answer.
        """
        ids = self._prompt(self.tokenizer, messages, tools)
        if len(ids) >= self.context_length:
            raise ContextLengthExceeded(len(ids), self.context_length)
        return ids

    def count(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], answer: str
    ) -> tuple[int, int]:
        """How many tokens a conversation and an answer to it have.

        Raises:
            InvalidRequest: as :meth:`prompt`.
        """
        with self._counts:
            asked = self._prompt(self._counting, messages, tools)
            return len(asked), len(self._counting(answer, add_special_tokens=False)["input_ids"])

    def _prompt(
        self, tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        if not self.generates or not tokenizer.chat_template:
            raise InvalidRequest(
                "This model cannot chat: it only embeds, or has no chat template.", param="model", code="invalid_value"
            )
        try:
            made = tokenizer.apply_chat_template(
                [_plain(f"messages[{index}]", message) for index, message in enumerate(messages)],
                tools=list(tools) or None,
                add_generation_prompt=True,
                return_dict=True,
            )
        except InvalidRequest:
            raise
        except Exception as error:  # templates are programs: jinja2's errors, and whatever their filters raise
            message = f"This model's chat template refuses these messages: {error}"
            raise InvalidRequest(message, param="messages", code="invalid_value") from error
        ids: list[int] = made["input_ids"]
        return ids

    def embed(self, given: str | Sequence[int], place: str) -> tuple[list[float], int]:
        """The mean of the last hidden states of one input, at length 1; and how many tokens it has.

        Raises:
            InvalidRequest: when an id is none of the model's; ``place`` says where.
            ContextLengthExceeded: when it is too long.
        """
        ids = self.tokenizer(given)["input_ids"] if isinstance(given, str) else list(given)
        if len(ids) > self.context_length:
            raise ContextLengthExceeded(len(ids), self.context_length, "input")
        if (highest := max(ids, default=0)) >= self.vocabulary:
            message = f"Invalid '{place}': {highest} is no token of this model, whose ids end at {self.vocabulary - 1}."
            raise InvalidRequest(message, param=place, code="invalid_value")
        with self.torch.inference_mode():
            hidden = self.model.base_model(self.tensor([ids])).last_hidden_state[0].float()
            vector: list[float] = self.torch.nn.functional.normalize(hidden.mean(0), dim=0).tolist()
        return vector, len(ids)

    def tensor(self, rows: Sequence[Sequence[int]]) -> Any:
        """Ids as a tensor where the model is."""
        return self.torch.tensor(rows, dtype=self.torch.long, device=self.model.device)

    def _ends(self) -> frozenset[int]:
        """The ids that end an answer."""
        said = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        ends = said if isinstance(said, list) else [said]
        return frozenset(token for token in [*ends, self.tokenizer.eos_token_id] if token is not None)


def _plain(place: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates want it: text as a string, arguments as objects, ``developer`` as ``system``."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        wrong = next((index for index, part in enumerate(content) if part.get("type") != "text"), None)
        if wrong is not None:
            param = f"{place}.content[{wrong}].type"
            raise InvalidRequest(f"Unsupported value: '{param}': this model reads text only.", param=param)
        content = text_of(message)
    role = "system" if message["role"] == "developer" else message["role"]
    plain = {**message, "role": role, "content": content}
    if message.get("tool_calls"):
        plain["tool_calls"] = [_with_object(call) for call in message["tool_calls"]]
    return plain


def _with_object(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function") or {}
    try:
        return {**call, "function": {**function, "arguments": json.loads(function.get("arguments") or "{}")}}
    except (TypeError, ValueError, RecursionError):
        return call
