"""Large linear layers in bfloat16 if this processor computes them faster: measured, never assumed.

With AMX tiles a product takes a third of the time of single precision, without them up to five times as long. 8-bit
integers are faster on most processors, but dynamic quantisation moved a real encoder's probabilities by up to 0.26
(0.09 with a scale for each token; all-MiniLM-L6-v2 with a linear probe, 500 sentences), while bfloat16 moves them by
0.005. So int8 is used only on request; see `int8` for when it pays off in decoding.

torch's access to oneDNN's packed weights is private and may be removed: only this module uses it, and falls back where
it fails. These layers are for inference; gradients need the original ones.
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

LARGE = 2**17  # weights of a layer; smaller ones gain nothing
FASTER_BELOW = 0.8  # share of the single-precision time below which bfloat16 is chosen
TOKENS = 128  # in the measured batch
M = TypeVar("M", bound=nn.Module)
PRECISIONS = ("auto", "fp32", "bf16", "int8")


class BFloat16Linear(nn.Module):
    """Weights and products in bfloat16 (8 bits of mantissa); input and output in single precision."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().bfloat16()  # (O, I)
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()  # (O,)
        self.packed: Tensor | None = None
        try:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, TOKENS)
            self.weight = self.weight.new_empty(0)
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            log.debug("bfloat16 weights are not packed: %s", error)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        half = x.bfloat16()
        if self.packed is None:
            return F.linear(half, self.weight, self.bias).float()
        out: Tensor = torch.ops.mkldnn._linear_pointwise(half, self.packed, self.bias, "none", [], "")
        return out.float()


def to_bfloat16(network: M) -> M:
    """A copy whose large linear layers compute in bfloat16; it shares all other tensors with `network`."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    other = copy.deepcopy(network, shared)  # the modules are copied, the tensors are not
    for module in list(other.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and child.weight.numel() >= LARGE:
                setattr(module, name, BFloat16Linear(child))
                weights.offload(child.weight)
    return other.eval()


def from_environment(variable: str, offered: Sequence[str] = PRECISIONS) -> str:
    """The precision in an environment variable; `auto` if unset. Raises `DemoError` if it is not `offered`."""
    value = os.environ.get(variable, "auto")
    if value not in offered:
        raise DemoError("{variable} is none of {known}; set one of them.", variable=variable, known=", ".join(offered))
    return value


def convert(network: M, precision: str) -> tuple[M, str]:
    """The network in one of `PRECISIONS` other than auto, and the precision that it really has.

    That is fp32, with the network itself, on an accelerator and if the products are not available.
    """
    if precision == "fp32" or next(network.parameters()).device.type != "cpu":
        return network, "fp32"
    converted = int8.to_int8(network) if precision == "int8" else to_bfloat16(network)
    return converted, "fp32" if converted is network else precision


def fastest(network: nn.Module) -> str:
    """fp32 or bf16 for this network on this processor, with torch's current threads; measured once, in 0.1 s."""
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
        log.info("bfloat16 is not available: %s", problem)
        return "fp32"
    log.info(
        "%d x %d on %d threads: fp32 %.2f ms, bf16 %.2f ms, error %.1e", features, outputs, threads, one, two, error
    )
    return "bf16" if two < FASTER_BELOW * one and error < 0.02 else "fp32"


def _milliseconds(layer: nn.Module, x: Tensor) -> float:
    layer(x)
    times = []
    for _ in range(7):
        started = time.perf_counter()
        layer(x)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def _has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16: on others measuring takes long. Private; False if torch removes it."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)
