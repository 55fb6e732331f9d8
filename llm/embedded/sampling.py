"""From logits to a token: greedy, or by temperature and nucleus (top_p), from a generator of the request's own."""

import numpy as np
from numpy.typing import NDArray

from llm.embedded.weights import Array

_SEED_BITS = 64


class Sampler:
    """Chooses tokens for one generation. The same seed and the same logits give the same tokens.

    `temperature` 0 is greedy, the most likely token; `top_p` keeps the fewest tokens that reach that probability.
    """

    def __init__(self, temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._random = np.random.default_rng(None if seed is None else seed % 2**_SEED_BITS)

    def choose(self, logits: Array) -> int:
        """One id; `-inf` marks ids that must not be chosen, at least one must be left."""
        if self._temperature <= 0:
            return int(logits.argmax())
        likely = np.argsort(-logits, kind="stable")
        probabilities = _probabilities(logits[likely], self._temperature)
        kept = int(np.searchsorted(np.cumsum(probabilities), self._top_p)) + 1 if self._top_p < 1 else len(likely)
        nucleus = probabilities[:kept] / probabilities[:kept].sum()
        return int(likely[self._random.choice(len(nucleus), p=nucleus)])


def _probabilities(logits: Array, temperature: float) -> NDArray[np.float64]:
    """Of logits in descending order, in float64."""
    scaled = (logits.astype(np.float64) - logits[0]) / temperature
    weights = np.exp(scaled)
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities
