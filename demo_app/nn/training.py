"""What every training here does alike: a part held out, a running mean of the weights, rates, going on after a kill."""

# N examples

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from demo_app.nn.attention import MultiHeadAttention

log = logging.getLogger(__name__)


class Stateful(Protocol):
    """A network, an optimiser, a schedule: whatever can be put down and taken up."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...


def split(classes: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to train on, and those of `share` of each class to measure on, in order.

    classes (N,) int64. Of each class there must be two examples at least; both parts then have some of each.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(classes), dtype=torch.bool)
    for place in sorted(set(classes.tolist())):
        rows = (classes == place).nonzero().squeeze(1)
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held_out[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return (~held_out).nonzero().squeeze(1), held_out.nonzero().squeeze(1)


def decayed(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: matrices and filters decay, biases and the scales of norms do not."""
    all_of_them = list(parameters)
    return [
        {"params": [p for p in all_of_them if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in all_of_them if p.ndim < 2], "weight_decay": 0.0},
    ]


def parts(network: nn.Module, mean: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Stateful]:
    """All that a restart needs beside counters, for `save` and `resume`."""
    found: dict[str, Stateful] = {"network": network, "mean": mean}
    return found | {f"optimizer {place}": optimizer for place, optimizer in enumerate(optimizers)}


class ByteDropout(nn.Module):
    """Dropout from random bytes: on a CPU torch's own Bernoulli numbers take a quarter of the time of a small step."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.forgotten = round(probability * 256)  # of 256 byte values

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.forgotten:
            return x
        bits = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)  # eight bytes at once
        kept = bits.view(torch.uint8)[: x.numel()].view(x.shape) >= self.forgotten
        return x * kept * (256 / (256 - self.forgotten))


def use_byte_dropout(network: nn.Module) -> None:
    """In place of every `nn.Dropout`; attention weights are no longer dropped, which torch does one by one."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(module, name, ByteDropout(child.p))
        if isinstance(module, MultiHeadAttention):
            module.dropout = 0.0


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
