"""What a convolution costs, standard and separable: counted, and measured on this machine.

Counting is arithmetic (Howard et al. 2017, https://arxiv.org/abs/1704.04861, section 3.1). Importing this module
imports no torch: the functions that run a convolution do.
"""

# C channels in, O channels out, K kernel, S pixels of a side

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_app import InputError, machine
from demo_app.i18n import say
from demo_app.inputs.numbers import whole_number

if TYPE_CHECKING:
    from demo_app_separable_conv.model import Config, ConvNet

KERNELS = (1, 3, 5, 7)
MAX_CHANNELS = 512
MAX_SIZE = 112
MAX_MULTIPLY_ADDS = 4 * 10**9  # of a convolution that is measured: about 0.1 s on two cores
LEAST_RUNS = 5
SECONDS = 0.8  # for one measurement
WIDTHS = (16, 32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The size of a convolution or a network."""

    multiply_adds: int  # for one picture
    parameters: int


def dense(kernel: int, channels: int, out: int, size: int) -> Cost:
    """The standard convolution, with stride 1, padding and no bias: each output reads all inputs."""
    parameters = kernel * kernel * channels * out
    return Cost(multiply_adds=parameters * size * size, parameters=parameters)


def separable(kernel: int, channels: int, out: int, size: int) -> Cost:
    """Depthwise, then pointwise: one filter for each channel, then a mix of channels."""
    parameters = kernel * kernel * channels + channels * out
    return Cost(multiply_adds=parameters * size * size, parameters=parameters)


def counted_ratio(kernel: int, out: int) -> float:
    """Separable as a share of dense: 1 / O + 1 / K^2, for any C and S."""
    return 1 / out + 1 / kernel**2


def check(kernel: Any, channels: Any, out: Any, size: Any) -> tuple[int, int, int, int]:
    """The four as `int`s. Raises `InputError` for anything but a whole number in its range."""
    if isinstance(kernel, bool) or kernel not in KERNELS:
        raise InputError(
            "The kernel is {kernel}; choose one of: {known}.", kernel=repr(kernel), known=", ".join(map(str, KERNELS))
        )
    return (
        int(kernel),
        whole_number(channels, "Channels in", least=1, most=MAX_CHANNELS),
        whole_number(out, "Channels out", least=1, most=MAX_CHANNELS),
        whole_number(size, "Size", least=1, most=MAX_SIZE),
    )


def network_cost(network: ConvNet | Config, size: int | None = None) -> Cost:
    """All convolutions, linear maps and attention for one picture (of `size` pixels a side, or the crop's), and all
    parameters.

    Counted as in the papers: without BatchNorm, activations, additions and means; BatchNorm's gain and shift count as
    parameters. A network that views a picture several times costs as many times as much.
    """
    import torch

    from demo_app.nn.separable import Block, Unit
    from demo_app_separable_conv.model import Config, ConvNet

    if isinstance(network, Config):
        with torch.device("meta"):
            network = ConvNet(network)
    # a dry run on the meta device: shapes without numbers
    size, total = size or network.config.crop, network.classifier.weight.numel()
    x = torch.zeros(1, 3, size, size, device="meta")
    for step in network.steps():
        if isinstance(step, Unit | Block):
            for unit in [step] if isinstance(step, Unit) else step.units():
                weight = unit.conv.weight.to("meta")
                stride, padding = unit.conv.stride, [side // 2 for side in unit.conv.kernel_size]
                x = torch.nn.functional.conv2d(x, weight, None, stride, padding, groups=unit.conv.groups)
                total += x.numel() * weight[0].numel()
        else:
            places = x.shape[2] * x.shape[3]
            keys, values = step.q_proj.out_features, step.v_proj.out_features
            total += places * sum(parameter.numel() for parameter in step.parameters() if parameter.ndim)
            total += places * places * (keys + values)
    total *= network.config.views
    return Cost(multiply_adds=total, parameters=sum(parameter.numel() for parameter in network.parameters()))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A standard and a separable convolution of the same shape, timed alternately."""

    kernel: int
    channels: int
    out: int
    size: int
    dense_ms: float
    separable_ms: float
    start_ms: float = 0.0  # of the two steps of the separable one with a single number to compute: their overhead

    @property
    def ratio(self) -> float:
        return self.separable_ms / self.dense_ms

    @property
    def counted(self) -> float:
        return counted_ratio(self.kernel, self.out)


def use_all_threads() -> None:
    """Set torch's thread count of the calling thread to all of the machine's: a new thread inherits any count."""
    import torch

    torch.set_num_threads(machine.threads())


def measure(kernel: int, channels: int, out: int, size: int, *, seconds: float = SECONDS) -> Measured:
    """Median times of both on one picture, alternating. They run as in inference: packed, with BatchNorm folded in.

    Both use the thread count of the calling thread, so that their ratio is fair. Each runs at least `LEAST_RUNS` times,
    and until `seconds` have passed. Raises `InputError` for shapes out of range, and for those too large to measure
    while others wait.
    """
    kernel, channels, out, size = check(kernel, channels, out, size)
    work = dense(kernel, channels, out, size).multiply_adds
    if work > MAX_MULTIPLY_ADDS:
        raise InputError(
            "That is {count} G multiply-adds, too much to measure while others wait (the limit is {limit} G); make it "
            "smaller.",
            count=f"{work / 1e9:.1f}",
            limit=f"{MAX_MULTIPLY_ADDS / 1e9:.0f}",
        )
    runs = [*_runnable(kernel, channels, out, size), _runnable(1, 1, 1, 1)[1]]
    taken: list[list[float]] = [[] for _ in runs]
    started = time.perf_counter()
    while len(taken[0]) < LEAST_RUNS or time.perf_counter() - started < seconds:
        for run, times in zip(runs, taken, strict=True):
            before = time.perf_counter()
            run()
            times.append(time.perf_counter() - before)
    names = ("dense_ms", "separable_ms", "start_ms")
    medians = {name: 1000 * statistics.median(times) for name, times in zip(names, taken, strict=True)}
    return Measured(kernel=kernel, channels=channels, out=out, size=size, **medians)


def _runnable(kernel: int, channels: int, out: int, size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The dense and the separable convolution on a picture of noise, each warmed up by one run."""
    import torch

    from demo_app.nn.fused import Fused
    from demo_app.nn.separable import Dense, DepthwiseSeparable

    threads = torch.get_num_threads()
    x = torch.randn(1, channels, size, size).contiguous(memory_format=torch.channels_last)
    blocks = (
        Dense(channels, out, kernel=kernel, skip=False),
        DepthwiseSeparable(channels, out, kernel=kernel, skip=False),
    )
    runs = []
    for block in blocks:
        fused = Fused([block.eval().requires_grad_(False)], size)
        fused(x, threads)
        runs.append(lambda fused=fused: fused(x, threads))
    return runs[0], runs[1]


def measure_widths(
    kernel: int, size: int, widths: Sequence[int] = WIDTHS, *, seconds: float = 0.4
) -> Iterator[Measured]:
    """`measure` with equal channels in and out, for each width below the limit of work."""
    kernel, _, _, size = check(kernel, 1, 1, size)
    for width in widths:
        if dense(kernel, width, width, size).multiply_adds <= MAX_MULTIPLY_ADDS:
            yield measure(kernel, width, width, size, seconds=seconds)


def intensity(kernel: int, channels: int, out: int, size: int) -> dict[str, float]:
    """Multiply-adds for each number read or written, of the dense, the depthwise and the pointwise convolution.

    Below some intensity a processor waits for its memory: the roofline model (Williams et al. 2009,
    https://doi.org/10.1145/1498765.1498785).
    """
    places = size * size
    work = {
        "dense": (kernel**2 * channels * out, channels + out, kernel**2 * channels * out),
        "depthwise": (kernel**2 * channels, 2 * channels, kernel**2 * channels),
        "pointwise": (channels * out, channels + out, channels * out),
    }
    return {name: adds * places / (moved * places + weights) for name, (adds, moved, weights) in work.items()}


def why(measured: Measured) -> str:
    """Why the measured ratio differs from the counted one, in one sentence."""
    times = measured.ratio / measured.counted
    ratios = {"counted": f"{measured.counted:.0%}", "measured": f"{measured.ratio:.0%}"}
    at = intensity(measured.kernel, measured.channels, measured.out, measured.size)
    if measured.start_ms > measured.separable_ms / 2:
        return say(
            "Counted, the separable one should take {counted} of the time; it took {measured}: of its {total} ms, "
            "{start} ms go to starting its two steps, which takes as long for a single number: that does not shrink "
            "with the arithmetic.",
            **ratios,
            total=f"{measured.separable_ms:.2f}",
            start=f"{measured.start_ms:.2f}",
        )
    if times > 1.1:
        return say(
            "Counted, the separable one should take {counted} of the time; it took {measured}, {times} times as much: "
            "a depthwise filter does {depthwise} multiply-adds for each number that it moves to or from memory and the "
            "standard convolution {dense}, so the processor waits for numbers more than it multiplies them, and two "
            "steps are started instead of one.",
            **ratios,
            times=f"{times:.1f}",
            depthwise=f"{at['depthwise']:.1f}",
            dense=f"{at['dense']:.0f}",
        )
    if times < 0.9:
        return say(
            "Counted, the separable one should take {counted} of the time; it took {measured}, less than counted: the "
            "standard convolution of this shape does not come near what the processor can do (its filters may take "
            "long to fetch, or not fill its registers); not only arithmetic takes time.",
            **ratios,
        )
    return say(
        "Counted, the separable one should take {counted} of the time; it took {measured}: here time goes with "
        "arithmetic, which is the exception; try fewer channels, or a smaller size.",
        **ratios,
    )
