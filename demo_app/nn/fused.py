"""Faster convolutional networks on a CPU: BatchNorm folded in; bias, skip and activation fused into the convolution.

oneDNN has such convolutions, for channels-last layout and weights that were packed for a number of threads. torch
offers them as `torch.ops.mkldnn`, for its compiler; they are private, so their results are compared once with the plain
operations, which are used if they are missing, fail, or differ.

One picture is computed by all threads together, except for convolutions that are too small to share. Of several
pictures each thread computes its own: no waiting for each other after every layer, and what a layer writes is still in
the core's cache when the next one reads it.
"""

# B batch, C channels in, O channels out, H x W positions

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from demo_app import machine
from demo_app.nn.separable import ACTIVATIONS, Block, Conv2dSame, Unit, fold
from demo_app.nn.spatial import SpatialAttention

log = logging.getLogger(__name__)

ATTRIBUTES: dict[str, tuple[str | None, list[float]]] = {  # oneDNN's names of activations, and their numbers
    "none": (None, []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}
WORTH_SHARING = 50e6  # multiply-adds above which a second thread is faster
PIECE = 100e6  # multiply-adds of the pictures that a thread computes at a time
TOLERANCE = 1e-4  # of fused to plain results, relative to the largest value


@dataclass(frozen=True)
class Convolution:
    """One convolution and the operations on its result."""

    weight: Tensor  # (O, C / groups, K, K), BatchNorm folded in
    packed: Tensor | None  # the same in oneDNN's layout; None: plain operations
    bias: Tensor  # (O,)
    stride: list[int]
    padding: list[int]
    same: Conv2dSame | None  # then padding depends on the size of the input instead
    groups: int
    activation: str
    adds: bool  # whether the block's input is added before the activation
    threads: int = 1  # that it is packed for

    def __call__(self, x: Tensor, skip: Tensor) -> Tensor:
        """x (B, C, H, W), skip (B, O, H', W'), used only if `adds`; returns (B, O, H', W').

        Leaves torch's number of threads changed.
        """
        if self.same is not None:
            x = F.pad(x, self.same.padding_of(x.shape[-2], x.shape[-1]))
        if self.packed is None or x.shape[-2:].numel() == 1:  # oneDNN in torch 2.8 fails on a single position
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
            return ACTIVATIONS[self.activation](y + skip if self.adds else y)
        torch.set_num_threads(self.threads)  # takes nanoseconds
        alone = self.adds and self.activation not in ("none", "relu")  # cannot be fused with an addition
        name, numbers = ATTRIBUTES["none" if alone else self.activation]
        shape = (self.padding, self.stride, [1, 1], self.groups)
        ops = torch.ops.mkldnn._convolution_pointwise
        if self.adds:
            y = ops.binary(x, skip, self.packed, self.bias, *shape, "add", 1.0, name, numbers, "")
        else:
            y = ops.default(x, self.packed, self.bias, *shape, name or "none", numbers, "")
        return ACTIVATIONS[self.activation](y) if alone else y


Blocks = list[list[Convolution] | SpatialAttention]


class Fused:
    """The convolutional part of a network in evaluation mode: pictures in, features out. Thread-safe."""

    def __init__(self, steps: Iterable[Unit | Block | SpatialAttention], size: int) -> None:
        """`steps` in the order in which the network computes them; `size` is the usual number of pixels of a side."""
        self.steps = list(steps)
        self.plain = [_convolutions(step) for step in self.steps]
        self.works = _on_cpu(self.steps)
        first = next(conv for block in self.plain if not isinstance(block, SpatialAttention) for conv in block)
        self.shape = (1, first.weight.shape[1] * first.groups, size, size)  # of one usual picture
        self.work = _multiply_adds(self.plain, torch.zeros(self.shape)) if self.works else 0
        self._packed: dict[int, Blocks] = {}  # by number of threads
        self._lock = threading.Lock()

    def __call__(self, x: Tensor, threads: int | None = None) -> Tensor:
        """(B, C, H, W) to features (B, O, H', W'); default `threads`: as many as the machine has and the work needs."""
        if not self.works:
            return _run(self.plain, x)
        work = self.work * x[0].numel() / math.prod(self.shape)  # of one picture
        if threads is None:
            threads = self._threads_for(work * len(x))
        pieces = x.split(max(1, round(PIECE / work)))  # type: ignore[no-untyped-call]
        if threads == 1 or len(x) == 1:
            with _threads(threads):
                return torch.cat([_run(self.blocks(threads), piece) for piece in pieces])
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(partial(_run, self.blocks(1)), pieces)))

    def pack(self) -> None:
        """Pack the weights now, so that the first pictures need not wait."""
        self.blocks(1)
        self.blocks(self._threads_for(self.work))

    def _threads_for(self, work: float) -> int:
        return machine.threads() if work > WORTH_SHARING else 1

    def blocks(self, threads: int) -> Blocks:
        """The convolutions, packed for that many threads on first use, or the plain ones."""
        if not self.works:
            return self.plain
        with self._lock:
            if threads not in self._packed:
                self._packed[threads] = self._pack(threads)
            return self._packed[threads]

    @torch.inference_mode()
    def _pack(self, threads: int) -> Blocks:
        """Packed convolutions if their result equals that of the plain ones, else those."""
        x = torch.randn(self.shape, generator=torch.Generator().manual_seed(0))
        try:
            with _threads(threads):
                packed, y = _pack_along(self.plain, x, threads)
            expected = _run(self.plain, x)
            difference = float((y - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
            if difference <= TOLERANCE:
                return packed
            log.warning("fused convolutions differ by %.1e from plain ones, which are used", difference)
        except (RuntimeError, AttributeError) as error:  # private operations may change; includes NotImplementedError
            log.warning("fused convolutions cannot be used, plain ones are: %s", str(error).split("\n")[0])
        self.works = False
        return self.plain


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch uses that many threads in this context, in the calling thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def _multiply_adds(plain: Blocks, x: Tensor) -> int:
    """Multiply-adds of one run on x."""
    total, meta = 0, x.to("meta")
    for block in plain:
        if isinstance(block, SpatialAttention):
            continue  # keeps the shape; little work beside the convolutions
        for conv in block:
            meta = replace(conv, weight=conv.weight.to("meta"), bias=conv.bias.to("meta"), adds=False)(meta, meta)
            total += meta.numel() * conv.weight[0].numel()
    return total


@torch.inference_mode()
def _run(blocks: Blocks, x: Tensor) -> Tensor:
    x = _channels_last(x)
    for block in blocks:
        if isinstance(block, SpatialAttention):
            x = _channels_last(block(x)[0])
        else:
            skip = x
            for conv in block:
                x = conv(x, skip)
    return x


def _pack_along(plain: Blocks, x: Tensor, threads: int) -> tuple[Blocks, Tensor]:
    """Run an example and pack each convolution for its input; returns the packed ones and the result."""
    x = _channels_last(x)
    packed: Blocks = []
    for block in plain:
        if isinstance(block, SpatialAttention):
            packed.append(block)
            x = _channels_last(block(x)[0])
        else:
            skip, convs = x, []
            for conv in block:
                convs.append(_packed(conv, x, threads))
                x = convs[-1](x, skip)
            packed.append(convs)
    return packed, x


def _channels_last(x: Tensor) -> Tensor:
    """In channels-last layout on a CPU, where these convolutions need it."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def _on_cpu(steps: Iterable[Unit | Block | SpatialAttention]) -> bool:
    """Whether the network is on a CPU that has oneDNN."""
    modules = [step.conv if isinstance(step, Unit) else step for step in steps]
    devices = {parameter.device.type for module in modules for parameter in module.parameters()}
    return devices == {"cpu"} and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _convolutions(step: Unit | Block | SpatialAttention) -> list[Convolution] | SpatialAttention:
    if isinstance(step, SpatialAttention):
        return step
    if isinstance(step, Unit):
        return [_convolution(step, step.activation, adds=False)]
    *first, last = step.units()
    return [
        *(_convolution(unit, unit.activation, adds=False) for unit in first),
        _convolution(last, step.last, adds=step.skip),
    ]


def _convolution(unit: Unit, activation: str, *, adds: bool) -> Convolution:
    weight, bias = fold(unit.conv, unit.bn)
    same = unit.conv if isinstance(unit.conv, Conv2dSame) else None
    return Convolution(
        weight=weight.detach().contiguous(memory_format=torch.channels_last),
        packed=None,
        bias=bias.detach(),
        stride=list(unit.conv.stride),
        padding=list(unit.conv.padding) if same is None else [0, 0],  # type: ignore[arg-type]  # never a string here
        same=same,
        groups=unit.conv.groups,
        activation=activation,
        adds=adds,
    )


def _packed(conv: Convolution, x: Tensor, threads: int) -> Convolution:
    """Packed for an input of that shape and at most that many threads."""
    height, width = x.shape[-2:]
    if conv.same is not None:
        left, right, top, bottom = conv.same.padding_of(height, width)
        height, width = height + top + bottom, width + left + right
    shape = [*x.shape[:2], height, width]
    work = conv.weight[0].numel() * conv.weight.shape[0] * height * width // (conv.stride[0] * conv.stride[1])
    if work < min_parallel_work():
        threads = 1
    torch.set_num_threads(threads)
    pack = torch.ops.mkldnn._reorder_convolution_weight
    packed = pack(conv.weight, conv.padding, conv.stride, [1, 1], conv.groups, shape)
    return replace(conv, packed=packed, threads=threads)


def min_parallel_work() -> float:
    """Multiply-adds of one convolution above which several threads are faster.

    Threads that wait passively, as they should in a web server, must be woken for each convolution.
    """
    return 4e6 if os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE" else 0.6e6
