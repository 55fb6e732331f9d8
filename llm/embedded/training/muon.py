"""Muon: momentum, orthogonalised by five Newton-Schulz steps (https://kellerjordan.github.io/posts/muon/).

Matrices of one shape are batched, and the precision is a choice: torch.optim.Muon always computes in bfloat16, which is
several times slower than float32 on a CPU without units for it, and several times faster on one with them.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

_STEPS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
_MOMENTUM = 0.95
_DECAY = 0.05
_SCALE = 0.2  # of the update's root mean square, as AdamW's: https://arxiv.org/abs/2502.16982


class Muon(torch.optim.Optimizer):
    """For matrices; set the rate through `param_groups`, as with any optimizer."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, precision: torch.dtype = torch.float32) -> None:
        super().__init__(list(matrices), {"lr": lr})
        self._precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for alike in _by_shape(group["params"]).values():
                self._update(alike, group["lr"])

    def _update(self, matrices: list[Tensor], rate: float) -> None:
        directions = torch.stack([_wide(self._momentum(matrix)) for matrix in matrices])
        updates = _orthogonal(directions.to(self._precision)).to(directions.dtype)
        for matrix, update in zip(matrices, updates, strict=True):
            matrix.mul_(1 - rate * _DECAY)
            step = update if matrix.shape[0] <= matrix.shape[1] else update.T
            matrix.add_(step, alpha=-_SCALE * rate * max(matrix.shape) ** 0.5)

    def _momentum(self, matrix: Tensor) -> Tensor:
        """Nesterov's momentum of the gradient."""
        gradient = matrix.grad
        assert gradient is not None  # noqa: S101 - _by_shape took care of it
        average = self.state[matrix].setdefault("average", torch.zeros_like(gradient))
        average.lerp_(gradient, 1 - _MOMENTUM)
        return gradient.lerp(average, _MOMENTUM)


def _by_shape(parameters: Iterable[Tensor]) -> dict[tuple[int, ...], list[Tensor]]:
    groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            groups[tuple(sorted(parameter.shape))].append(parameter)
    return groups


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _orthogonal(x: Tensor) -> Tensor:
    """(matrices, rows, columns) with singular values near one."""
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x
