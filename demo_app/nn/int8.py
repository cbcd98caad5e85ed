"""Linear layers with weights in 8-bit integers, for decoding on a CPU, where a token costs the reading of all weights.

Each output has a scale of its own for its weights, and each row of activations one for its own 256 steps: so a row's
result does not depend on what else is in the batch. torch's dynamic quantisation has one scale for a whole batch, which
is as fast and of no use: in SmolLM2 the largest activation of a layer is up to 49,000 times the median one.
The rise of perplexity on plays of Shakespeare, and how often the likeliest token stays the same; the last row is this
module on 51,200 and 10,240 tokens, the others are computed in single precision on a part of them:

| weights, activations | a model of 66 characters, 4 M parameters | SmolLM2-135M-Instruct |
| --- | --- | --- |
| 8 bits, 7 bits for a batch (torch's `quantize_dynamic`) | 0.7 %, 0.955 | 170 %, 0.43 |
| 8 bits, 8 bits for a batch | 0.1 %, 0.975 | 63 %, 0.58 |
| 7 bits, 8 bits for a row | 0.0 %, 0.990 | 3.2 %, 0.87 |
| 8 bits, exact | 0.0 %, 0.996 | 0.6 %, 0.96 |
| 7.6 bits, 8 bits for a row: this | 0.04 %, 0.992 | 1.8 %, 0.88 |

On texts that SmolLM2 writes itself the likeliest token stays the same in 0.93 of 512 cases.

Processors without VNNI add two products of bytes in 16 bits, and cut what does not fit without a word. 2 * 255 * 127
does not; so weights are scaled such that no two neighbours together weigh more than 128: half of SmolLM2's outputs keep
7.6 bits, all keep 7.

torch's way to fbgemm, which has the fastest such product on x86, is deprecated and may go: it is used here alone, and
where it is missing (ARM) networks stay as they are. Gradients need the original: these layers only infer, on the CPU.
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
MOST = 127  # what a weight, or two neighbours together, may be before rounding adds 1: 255 * 128 fits 16 bits
ROWS = 512  # of a matrix that are rounded at once
LARGE = 32 * 2**20  # bytes of a network's linear layers below which they stay in the processor's cache
CLEARLY = 0.8  # of the time in single precision that int8 must stay below to be chosen
MISSING = (RuntimeError, AttributeError, NotImplementedError)  # what torch raises for a kernel that it does not have

M = TypeVar("M", bound=nn.Module)


@runtime_checkable
class Tied(Protocol):
    """A network whose output matrix is its embedding while `output` is `None`."""

    token_embedding: nn.Embedding
    output: nn.Module | None


@dataclass(frozen=True)
class Packed:
    """A matrix as fbgemm wants it. `nbytes` is what it holds, for those who count memory."""

    weight: Any
    nbytes: int


class Int8Linear(nn.Module):
    """What `nn.Linear` computes, with weights rounded to 8 bits. In and out in single precision.

    Raises one of `MISSING` where this build of torch has no such product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """weight (O, I), bias (O,): neither is held on to."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        integers, scale, self.sums = quantised(weight.detach())  # sums (O,): what a step of all activations adds
        self.packed = pack(integers, scale)
        self.bias = None if bias is None else bias.detach().float().clone()  # (O,)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        rows = x.reshape(-1, self.in_features)  # (N, I)
        out = self._one(rows) if len(rows) == 1 else self._many(rows)  # (N, O)
        return out.view(*x.shape[:-1], self.out_features)

    def _one(self, rows: Tensor) -> Tensor:
        """One scale for the batch is right where the batch is one row."""
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self.packed.weight, False)
        return product if self.bias is None else product.add_(self.bias)

    def _many(self, rows: Tensor) -> Tensor:
        """The same for each row: x = (q + shift) * scale, q from 0 to 255, and 0 is among the steps."""
        low, high = rows.amin(-1, keepdim=True).clamp_(max=0), rows.amax(-1, keepdim=True).clamp_(min=0)  # (N, 1)
        scale = (high - low).div_(STEPS).clamp_(min=1e-30)
        shift = (low / scale).round_()
        q = (rows / scale).sub_(shift)  # (N, I), rounded by the product
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(q, 1.0, 0, self.packed.weight)
        product.addcmul_(shift, self.sums)
        return product.mul_(scale) if self.bias is None else torch.addcmul(self.bias, product, scale)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


def quantised(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(O, I) to integers of which no pair exceeds what the product can add, what 1 stands for (O,), and sums (O,).

    In pieces that stay in the processor's cache: five times as fast.
    """
    pieces = [_quantised(piece.float().contiguous()) for piece in torch.split(weight, ROWS)]
    integers, scale, sums = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return integers, scale, sums


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    even = F.pad(weight, (0, weight.shape[1] % 2))  # in number
    pairs = even[:, ::2] + even[:, 1::2]  # (O, I / 2), as the processor adds them
    largest = torch.maximum(weight.abs().amax(1), pairs.abs().amax(1))  # (O,): of one, or of two of the same sign
    scale = (largest / MOST).clamp_(min=1e-30)
    rounded = (weight / scale[:, None]).round_()
    return rounded.to(torch.int8), scale, rounded.sum(1) * scale


def pack(integers: Tensor, scale: Tensor) -> Packed:
    """(O, I) int8 and (O,) for fbgemm."""
    engine = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, see above
        zeros = torch.zeros(len(scale), dtype=torch.int64)
        matrix = torch._make_per_channel_quantized_tensor(integers, scale.double(), zeros, 0)
        try:
            torch.backends.quantized.engine = "fbgemm"
            return Packed(torch.ops.quantized.linear_prepack(matrix, None), integers.nbytes)
        finally:
            torch.backends.quantized.engine = engine


def to_int8(network: M) -> M:
    """A copy whose linear layers, and a tied output matrix, are int8; such an embedding is in half precision.

    It shares nothing with `network`: a norm that is a window on a file would hold the whole file in memory.
    `network` itself comes back where there is no kernel for it.
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
    except MISSING as problem:
        log.warning("there are no 8-bit products here, so the weights stay as they are: %s", problem)
        return network
    for module in other.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.clone())
    return other.eval()


def int8_is_faster(network: nn.Module) -> bool:
    """Whether a token takes clearly less time in int8, with the threads that torch has now; tried once, in 50 ms."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[0].weight.device.type != "cpu" or sum(m.weight.nbytes for m in layers) < LARGE:
        return False
    return _is_faster(torch.get_num_threads())


@functools.cache
@torch.inference_mode()
def _is_faster(threads: int) -> bool:
    """By a product of the size of GPT-2's."""
    weight, x = torch.full((3072, 768), 0.01), torch.full((1, 768), 0.5)
    x[0, ::2] = -1.0
    try:
        layer = Int8Linear(weight)
        right = torch.allclose(layer(x), F.linear(x, weight), rtol=0.05)
        one, two = _milliseconds(lambda: F.linear(x, weight)), _milliseconds(lambda: layer(x))
    except MISSING as problem:
        log.info("there are no 8-bit products here: %s", problem)
        return False
    log.info("3072 x 768 on %d threads: fp32 %.2f ms, int8 %.2f ms", threads, one, two)
    return right and two < CLEARLY * one


def _milliseconds(call: Callable[[], Tensor]) -> float:
    call()
    times = []
    for _ in range(9):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
