"""Optimisers: Muon, and parameter groups with and without weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the polynomial that drives singular values towards 1 the fastest


def orthogonalise(x: Tensor, iterations: int = 5) -> Tensor:
    """(M, N) to approximately U V^T of its singular value decomposition U S V^T, by Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    tall = x.shape[0] > x.shape[1]
    x = x.bfloat16() if x.is_cuda else x
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)  # singular values at most 1
    for _ in range(iterations):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): momentum with orthogonalised updates.

    For the matrices inside a network, and for filters (O, C, K, K), which are read as matrices (O, C K K). Embeddings,
    norms, biases and depthwise filters need AdamW. With `fixed_norm` every matrix keeps the Frobenius norm
    sqrt(min(M, N)), which is that of its update at a learning rate of 1, so the learning rate is the share of a matrix
    that changes: for layers before a BatchNorm, which ignores the norm.

    torch.optim.Muon computes in bfloat16, which takes ten times longer than single precision on a CPU without AMX, and
    does not take filters.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        *,
        fixed_norm: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "fixed_norm": fixed_norm}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(state["momentum"], group["momentum"])  # Nesterov
                matrix = ahead.flatten(1)  # (M, N)
                rows, columns = matrix.shape
                scale = 1.0 if group["fixed_norm"] else max(1.0, rows / columns) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                update = orthogonalise(matrix).view(parameter.shape).to(parameter.dtype)
                parameter.add_(update, alpha=-group["lr"] * scale)
                if group["fixed_norm"]:
                    parameter.mul_(min(rows, columns) ** 0.5 / (parameter.norm() + 1e-7))


def weight_decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups for an optimiser: matrices and filters decay, biases and the scales of norms do not."""
    everything = list(parameters)
    return [
        {"params": [p for p in everything if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in everything if p.ndim < 2], "weight_decay": 0.0},
    ]
