"""What every training here does alike: a running mean of the weights, learning rates, going on after a kill."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

log = logging.getLogger(__name__)


class Stateful(Protocol):
    """A network, an optimiser, a schedule: whatever can be put down and taken up."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...


@torch.no_grad()
def average(mean: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move a running mean of the weights, and of BatchNorm's statistics, towards the network after a step.

    Counted from 1; in the first steps the mean moves faster, so that the weights of the start are soon forgotten.
    """
    decay = min(decay, step / (step + 10))
    now = network.state_dict()
    for name, tensor in mean.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(now[name], 1 - decay)


def rise_and_fall(step: int, steps: int, warmup: float) -> float:
    """The factor of the learning rates at a step, from 0: up to 1 in a share of all steps, then down to 0, linearly."""
    share = step / steps
    return max(0.0, min(1.0, (share + 1 / steps) / max(warmup, 1e-9), (1 - share) / max(1 - warmup, 1e-9)))


def set_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Learning rates as a share of what they were given at first."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("highest_lr", group["lr"]) * factor


def save(path: Path, settings: str, parts: Mapping[str, Stateful], **counters: Any) -> None:
    """Write all that a training needs to go on; killed at any moment, the file is whole."""
    state = {"settings": settings, "counters": counters}
    state["parts"] = {name: part.state_dict() for name, part in parts.items()}
    unfinished = path.with_suffix(".tmp")
    torch.save(state, unfinished)
    unfinished.replace(path)


def resume(path: Path, settings: str, parts: Mapping[str, Stateful], device: str = "cpu") -> dict[str, Any]:
    """Take up what `save` wrote, if its settings were the same; returns the counters, empty when there was nothing."""
    if not path.is_file():
        return {}
    saved = torch.load(path, weights_only=True, map_location=device)
    if saved["settings"] != settings:
        log.warning("%s is of other settings; training starts anew.", path)
        return {}
    for name, part in parts.items():
        part.load_state_dict(saved["parts"][name])
    counters: dict[str, Any] = saved["counters"]
    done = ", ".join(f"{name} {count}" for name, count in counters.items() if isinstance(count, int))
    log.info("going on after %s of %s", done, path)
    return counters
