"""Linear layers with 8-bit integer weights, for decoding on a CPU, where each token costs reading all weights.

Each output has its own scale for its weights, and each row of activations its own scale for 256 steps, so a row's
result does not depend on the rest of the batch. torch's dynamic quantisation has one scale for the whole batch, which
is as fast but useless: in SmolLM2 the largest activation of a layer is up to 49,000 times the median.
The increase of perplexity on plays of Shakespeare, and how often the most likely token stays the same; the last row is
this module on 51,200 and 10,240 tokens, the others are computed in single precision on a part of them:

| weights, activations | a model of 66 characters, 4 M parameters | SmolLM2-135M-Instruct |
| --- | --- | --- |
| 8 bits, 7 bits for a batch (torch's `quantize_dynamic`) | 0.7 %, 0.955 | 170 %, 0.43 |
| 8 bits, 8 bits for a batch | 0.1 %, 0.975 | 63 %, 0.58 |
| 7 bits, 8 bits for a row | 0.0 %, 0.990 | 3.2 %, 0.87 |
| 8 bits, exact | 0.0 %, 0.996 | 0.6 %, 0.96 |
| 7.6 bits, 8 bits for a row: this | 0.04 %, 0.992 | 1.8 %, 0.88 |

On texts that SmolLM2 writes itself the most likely token stays the same in 0.93 of 512 cases.

Processors without VNNI add two products of bytes in 16 bits, and saturate silently. 2 * 255 * 127 does not fit; so
weights are scaled such that no two neighbours add up to more than 128: half of SmolLM2's outputs keep 7.6 bits, all
keep 7.

torch's access to fbgemm, which has the fastest such product on x86, is deprecated and may be removed: only this module
uses it, and without it (ARM) networks stay as they are. These layers are for inference on the CPU; gradients need the
original ones.
"""

# N rows, I features in, O features out, V vocabulary, D width

from __future__ import annotations

import copy
import functools
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)

STEPS = 255  # of an activation: an unsigned byte
MOST = 127  # the largest weight, or sum of two neighbours, before rounding adds 1: 255 * 128 fits 16 bits
ROWS = 512  # of a matrix that are quantised at once
LARGE = 32 * 2**20  # bytes of a network's linear layers; smaller ones stay in the processor's cache
FASTER_BELOW = 0.8  # share of the single-precision time below which int8 is chosen
UNAVAILABLE = (RuntimeError, AttributeError, NotImplementedError)  # what torch raises for a missing kernel

M = TypeVar("M", bound=nn.Module)


@runtime_checkable
class Tied(Protocol):
    """A network whose output matrix is its embedding while `output` is `None`."""

    token_embedding: nn.Embedding
    output: nn.Module | None


@dataclass(frozen=True)
class Packed:
    """A matrix in fbgemm's layout. `nbytes` is its size, for those who count memory."""

    weight: Any
    nbytes: int


class Int8Linear(nn.Module):
    """`nn.Linear` with weights rounded to 8 bits; input and output in single precision.

    Raises one of `UNAVAILABLE` if this build of torch has no such product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """weight (O, I) and bias (O,) are copied."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        integers, scale, self.sums = quantise(weight.detach())  # sums (O,): what one step of all activations adds
        self.packed = pack(integers, scale)
        self.bias = None if bias is None else bias.detach().float().clone()  # (O,)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        rows = x.reshape(-1, self.in_features)  # (N, I)
        out = self._one(rows) if len(rows) == 1 else self._many(rows)  # (N, O)
        return out.view(*x.shape[:-1], self.out_features)

    def _one(self, rows: Tensor) -> Tensor:
        """A single row: torch's one scale for the batch is right."""
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self.packed.weight, False)
        return product if self.bias is None else product.add_(self.bias)

    def _many(self, rows: Tensor) -> Tensor:
        """The same row by row: x = (q + shift) * scale, q from 0 to 255, and 0 is one of the steps."""
        low, high = rows.amin(-1, keepdim=True).clamp_(max=0), rows.amax(-1, keepdim=True).clamp_(min=0)  # (N, 1)
        scale = (high - low).div_(STEPS).clamp_(min=1e-30)
        shift = (low / scale).round_()
        q = (rows / scale).sub_(shift)  # (N, I); the product rounds it
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(q, 1.0, 0, self.packed.weight)
        product.addcmul_(shift, self.sums)
        return product.mul_(scale) if self.bias is None else torch.addcmul(self.bias, product, scale)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


