"""Convolution blocks: dense, depthwise-separable, inverted residual.

A dense convolution filters a K x K neighbourhood of all channels at once. The depthwise-separable one splits this: one
K x K filter per channel filters space (depthwise), then a 1 x 1 convolution mixes the channels (pointwise); Sifre 2014
(https://arxiv.org/abs/1403.1687), MobileNet (Howard et al. 2017, https://arxiv.org/abs/1704.04861). The inverted
residual widens before it filters and narrows after (MobileNetV2, Sandler et al. 2018, https://arxiv.org/abs/1801.04381).
Module names are those of PyTorch Image Models (timm), so that its published weights need no renaming.
"""

# B batch, C channels in, O channels out, M channels in the middle, H x W positions, K kernel

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "relu6": F.relu6, "none": lambda x: x}
PADDINGS = ("symmetric", "same")


class Conv2dSame(nn.Conv2d):
    """TensorFlow's SAME padding: as the input's size needs; if that is odd, more on the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, ceil(H / stride), ceil(W / stride))."""
        return super().forward(F.pad(x, self.padding_of(x.shape[-2], x.shape[-1])))

    def padding_of(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Pixels of padding: left, right, top, bottom."""
        left, right = _same(width, self.kernel_size[1], self.stride[1])
        top, bottom = _same(height, self.kernel_size[0], self.stride[0])
        return left, right, top, bottom


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return missing // 2, missing - missing // 2


def convolution(
    channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, padding: str = "symmetric"
) -> nn.Conv2d:
    """A convolution without bias, since a BatchNorm follows. Raises `ValueError` for an unknown padding."""
    if padding not in PADDINGS:
        raise ValueError(f"padding {padding!r} is unknown; choose one of: {', '.join(PADDINGS)}.")
    if padding == "same" and stride > 1:  # with stride 1 and an odd kernel both paddings are the same
        return Conv2dSame(channels, out, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)


class Unit(NamedTuple):
    """One step of a block: convolution, BatchNorm, activation. `fused` reads blocks this way."""

    conv: nn.Conv2d
    bn: nn.BatchNorm2d
    activation: str  # of `ACTIVATIONS`

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, H / stride, W / stride)."""
        return ACTIVATIONS[self.activation](self.bn(self.conv(x)))


class Block(nn.Module):
    """Units in sequence; with `skip` the input is added, and `last` is the activation after that.

    Subclasses define the units and name their modules.
    """

    skip: bool
    last: str

    def units(self) -> list[Unit]:
        raise NotImplementedError

    def forward(self, x: Tensor, *, trace: list[Tensor] | None = None) -> Tensor:
        """(B, C, H, W) to (B, O, H / stride, W / stride); each unit's convolution
        output is appended to `trace`.
        """
        y = x
        for conv, bn, activation in self.units():
            y = conv(y)
            if trace is not None:
                trace.append(y)
            y = ACTIVATIONS[activation](bn(y))
        return ACTIVATIONS[self.last](y + x if self.skip else y)


class Dense(Block):
    """The standard convolution: every output channel has a K x K filter of its own for every input channel."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        last: str = "relu",
        skip: bool = True,
        padding: str = "symmetric",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = convolution(channels, out, kernel, stride=stride, padding=padding)
        self.bn1 = nn.BatchNorm2d(out, eps)
        self.skip, self.last = skip and stride == 1 and channels == out, last

    def units(self) -> list[Unit]:
        return [Unit(self.conv, self.bn1, "none")]


class DepthwiseSeparable(Block):
    """Depthwise, then pointwise.

    `middle` is the activation between the two: MobileNet has one; Xception (Chollet 2017,
    https://arxiv.org/abs/1610.02357, section 4.7) trained faster and better without it. Without it, the block is linear
    up to `last`, and equal to a `Dense` block with the kernel of `composed_kernel`.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        middle: str = "relu6",
        last: str = "relu6",
        skip: bool = True,
        padding: str = "symmetric",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv_dw = convolution(channels, channels, kernel, stride=stride, groups=channels, padding=padding)
        self.bn1 = nn.BatchNorm2d(channels, eps)
        self.conv_pw = convolution(channels, out, 1)
        self.bn2 = nn.BatchNorm2d(out, eps)
        self.middle, self.last, self.skip = middle, last, skip and stride == 1 and channels == out

    def units(self) -> list[Unit]:
        return [Unit(self.conv_dw, self.bn1, self.middle), Unit(self.conv_pw, self.bn2, "none")]


class InvertedResidual(Block):
    """Widen to M channels (pointwise), filter there (depthwise), narrow (pointwise, linear), add the input."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        expand: int = 6,
        kernel: int = 3,
        stride: int = 1,
        middle: str = "relu6",
        skip: bool = True,
        padding: str = "symmetric",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        inner = channels * expand  # M
        self.conv_pw = convolution(channels, inner, 1)
        self.bn1 = nn.BatchNorm2d(inner, eps)
        self.conv_dw = convolution(inner, inner, kernel, stride=stride, groups=inner, padding=padding)
        self.bn2 = nn.BatchNorm2d(inner, eps)
        self.conv_pwl = convolution(inner, out, 1)
        self.bn3 = nn.BatchNorm2d(out, eps)
        self.middle, self.last, self.skip = middle, "none", skip and stride == 1 and channels == out

    def units(self) -> list[Unit]:
        return [
            Unit(self.conv_pw, self.bn1, self.middle),
            Unit(self.conv_dw, self.bn2, self.middle),
            Unit(self.conv_pwl, self.bn3, "none"),
        ]


def composed_kernel(depthwise: Tensor, pointwise: Tensor) -> Tensor:
    """The dense kernel that does both steps at once, if there is no activation between them.

    depthwise (C, 1, K, K), pointwise (O, C, 1, 1); returns (O, C, K, K): K^2 C O numbers, of which only C (K^2 + O) are
    free: that is the saving.
    """
    return pointwise * depthwise.transpose(0, 1)


def fold(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (O, C / groups, K, K) and bias (O,) of the one convolution that equals both in evaluation.

    BatchNorm is y = (x - mean) / sqrt(variance + eps) * gain + shift, with fixed numbers after training: a scale
    and a shift for each output channel (Jacob et al. 2017, https://arxiv.org/abs/1712.05877, section 3.2).
    """
    assert bn.running_var is not None
    assert bn.running_mean is not None
    scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)  # (O,)
    bias = bn.bias - bn.running_mean * scale  # (O,)
    if conv.bias is not None:
        bias = bias + conv.bias * scale
    return conv.weight * scale[:, None, None, None], bias
