"""The same Llama as llm/embedded/network.py, in torch, for training; parameters are named as in transformers."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from llm.embedded.weights import Config

EPSILON = 1e-6
THETA = 10_000.0
CONTEXT = 2048


@dataclass(frozen=True)
class Shape:
    """A size of the model."""

    width: int
    layers: int
    heads: int
    hidden: int


SHAPES = {
    "smallest": Shape(64, 2, 2, 128),
    "small": Shape(128, 4, 4, 352),
    "medium": Shape(192, 5, 3, 512),
    "large": Shape(256, 5, 4, 576),
}


def config(shape: Shape, vocabulary: int) -> Config:
    return Config(vocabulary, shape.width, shape.layers, shape.heads, shape.hidden, CONTEXT, EPSILON, THETA)


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight, EPSILON)


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width, bias=False)
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        query, key, value = (self._heads(projection(x)) for projection in (self.q_proj, self.k_proj, self.v_proj))
        query, key = _rotate(query, cosine, sine), _rotate(key, cosine, sine)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return attended

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to (batch, heads, tokens, head_width)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Mlp(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return activated


class Layer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = Norm(config.width)
        self.post_attention_layernorm = Norm(config.width)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        after: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return after


class Llama(nn.Module):
    """RMSNorm, rotary positions, SwiGLU; the head is the embedding, transposed."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = Norm(config.width)
        cosine, sine = _rotations(config)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self._initialise()

    def hidden(self, ids: Tensor) -> Tensor:
        """(batch, tokens) ids to (batch, tokens, width)."""
        x = self.embed_tokens(ids)
        cosine, sine = self.get_buffer("cosine")[: ids.shape[1]], self.get_buffer("sine")[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, cosine, sine)
        normed: Tensor = self.norm(x)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.embed_tokens.weight.T

    def matrices(self) -> list[nn.Parameter]:
        """The weights that Muon trains: all matrices but the embedding."""
        return [weight for name, weight in self.named_parameters() if weight.dim() == 2 and "embed" not in name]

    def others(self) -> list[nn.Parameter]:
        """The weights that AdamW trains."""
        return [weight for name, weight in self.named_parameters() if weight.dim() != 2 or "embed" in name]

    def _initialise(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = (0.21 if into_residual else 0.7) / math.sqrt(weight.shape[1])
                nn.init.normal_(weight, 0, 0.02 if "embed" in name else scale)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn queries or keys by their positions, halves against each other, as transformers does."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def _rotations(config: Config) -> tuple[Tensor, Tensor]:
    steps = torch.arange(0, config.head_width, 2, dtype=torch.float64) / config.head_width
    angles = torch.outer(torch.arange(config.context_length, dtype=torch.float64), config.theta**-steps)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos().float(), both.sin().float()
