"""Large linear layers in bfloat16 where this processor is faster with it: found by trying, never assumed.

With AMX tiles a product takes a third of the time of single precision, without them up to five times as long. 8-bit
integers are faster on most processors, but dynamic quantisation moved a real encoder's probabilities by up to 0.26
(0.09 with a scale for each token; all-MiniLM-L6-v2 with a linear probe, 500 sentences) where bfloat16 moves them by
0.005. So nobody gets int8 here who did not ask for it; `int8` says where it pays for decoding.

torch's way to oneDNN's packed weights is private and may go: it is used here alone, and what fails is not chosen.
Gradients need the original: these layers only infer.
"""

# T tokens, I features in, O features out

from __future__ import annotations

import copy
import functools
import logging
import os
import statistics
import time
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.errors import DemoError
from demo_app.nn import int8, weights

log = logging.getLogger(__name__)

LARGE = 2**17  # weights of a layer below which nothing is gained
CLEARLY = 0.8  # of the time in single precision that bfloat16 must stay below to be chosen
TOKENS = 128  # in the batch that is tried
M = TypeVar("M", bound=nn.Module)
PRECISIONS = ("auto", "fp32", "bf16", "int8")


class BFloat16Linear(nn.Module):
    """Weights and products in bfloat16 (8 bits of mantissa), in and out in single precision."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().bfloat16()  # (O, I)
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()  # (O,)
        self.packed: Tensor | None = None
        try:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, TOKENS)
            self.weight = self.weight.new_empty(0)
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            log.debug("bfloat16 weights stay as they are: %s", error)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        half = x.bfloat16()
        if self.packed is None:
            return F.linear(half, self.weight, self.bias).float()
        out: Tensor = torch.ops.mkldnn._linear_pointwise(half, self.packed, self.bias, "none", [], "")
        return out.float()


def in_bfloat16(network: M) -> M:
    """A network whose large linear layers compute in bfloat16 and which shares all else with `network`."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    other = copy.deepcopy(network, shared)  # the modules are copied, the tensors are not
    for module in list(other.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and child.weight.numel() >= LARGE:
                setattr(module, name, BFloat16Linear(child))
                weights.offload(child.weight)
    return other.eval()


def wanted(variable: str, offered: Sequence[str] = PRECISIONS) -> str:
    """What an environment variable says, `auto` where it is not set. Raises `DemoError` where it is none of these."""
    value = os.environ.get(variable, "auto")
    if value not in offered:
        raise DemoError(f"{variable} is none of {', '.join(offered)}; set one of them.")
    return value


def converted(network: M, precision: str) -> tuple[M, str]:
    """The network in a precision of `PRECISIONS` other than auto, and the name of what it got.

    That is fp32, and the network itself, on an accelerator and where there are no such products.
    """
    if precision == "fp32" or next(network.parameters()).device.type != "cpu":
        return network, "fp32"
    quick = int8.to_int8(network) if precision == "int8" else in_bfloat16(network)
    return quick, "fp32" if quick is network else precision


def fastest(network: nn.Module) -> str:
    """fp32 or bf16 for this network on this processor, with the threads that torch has now; tried once, 0.1 s."""
    parameter = next(network.parameters())
    large = [m for m in network.modules() if isinstance(m, nn.Linear) and m.weight.numel() >= LARGE]
    if parameter.device.type != "cpu" or not large or not _has_bfloat16():
        return "fp32"
    largest = max(large, key=lambda linear: linear.weight.numel())
    return _faster(largest.in_features, largest.out_features, torch.get_num_threads())


@functools.cache
@torch.inference_mode()
def _faster(features: int, outputs: int, threads: int) -> str:
    linear = nn.Linear(features, outputs)
    x = torch.randn(TOKENS, features)
    try:
        other = BFloat16Linear(linear)
        error = float((other(x) - linear(x)).abs().max() / linear(x).abs().max())
        one, two = _milliseconds(linear, x), _milliseconds(other, x)
    except (RuntimeError, AttributeError, NotImplementedError) as problem:
        log.info("bfloat16 is not to be had here: %s", problem)
        return "fp32"
    log.info(
        "%d x %d on %d threads: fp32 %.2f ms, bf16 %.2f ms, error %.1e", features, outputs, threads, one, two, error
    )
    return "bf16" if two < CLEARLY * one and error < 0.02 else "fp32"


def _milliseconds(layer: nn.Module, x: Tensor) -> float:
    layer(x)
    times = []
    for _ in range(7):
        started = time.perf_counter()
        layer(x)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def _has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself: elsewhere a single try takes long. Private, so its loss means no."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)