def quantise(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise a weight (O, I) so that no pair overflows: integers (O, I), scales (O,), and sums of each row (O,).

    Works in pieces that stay in the processor's cache, which is five times as fast.
    """
    pieces = [_quantise_rows(piece.float().contiguous()) for piece in torch.split(weight, ROWS)]
    integers, scale, sums = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return integers, scale, sums


def _quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    even = F.pad(weight, (0, weight.shape[1] % 2))  # an even number of columns
    pairs = even[:, ::2] + even[:, 1::2]  # (O, I / 2): what the processor adds up
    largest = torch.maximum(weight.abs().amax(1), pairs.abs().amax(1))  # (O,): of one, or of two with the same sign
    scale = (largest / MOST).clamp_(min=1e-30)
    rounded = (weight / scale[:, None]).round_()
    return rounded.to(torch.int8), scale, rounded.sum(1) * scale


def pack(integers: Tensor, scale: Tensor) -> Packed:
    """Integers (O, I) int8 and scales (O,) in fbgemm's layout."""
    engine = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, see the top of this file
        zeros = torch.zeros(len(scale), dtype=torch.int64)
        matrix = torch._make_per_channel_quantized_tensor(integers, scale.double(), zeros, 0)
        try:
            torch.backends.quantized.engine = "fbgemm"
            return Packed(torch.ops.quantized.linear_prepack(matrix, None), integers.nbytes)
        finally:
            torch.backends.quantized.engine = engine


def to_int8(network: M) -> M:
    """A copy whose linear layers, and a tied output matrix, are int8; a tied embedding is in half precision.

    It shares nothing with `network`: a norm that is mapped from a file would keep the whole file in memory.
    Returns `network` itself if there is no kernel for it.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    other = copy.deepcopy(network, shared)  # the modules are copied, the tensors not yet
    try:
        for module in list(other.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, Int8Linear(child.weight, child.bias))
            if isinstance(module, Tied) and module.output is None:
                matrix = module.token_embedding.weight.detach()  # (V, D)
                module.output = Int8Linear(matrix)
                module.token_embedding = nn.Embedding(len(matrix), matrix.shape[1], _weight=matrix.half(), _freeze=True)
    except UNAVAILABLE as problem:
        log.warning("8-bit products are not available, so the weights stay as they are: %s", problem)
        return network
    for module in other.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.clone())
    return other.eval()


def int8_is_faster(network: nn.Module) -> bool:
    """Whether a token takes clearly less time in int8, with torch's current threads; measured once, in 50 ms."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[0].weight.device.type != "cpu" or sum(m.weight.nbytes for m in layers) < LARGE:
        return False
    return _is_faster(torch.get_num_threads())


@functools.cache
@torch.inference_mode()
def _is_faster(threads: int) -> bool:
    """Measured on a product of GPT-2's size."""
    weight, x = torch.full((3072, 768), 0.01), torch.full((1, 768), 0.5)
    x[0, ::2] = -1.0
    try:
        layer = Int8Linear(weight)
        right = torch.allclose(layer(x), F.linear(x, weight), rtol=0.05)
        one, two = _milliseconds(lambda: F.linear(x, weight)), _milliseconds(lambda: layer(x))
    except UNAVAILABLE as problem:
        log.info("8-bit products are not available: %s", problem)
        return False
    log.info("3072 x 768 on %d threads: fp32 %.2f ms, int8 %.2f ms", threads, one, two)
    return right and two < FASTER_BELOW * one


def _milliseconds(call: Callable[[], Tensor]) -> float:
    call()
    times = []
    for _ in range(9):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
