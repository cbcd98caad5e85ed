"""What a network makes of a picture: its answer, where it looked, its filters, one of its sums written out.

Functions of the network and of the pixels that it sees, without memory: a session keeps those (`Seen`), and what is
drawn of them is computed when it is asked for. Torch is imported then, so that the tab can use `Seen` without it.
"""

# C channels in, O channels out, H x W places, K kernel, L labels, S pixels of a side, N = H W

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo_app import InputError
from demo_app.api import display_name

if TYPE_CHECKING:
    from torch import Tensor

    from demo_app.nn.separable import Block, Unit
    from demo_app.nn.spatial import SpatialAttention
    from demo_app_separable_conv.classifier import Classifier
    from demo_app_separable_conv.model import ConvNet

Array = NDArray[np.float32]

SHOWN = 384  # pixels of a side at which a picture is shown


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture and the answer to it: all that a session keeps."""

    checkpoint: str
    labels: tuple[str, ...]
    probabilities: Array  # (L,)
    pixels: NDArray[np.uint8]  # (S, S, 3), what the network saw
    picture: NDArray[np.uint8]  # the same part as it was decoded, (P, P, 3)
    parameters: int
    milliseconds: float  # of the forward pass

    @property
    def answer(self) -> str:
        return self.labels[int(self.probabilities.argmax())]

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest labels with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order.tolist()]

    def shown(self) -> Seen:
        """With the picture at the size at which it is shown."""
        if self.picture.shape[0] == SHOWN:
            return self
        picture = Image.fromarray(self.picture).resize((SHOWN, SHOWN), Image.Resampling.BICUBIC)
        return replace(self, picture=np.asarray(picture))

    def place(self, label: str) -> int:
        """Of a label among the logits. Raises `InputError` for one that is unknown."""
        if label not in self.labels:
            raise InputError(
                f"{display_name(self.checkpoint)} has no label {str(label)[:40]!r}; choose one from the list."
            )
        return self.labels.index(label)


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
    """The square in the middle whose side is that share of the shorter side: what a centre crop sees, unreduced."""
    side = max(1, round(min(picture.size) * share))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def blocks(network: ConvNet) -> list[Block]:
    """The places at which one can look, in their order."""
    from demo_app.nn.separable import Block

    return [step for step in network.steps() if isinstance(step, Block)]


def block_names(network: ConvNet) -> list[str]:
    return [f"{block.units()[-1].conv.out_channels} channels" for block in blocks(network)]


def index_of(number: str, network: ConvNet) -> int:
    """From a block's number, from 1, to its index. Raises `InputError` for one that the network does not have."""
    count = len(blocks(network))
    if not str(number).isdecimal() or not 1 <= int(number) <= count:
        raise InputError(f"There is no block {str(number)[:20]!r}; choose one from 1 to {count}.")
    return int(number) - 1


def grad_cam(network: ConvNet, x: Tensor, label: int, block: int) -> Array:
    """Which places of a block's output speak for a label: (H, W) from 0 to 1.

    Each channel counts as much as the label's logit rises with it, averaged over places; what is left of the sum of the
    channels above zero is divided by its largest value (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391,
    equations 1 and 2). All zero where nothing speaks for it. x (1, 3, S, S).
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
    """What the two halves of one separable block make of a picture; BatchNorm is folded into both."""

    block: int  # from 0
    filters: Array  # (C, K, K), the depthwise ones
    filtered: Array  # (C, H, W), what the pointwise convolution reads
    weights: Array  # (O, C), the pointwise ones
    shifts: Array  # (O,)
    mixed: Array  # (O, H, W), what it gives, before the block's input is added and its activation


def look_inside(network: ConvNet, x: Tensor, block: int) -> Inside | None:
    """The depthwise and the pointwise half of a block; None for one with a standard convolution. x (1, 3, S, S)."""
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
    """One output channel at one place, as the pointwise convolution adds it up: sum of weight x value, plus a shift."""

    channel: int  # of the output
    row: int
    column: int
    order: tuple[int, ...]  # input channels, those that add or take away most first
    weights: Array  # (C,) in that order
    values: Array  # (C,) in that order
    shift: float
    total: float  # of weights * values, and the shift
    network: float  # what the convolution and BatchNorm gave there

    @property
    def products(self) -> Array:
        return self.weights * self.values


def write_out(inside: Inside, channel: int, row: int | None = None, column: int | None = None) -> Sum:
    """The sum behind a channel at a place, by default where it is strongest. Raises `InputError` for no such place."""
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
    if not isinstance(index, int) or not 0 <= index < count:
        raise InputError(f"There is no {name} {index}; choose one from 0 to {count - 1}.")


def attention_of(network: ConvNet, x: Tensor) -> Array:
    """Who looks at whom: (H, W, H, W), the first two the place that looks; sums over the last two are 1.

    Raises `InputError` for a network without attention. x (1, 3, S, S).
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
