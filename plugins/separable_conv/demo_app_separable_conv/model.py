"""Convolutional networks from a config: a stem, stages of blocks, a global mean, a linear map.

The embedded ones are for pictures of 32 x 32; `published.py` has the configs of MobileNetV1, MobileNetV2 and
EfficientNet-Lite0. A network's `twin` has standard convolutions of the same widths in place of separable ones.
"""

# B batch, C channels, H x W places, N = H W, L labels

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from demo_app.nn import stages
from demo_app.nn.separable import (
    ACTIVATIONS,
    Block,
    Dense,
    DepthwiseSeparable,
    InvertedResidual,
    Unit,
    convolution,
)
from demo_app.nn.spatial import SpatialAttention

BLOCKS = ("separable", "dense", "inverted")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks of one width; the first has the stride."""

    width: int
    block: str = "separable"  # of `BLOCKS`
    repeats: int = 1
    stride: int = 1
    kernel: int = 3
    expand: int = 6  # inverted only: the width of the middle as a multiple of the input's
    middle: bool = True  # separable only: an activation between depthwise and pointwise
    last: bool = True  # separable and dense only: an activation after the block
    skip: bool = True  # the block's input is added to its output where shapes allow

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise ValueError(f"block {self.block!r} is unknown; choose one of: {', '.join(BLOCKS)}.")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The content of config.json: all that is needed to build the network and to prepare a picture for it."""

    labels: tuple[str, ...]  # name of each class, in the order of the logits
    stem: int  # channels after the first convolution
    stages: tuple[Stage, ...]
    stem_stride: int = 2
    head: int = 0  # channels of a last pointwise convolution; 0: no such convolution
    attention: int | None = None  # index of the stage that self-attention follows; None: no attention
    activation: str = "relu6"  # of `demo_app.nn.separable.ACTIVATIONS`
    padding: str = "symmetric"  # or "same", TensorFlow's
    norm_eps: float = 1e-5
    resize: int = 256  # pixels of the shorter side before the crop
    crop: int = 224  # pixels of the square that the network sees
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # subtracted from red, green, blue in 0..1
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)  # divides the result
    mirror: bool = False  # in inference, average the logits of a picture and of its mirror image
    shift: int = 0  # in inference, also view the picture shifted by so many pixels, up left and down right

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise ValueError("labels must name at least two classes.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is unknown; choose one of: {', '.join(ACTIVATIONS)}.")
        if not 0 <= self.shift < self.crop:
            raise ValueError(f"shift {self.shift} is out of range; choose 0 to {self.crop - 1} pixels.")
        if self.attention is not None and not 0 <= self.attention < len(self.stages):
            raise ValueError(f"attention {self.attention} is no stage; choose one from 0 to {len(self.stages) - 1}.")

    @property
    def views(self) -> int:
        """The number of views of a picture in inference."""
        return 1 + self.mirror + 2 * (self.shift > 0)


def twin(config: Config) -> Config:
    """The same network with standard convolutions where it has separable ones."""
    dense = (replace(stage, block="dense") if stage.block == "separable" else stage for stage in config.stages)
    return replace(config, stages=tuple(dense))


@dataclass(frozen=True)
class Trace:
    """Intermediate results."""

    inputs: tuple[Tensor, ...]  # of each block, (B, C, H, W)
    convolved: tuple[tuple[Tensor, ...], ...]  # outputs of each block's convolutions, before BatchNorm
    features: Tensor  # (B, C, H, W), the input of the global mean; in the autograd graph
    attention: Tensor | None  # (B, N, N) of `SpatialAttention`, rows sum to 1


@dataclass(frozen=True)
class Output:
    """What the network returns."""

    logits: Tensor  # (B, L)
    trace: Trace | None = None


def make_block(channels: int, stage: Stage, stride: int, config: Config) -> Block:
    """A block of a stage, for an input of so many channels."""
    common = {
        "kernel": stage.kernel,
        "stride": stride,
        "skip": stage.skip,
        "padding": config.padding,
        "eps": config.norm_eps,
    }
    last = config.activation if stage.last else "none"
    if stage.block == "dense":
        return Dense(channels, stage.width, last=last, **common)
    middle = config.activation if stage.middle else "none"
    if stage.block == "separable":
        return DepthwiseSeparable(channels, stage.width, middle=middle, last=last, **common)
    return InvertedResidual(channels, stage.width, expand=stage.expand, middle=middle, **common)


class ConvNet(nn.Module):
    """Pictures to logits. `forward` stores nothing on the module, so threads may share one network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.conv_stem = convolution(3, config.stem, 3, stride=config.stem_stride, padding=config.padding)
        self.bn1 = nn.BatchNorm2d(config.stem, config.norm_eps)
        self.blocks, channels = nn.ModuleList(), config.stem
        for stage in config.stages:
            blocks = nn.ModuleList()
            for place in range(stage.repeats):
                blocks.append(make_block(channels, stage, stage.stride if place == 0 else 1, config))
                channels = stage.width
            self.blocks.append(blocks)
        self.attention = None
        if config.attention is not None:
            self.attention = SpatialAttention(config.stages[config.attention].width)
        self.conv_head, self.bn2 = None, None
        if config.head:
            self.conv_head = convolution(channels, config.head, 1)
            self.bn2, channels = nn.BatchNorm2d(config.head, config.norm_eps), config.head
        self.classifier = nn.Linear(channels, len(config.labels))

    def steps(self) -> Iterator[Unit | Block | SpatialAttention]:
        """Stem, blocks, attention and head in their order, before the global mean and the classifier."""
        yield Unit(self.conv_stem, self.bn1, self.config.activation)
        for place, stage in enumerate(self.blocks):
            yield from stage
            if self.attention is not None and place == self.config.attention:
                yield self.attention
        if self.conv_head is not None:
            yield Unit(self.conv_head, self.bn2, self.config.activation)

    def stages(self) -> list[stages.Stage]:
        """The network in stages, of which frozen ones need to be computed only once."""

        def applied(step: Unit | Block | SpatialAttention) -> stages.Stage:
            if isinstance(step, SpatialAttention):
                return stages.Stage(lambda x: step(x)[0], (step,))
            return stages.Stage(step, (step.conv, step.bn) if isinstance(step, Unit) else (step,))

        mean = stages.Stage(lambda x: x.mean(dim=(2, 3)), ())
        return [*map(applied, self.steps()), mean, stages.Stage(self.classifier, (self.classifier,))]

    def forward(self, x: Tensor, *, trace: bool = False) -> Output:
        """x (B, 3, H, W), normalised with the config's mean and std, to logits (B, L).

        `trace` returns intermediate results too; gradients with respect to `trace.features` work for frozen networks.
        """
        inputs: list[Tensor] = []
        convolved: list[tuple[Tensor, ...]] = []
        attention = None
        for step in self.steps():
            match step:
                case Block():
                    seen: list[Tensor] = []
                    inputs += [x] if trace else []
                    x = step(x, trace=seen if trace else None)
                    convolved += [tuple(seen)] if trace else []
                case SpatialAttention():
                    x, attention = step(x, need_weights=trace)
                case Unit():
                    x = step(x)
        if trace:
            x = x.detach().clone() if not x.requires_grad else x
            if x.is_leaf and not x.is_inference():
                x.requires_grad_()
        logits = self.classifier(x.mean(dim=(2, 3)))  # (B, L)
        return Output(logits, Trace(tuple(inputs), tuple(convolved), x, attention) if trace else None)
