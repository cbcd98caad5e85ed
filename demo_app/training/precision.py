"""Whether to train in bfloat16."""

from __future__ import annotations

import time

import torch
from torch import nn

from demo_app.nn.precision import FASTER_BELOW, LARGE
from demo_app.training.processes import Process


def use_bfloat16(precision: str, network: nn.Module, process: Process) -> bool:
    """Whether to autocast to bfloat16. `precision` is fp32, bf16, or auto: what is faster for the first process."""
    return precision == "bf16" or (
        precision == "auto" and process.broadcast(bfloat16_is_faster(network, process.device))
    )


def bfloat16_is_faster(network: nn.Module, device: torch.device) -> bool:
    """Whether training in bfloat16 takes clearly less time: on GPUs, and for large layers on CPUs with AMX.

    Measured on a CPU, so a busy machine may give another result. To reproduce a training bit by bit, set the precision.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    largest = max((p.numel() for m in network.modules() if isinstance(m, nn.Linear) for p in m.parameters()), default=0)
    if device.type != "cpu" or largest < LARGE:
        return False
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype, device=device)
        for _ in range(2):  # the first round warms up
            started = time.perf_counter()
            for _ in range(5):
                a @ a
            seconds[dtype] = time.perf_counter() - started
    return seconds[torch.bfloat16] < FASTER_BELOW * seconds[torch.float32]
