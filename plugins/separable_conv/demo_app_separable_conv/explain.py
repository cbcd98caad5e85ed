"""What a network makes of a picture: its answer, where it looked, its filters, one of its sums written out.

Functions of the network and of the pixels that it sees. Importing this module imports no torch: the functions do.
"""

# C channels in, O channels out, H x W places, K kernel, L labels, S pixels of a side, N = H W

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from demo_app import InputError
from demo_app_separable_conv.seen import Array, Seen

if TYPE_CHECKING:
    from torch import Tensor

    from demo_app.nn.separable import Block, Unit
    from demo_app.nn.spatial import SpatialAttention
    from demo_app_separable_conv.classifier import Classifier
    from demo_app_separable_conv.model import ConvNet


def look(classifier: Classifier, picture: Image.Image, *, checkpoint: str = "") -> Seen:
    """Classify one RGB picture."""
    pixels = np.asarray(classifier.see(picture))
    x = classifier.read(pixels)
    started = time.perf_counter()
    probabilities = classifier.logits(x)[0].softmax(-1).cpu()
    milliseconds = 1000 * (time.perf_counter() - started)
    return Seen(
        checkpoint=checkpoint,
        labels=classifier.labels,
        probabilities=probabilities.numpy(),
        pixels=pixels,
        picture=np.asarray(middle(picture, classifier.config.crop / classifier.config.resize)),
        parameters=classifier.parameters,
        milliseconds=milliseconds,
    )


def middle(picture: Image.Image, share: float) -> Image.Image:
    """The square in the middle whose side is that share of the shorter side: what a centre crop sees, not resized."""
    side = max(1, round(min(picture.size) * share))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def blocks(network: ConvNet) -> list[Block]:
    """The network's blocks, in their order."""
    from demo_app.nn.separable import Block

    return [step for step in network.steps() if isinstance(step, Block)]


def block_widths(network: ConvNet) -> list[int]:
    """The number of channels after each block."""
    return [block.units()[-1].conv.out_channels for block in blocks(network)]


def index_of(number: str, network: ConvNet) -> int:
    """The index of a block by its number from 1. Raises `InputError` for one that the network does not have."""
    count = len(blocks(network))
    if not str(number).isdecimal() or not 1 <= int(number) <= count:
        raise InputError(
            "There is no block {number}; choose one from 1 to {last}.", number=repr(str(number)[:20]), last=count
        )
    return int(number) - 1


