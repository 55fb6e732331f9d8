"""The forward pass of a Llama in NumPy: RMSNorm, rotary positions, causal attention, SwiGLU, tied head.

Everything is float32. The weights are laid out once for the products that are made, with the norms' scales and the
attention's scale folded in; after that the network never changes, and threads share it. What a conversation has
computed lives in its `Cache`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from llm.embedded.errors import ModelFolderError
from llm.embedded.weights import Array, Config, Stored

_PREFILL_CHUNK = 256  # tokens at once: bounds the attention matrix to heads x 256 x context floats
_FIRST_CAPACITY = 64


class Cache:
    """Keys and values of the tokens seen so far: a layer's array is (2, heads, capacity, head_width).

    The capacity doubles as needed, up to the context length, so a short chat costs little memory.
    """

    def __init__(self, config: Config) -> None:
        self.length = 0
        self._config = config
        self._layers = [self._empty(_FIRST_CAPACITY) for _ in range(config.layers)]

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self._layers)

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` more."""
        needed = self.length + tokens
        capacity = self._layers[0].shape[2]
        if needed > capacity:
            self._grow(min(max(needed, 2 * capacity), max(needed, self._config.context_length)))

    def append(self, layer: int, keys: Array, values: Array) -> tuple[Array, Array]:
        """Store a layer's new keys and values (heads, tokens, head_width); returns all of them so far."""
        end = self.length + keys.shape[1]
        stored = self._layers[layer]
        stored[0, :, self.length : end] = keys
        stored[1, :, self.length : end] = values
        return stored[0, :, :end], stored[1, :, :end]

    def _grow(self, capacity: int) -> None:
        for index, old in enumerate(self._layers):
            self._layers[index] = self._empty(capacity)
            self._layers[index][:, :, : self.length] = old[:, :, : self.length]

    def _empty(self, capacity: int) -> Array:
        return np.empty((2, self._config.heads, capacity, self._config.head_width), np.float32)


class _Layer(NamedTuple):
    """One layer's matrices, transposed for `x @ matrix`; norms folded in."""

    attention_in: Array  # (width, 3 * width): query, key, value
    attention_out: Array  # (width, width)
    mlp_in: Array  # (width, 2 * hidden): gate, up
    mlp_out: Array  # (hidden, width)


