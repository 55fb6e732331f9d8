"""The embedded model, ready to answer: loaded once from a Hugging Face folder, immutable, shared by threads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llm.embedded.constraint import Constraints
from llm.embedded.errors import ModelFolderError, PromptTooLong, RequestError
from llm.embedded.generation import Generation, GenerationOptions
from llm.embedded.network import Network
from llm.embedded.template import Special, encode
from llm.embedded.tokenizer import Tokenizer
from llm.embedded.weights import Config, load_tensors

FOLDER = Path(__file__).parent / "penstock-demo"

_FINGERPRINT_DIGITS = 12


class Engine:
    """A model and what it takes to talk to it.

    `name` is the folder's; `fingerprint` the first 12 hexadecimal digits of the SHA-256 of the weights; `parameters`
    their number; `context_length` how many tokens a prompt and its answer may have together.
    """

    def __init__(self, name: str, network: Network, tokenizer: Tokenizer, digest: str) -> None:
        self.name = name
        self.fingerprint = digest[:_FINGERPRINT_DIGITS]
        self.parameters = network.parameters
        self.context_length = network.config.context_length
        self.constraint = Constraints(tokenizer)
        self.tokenizer = tokenizer
        self._network = network

    @classmethod
    def load(cls, folder: Path = FOLDER) -> "Engine":
        """Read config.json, tokenizer.json and model.safetensors; takes about 0.1 s. Raises ModelFolderError."""
        config = Config.load(folder / "config.json")
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
        tensors, digest = load_tensors(folder / "model.safetensors")
        if missing := set(Special) - set(tokenizer.special):
            raise ModelFolderError(f"{folder / 'tokenizer.json'}: lacks the special tokens {sorted(missing)}")
        if tokenizer.size > config.vocabulary:
            raise ModelFolderError(f"{folder}: the tokenizer has more tokens than the model")
        return cls(folder.name, Network(config, tensors), tokenizer, digest)

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None) -> list[int]:
        """The ids of a conversation, ready for an answer. Raises PromptTooLong, UnsupportedMessage."""
        return encode(self.tokenizer, messages, tools, self.context_length - 1)

    def embed(self, ids: Sequence[int]) -> list[float]:
        """The mean of the last hidden states, at length 1: what feature extraction by transformers gives.

        Raises PromptTooLong, and RequestError for ids that are none.
        """
        if len(ids) > self.context_length:
            raise PromptTooLong(len(ids), self.context_length)
        if not ids or not all(0 <= token < self.tokenizer.size for token in ids):
            raise RequestError(f"a text to embed has at least one token, and their ids are below {self.tokenizer.size}")
        mean = self._network.features(ids).mean(0)
        vector: list[float] = (mean / np.linalg.norm(mean)).tolist()
        return vector

    def generate(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        options: GenerationOptions | None = None,
    ) -> Generation:
        """An answer in the making; nothing is computed before its first `next()`.

        Tools are in the prompt and, without a constraint, may be called as the model likes; pass none where none may be
        called. Raises PromptTooLong, UnsupportedMessage, InvalidSchema.
        """
        options = options or GenerationOptions()
        if tools and options.constraint is None:
            options = replace(options, constraint=self.constraint.tools(tools))
        return Generation(self._network, self.tokenizer, self.prompt(messages, tools), options)
