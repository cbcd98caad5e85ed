"""Training in several processes, as `torchrun` starts them."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Process:
    """This process among those that train together, and its device."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def broadcast(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0, device=self.device)
        return values[0]


@contextlib.contextmanager
def process_group(device: str | None = None) -> Iterator[Process]:
    """Join the group that `torchrun` started, or train alone. `device`: cuda or cpu; default: the best there is."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available() and device in (None, "cuda")
    chosen = torch.device(f"cuda:{local}" if cuda else device or "cpu")
    if count == 1:
        yield Process(device=chosen)
        return
    if cuda:
        torch.cuda.set_device(chosen)
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Process(rank=rank, count=count, device=chosen)
    finally:
        torch.distributed.destroy_process_group()


class GradientSync:
    """Wraps models so that every process of the group gets the mean of all gradients."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._wrapper: nn.parallel.DistributedDataParallel | None = None
        self._trained: list[int] = []  # ids of the parameters that the wrapper synchronises

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model itself in a single process. The wrapper is kept until the model or what it trains changes."""
        if self.process.count == 1:
            return model
        trained = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
        if self._wrapper is None or self._wrapper.module is not model or self._trained != trained:
            self._wrapper = None
            gc.collect()  # an old wrapper would still react to gradients
            self._wrapper, self._trained = nn.parallel.DistributedDataParallel(model), trained
        return self._wrapper