class Network:
    """A Llama with fixed weights; `forward` is a pure function of ids and cache."""

    def __init__(self, config: Config, tensors: Mapping[str, Stored]) -> None:
        self.config = config
        self.parameters = sum(tensor.size for tensor in tensors.values())
        try:
            self._embedding = tensors["model.embed_tokens.weight"].astype(np.float32)
            self._layers = [_layer(config, tensors, index) for index in range(config.layers)]
            self._norm = tensors["model.norm.weight"].astype(np.float32)
        except (KeyError, ValueError) as error:
            raise ModelFolderError(f"model.safetensors does not fit config.json: {error}") from error
        self._cosine, self._sine = _rotations(config)

    def new_cache(self) -> Cache:
        return Cache(self.config)

    def prefill(self, ids: Sequence[int], cache: Cache) -> Array:
        """Read a prompt in chunks; returns the logits (vocabulary,) after its last token."""
        cache.reserve(len(ids))
        hidden = [self._hidden(chunk, cache) for chunk in _chunks(ids)][-1]
        return self._logits(hidden[-1:])

    def features(self, ids: Sequence[int]) -> Array:
        """What the last layer makes of each token, normalised: (tokens, width)."""
        cache = self.new_cache()
        cache.reserve(len(ids))
        hidden = np.concatenate([self._hidden(chunk, cache) for chunk in _chunks(ids)])
        features: Array = _normalised(hidden, self.config.epsilon) * self._norm
        return features

    def forward(self, token: int, cache: Cache) -> Array:
        """Read one more token; returns the logits (vocabulary,) after it."""
        cache.reserve(1)
        return self._logits(self._hidden([token], cache))

    def _logits(self, hidden: Array) -> Array:
        logits: Array = ((_normalised(hidden, self.config.epsilon) * self._norm) @ self._embedding.T)[0]
        return logits

    def _hidden(self, ids: Sequence[int], cache: Cache) -> Array:
        """The last layer's output (tokens, width) for ids that follow what is in the cache."""
        x = self._embedding[ids]
        for index, layer in enumerate(self._layers):
            x = x + self._attention(index, layer, _normalised(x, self.config.epsilon), cache)
            x = x + self._mlp(layer, _normalised(x, self.config.epsilon))
        cache.length += len(ids)
        return x

    def _attention(self, index: int, layer: _Layer, x: Array, cache: Cache) -> Array:
        tokens, heads = len(x), self.config.heads
        projected = (x @ layer.attention_in).reshape(tokens, 3 * heads, -1).transpose(1, 0, 2)
        rotated = self._rotate(projected[: 2 * heads], cache.length)
        keys, values = cache.append(index, rotated[heads:], projected[2 * heads :])
        scores = rotated[:heads] @ keys.transpose(0, 2, 1)
        if tokens > 1:
            scores += _causal_mask(tokens, keys.shape[1])
        mixed = _softmax(scores) @ values
        attended = mixed.transpose(1, 0, 2).reshape(tokens, -1) @ layer.attention_out
        return attended.astype(np.float32, copy=False)

    def _rotate(self, x: Array, position: int) -> Array:
        """Turn queries and keys (heads, tokens, head_width) by their positions, from `position` on."""
        half = x.shape[2] // 2
        turned = np.concatenate((-x[:, :, half:], x[:, :, :half]), axis=2)
        span = slice(position, position + x.shape[1])
        rotated: Array = x * self._cosine[span] + turned * self._sine[span]
        return rotated

    def _mlp(self, layer: _Layer, x: Array) -> Array:
        both = x @ layer.mlp_in
        gate, up = both[:, : self.config.hidden], both[:, self.config.hidden :]
        activated: Array = (_silu(gate) * up) @ layer.mlp_out
        return activated


def _chunks(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _PREFILL_CHUNK] for start in range(0, len(ids), _PREFILL_CHUNK)]


def _layer(config: Config, tensors: Mapping[str, Stored], index: int) -> _Layer:
    def weight(name: str) -> Array:
        return tensors[f"model.layers.{index}.{name}.weight"].astype(np.float32)

    query, key, value = (weight(f"self_attn.{name}_proj") for name in "qkv")
    attention = np.concatenate((query * np.float32(config.head_width**-0.5), key, value))
    mlp = np.concatenate((weight("mlp.gate_proj"), weight("mlp.up_proj")))
    return _Layer(
        np.ascontiguousarray((attention * weight("input_layernorm")).T),
        np.ascontiguousarray(weight("self_attn.o_proj").T),
        np.ascontiguousarray((mlp * weight("post_attention_layernorm")).T),
        np.ascontiguousarray(weight("mlp.down_proj").T),
    )


def _rotations(config: Config) -> tuple[Array, Array]:
    """Cosines and sines (context_length, head_width) of the rotary positions, as transformers computes them."""
    steps = np.arange(0, config.head_width, 2) / config.head_width
    angles = np.outer(np.arange(config.context_length), config.theta**-steps)
    both = np.concatenate((angles, angles), axis=1)
    return np.cos(both).astype(np.float32), np.sin(both).astype(np.float32)


def _causal_mask(tokens: int, seen: int) -> Array:
    """(tokens, seen): 0 where the row's token may look, a large negative number at what comes after it."""
    return np.triu(np.full((tokens, seen), -1e9, np.float32), 1 + seen - tokens)


def _normalised(x: Array, epsilon: float) -> Array:
    """x over its root mean square along the last axis."""
    squares = np.einsum("ij,ij->i", x, x)[:, None]
    root: Array = np.sqrt(squares / np.float32(x.shape[1]) + np.float32(epsilon))
    return x / root


def _silu(x: Array) -> Array:
    """x * sigmoid(x), written so that it cannot overflow."""
    half = np.float32(0.5) * x
    silu: Array = half + half * np.tanh(half)
    return silu


def _softmax(scores: Array) -> Array:
    """Along the last axis, in place."""
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores
