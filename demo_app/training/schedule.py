"""The hyperparameters of a training, and the learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch

Decay = Literal["cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long to train, how fast, and when to stop."""

    epochs: int
    steps: int  # optimiser steps of all epochs; only the learning rates depend on it
    warmup: float = 0.1  # share of all steps in which the learning rates rise linearly
    decay: Decay = "cosine"  # how they fall to zero after the warm-up
    max_grad_norm: float | None = 1.0  # gradients are clipped to this norm
    ema_decay: float | None = None  # decay of a moving average of the weights, which is then evaluated and kept
    bfloat16: bool = False  # autocast matrix products to bfloat16
    evaluate_every: int = 1  # epochs; the last epoch is always evaluated
    monitor: str = "loss"  # the metric that chooses the best weights
    higher_is_better: bool = False  # of that metric
    tie_breaker: str | None = None  # a second metric, lower is better, where the monitored one is equal
    patience: int | None = None  # evaluations without improvement before training stops early
    keep: Literal["best", "last"] = "best"  # the weights to end with, if anything is evaluated
    seed: int = 0  # of dropout and of what `batches` draws; each epoch is seeded from it


def learning_rate_factor(step: int, steps: int, warmup: float, decay: Decay) -> float:
    """The factor of all learning rates at a step, counted from 0: up to 1 during the warm-up, then down to 0.

    `warmup` is a share of all `steps`.
    """
    rising = (step + 1) / max(1.0, warmup * steps)
    falling = (steps - step) / max(1.0, (1 - warmup) * steps)
    linear = max(0.0, min(1.0, rising, falling))
    return linear if decay == "linear" or rising <= 1 else 0.5 * (1 - math.cos(math.pi * linear))


def set_learning_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set every group's learning rate to `factor` times the rate it was created with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("highest_lr", group["lr"]) * factor
