"""Training in several processes, and in half precision where that is faster."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed
from torch import nn

from demo_app.nn.precision import CLEARLY, LARGE


@dataclass(frozen=True, kw_only=True)
class Process:
    """This process among those that train together (`torchrun`), and the device it has."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agreed(self, value: Any) -> Any:
        """What the first process says, to all of them."""
        if self.count == 1:
            return value
        said = [value]
        torch.distributed.broadcast_object_list(said, src=0, device=self.device)
        return said[0]


@contextlib.contextmanager
def processes(device: str | None = None) -> Iterator[Process]:
    """The group that `torchrun` started, or one process alone, on that device, or the best there is."""
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


def in_half(precision: str, network: nn.Module, process: Process) -> bool:
    """Whether to compute in bfloat16: fp32, bf16, or auto, which is what is faster for the first process."""
    return precision == "bf16" or (precision == "auto" and process.agreed(faster_in_half(network, process.device)))


def faster_in_half(network: nn.Module, device: torch.device) -> bool:
    """Whether training in bfloat16 takes clearly less time: so on GPUs, and for large layers on CPUs with AMX.

    Found by trying, so it may turn out differently on a busy machine; who wants to repeat a training to the last digit
    says which it shall be.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    largest = max((p.numel() for m in network.modules() if isinstance(m, nn.Linear) for p in m.parameters()), default=0)
    if device.type != "cpu" or largest < LARGE:
        return False
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype, device=device)
        for _ in range(2):  # the first time is for warming up
            started = time.perf_counter()
            for _ in range(5):
                a @ a
            seconds[dtype] = time.perf_counter() - started
    return seconds[torch.bfloat16] < CLEARLY * seconds[torch.float32]