def grad_cam(network: ConvNet, x: Tensor, label: int, block: int) -> Array:
    """Which places of a block's output speak for a label: (H, W) from 0 to 1. x (1, 3, S, S).

    The channels are weighted by the mean gradient of the label's logit and summed; negative sums become zero, and the
    largest becomes one (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2). All zero if no
    place speaks for the label.
    """
    import torch

    chosen = blocks(network)[block]
    steps = iter(network.steps())
    with torch.no_grad():
        for step in steps:
            x = through(step, x)
            if step is chosen:
                break
    with torch.enable_grad():
        features = x.detach().requires_grad_()  # (1, C, H, W)
        x = features
        for step in steps:
            x = through(step, x)
        logits = network.classifier(x.mean(dim=(2, 3)))  # (1, L)
        (gradient,) = torch.autograd.grad(logits[0, label], features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (1, C, 1, 1)
    map_ = (weights * features.detach()).sum(dim=1)[0].relu()  # (H, W)
    map_ = map_ / map_.max().clamp(min=1e-12)
    return map_.float().cpu().numpy()  # type: ignore[no-any-return]


def through(step: Unit | Block | SpatialAttention, x: Tensor) -> Tensor:
    """One step of the network, (1, C, H, W) to (1, O, H', W')."""
    y = step(x)
    return y[0] if isinstance(y, tuple) else y


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The two halves of a separable block, and what they make of a picture. BatchNorm is folded into both."""

    block: int  # from 0
    filters: Array  # (C, K, K), of the depthwise convolution
    filtered: Array  # (C, H, W), the input of the pointwise convolution
    weights: Array  # (O, C), of the pointwise convolution
    shifts: Array  # (O,)
    mixed: Array  # (O, H, W), its output, before skip connection and activation


def look_inside(network: ConvNet, x: Tensor, block: int) -> Inside | None:
    """The depthwise and the pointwise half of a block; `None` for one with a standard convolution. x (1, 3, S, S)."""
    import torch

    from demo_app.nn.separable import Dense, fold

    chosen = blocks(network)[block]
    if isinstance(chosen, Dense):
        return None
    with torch.inference_mode():
        for step in network.steps():
            if step is chosen:
                break
            x = through(step, x)
        *_, depthwise, pointwise = units = chosen.units()
        for unit in units[:-1]:
            x = unit(x)
        filters, _ = fold(depthwise.conv, depthwise.bn)  # (C, 1, K, K)
        weights, shifts = fold(pointwise.conv, pointwise.bn)  # (O, C, 1, 1), (O,)
        mixed = pointwise.bn(pointwise.conv(x))
        arrays = (filters[:, 0], x[0], weights[:, :, 0, 0], shifts, mixed[0])
        filters, filtered, weights, shifts, mixed = (array.float().cpu().numpy() for array in arrays)
    return Inside(block=block, filters=filters, filtered=filtered, weights=weights, shifts=shifts, mixed=mixed)


@dataclass(frozen=True, kw_only=True)
class Sum:
    """An output channel at one place, as the pointwise convolution computes it: sum of weight x value, plus a shift."""

    channel: int  # of the output
    row: int
    column: int
    order: tuple[int, ...]  # input channels by the magnitude of weight x value, the largest first
    weights: Array  # (C,) in that order
    values: Array  # (C,) in that order
    shift: float
    total: float  # the sum of weights * values, plus the shift
    network: float  # what convolution and BatchNorm computed there

    @property
    def products(self) -> Array:
        """(C,) in that order."""
        return self.weights * self.values


def write_out(inside: Inside, channel: int, row: int | None = None, column: int | None = None) -> Sum:
    """The sum behind a channel at a place, by default the strongest. Raises `InputError` for a place out of range."""
    channels, height, width = inside.mixed.shape
    check_index(channel, "channel", channels)
    strongest = divmod(int(np.abs(inside.mixed[channel]).argmax()), width)
    row, column = strongest[0] if row is None else row, strongest[1] if column is None else column
    check_index(row, "row", height)
    check_index(column, "column", width)
    weights, values = inside.weights[channel], inside.filtered[:, row, column]
    order = np.argsort(-np.abs(weights * values), kind="stable")
    shift = float(inside.shifts[channel])
    return Sum(
        channel=channel,
        row=row,
        column=column,
        order=tuple(order.tolist()),
        weights=weights[order],
        values=values[order],
        shift=shift,
        total=float(np.dot(weights.astype(np.float64), values.astype(np.float64))) + shift,
        network=float(inside.mixed[channel, row, column]),
    )


def check_index(index: int, name: str, count: int) -> None:
    """Raises `InputError` unless 0 <= index < count."""
    if not isinstance(index, int) or not 0 <= index < count:
        raise InputError(
            "There is no {name} {index}; choose one from 0 to {last}.", name=name, index=index, last=count - 1
        )


def attention_of(network: ConvNet, x: Tensor) -> Array:
    """The attention weights (H, W, H, W) of each place (the first two axes) over all; they sum to 1. x (1, 3, S, S).

    Raises `InputError` for a network without attention.
    """
    import torch

    from demo_app.nn.spatial import SpatialAttention

    with torch.inference_mode():
        for step in network.steps():
            if isinstance(step, SpatialAttention):
                _, weights = step(x, need_weights=True)  # (1, N, N)
                size = x.shape[-2:]
                return weights[0].unflatten(0, size).unflatten(2, size).float().cpu().numpy()  # type: ignore[no-any-return]
            x = through(step, x)
    raise InputError("This checkpoint has no attention; choose the one that has.")
