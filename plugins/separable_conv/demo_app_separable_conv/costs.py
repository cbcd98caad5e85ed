"""What a convolution costs, standard and separable: counted, and measured on this machine.

Counting is arithmetic (Howard et al. 2017, https://arxiv.org/abs/1704.04861, section 3.1) and needs no torch; what runs
a convolution imports it then.
"""

# C channels in, O channels out, K kernel, S pixels of a side

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_app import InputError, machine

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
    multiply_adds: int  # for one picture
    parameters: int


def dense(kernel: int, channels: int, out: int, size: int) -> Cost:
    """The standard convolution, with stride 1, padded, without bias: all outputs look at all inputs."""
    parameters = kernel * kernel * channels * out
    return Cost(multiply_adds=parameters * size * size, parameters=parameters)


def separable(kernel: int, channels: int, out: int, size: int) -> Cost:
    """Depthwise, then pointwise: one filter a channel, then a mix of channels."""
    parameters = kernel * kernel * channels + channels * out
    return Cost(multiply_adds=parameters * size * size, parameters=parameters)


def counted_ratio(kernel: int, out: int) -> float:
    """Separable as a share of dense: 1 / O + 1 / K^2, whatever C and S are."""
    return 1 / out + 1 / kernel**2


def check(kernel: Any, channels: Any, out: Any, size: Any) -> tuple[int, int, int, int]:
    """The four as whole numbers. Raises `InputError` for what is none, or out of its range."""
    if not _is_whole(kernel) or int(kernel) not in KERNELS:
        raise InputError(f"The kernel is {kernel!r}; choose one of: {', '.join(map(str, KERNELS))}.")
    most = {"Channels in": (channels, MAX_CHANNELS), "Channels out": (out, MAX_CHANNELS), "Size": (size, MAX_SIZE)}
    for name, (value, limit) in most.items():
        if not _is_whole(value) or not 1 <= value <= limit:
            raise InputError(f"{name} is {value!r}; give a whole number from 1 to {limit}.")
    return int(kernel), int(channels), int(out), int(size)


def _is_whole(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value == int(value)


def network_cost(network: ConvNet | Config, size: int | None = None) -> Cost:
    """All convolutions, linear maps and attention for one picture (its side: the crop, or `size`), and all parameters.

    Counted as the papers do: no BatchNorm, activation, addition or mean; BatchNorm's gain and shift are parameters. A
    network that looks at a picture several times in use costs as many times.
    """
    import torch

    from demo_app.nn.separable import Block, Unit
    from demo_app_separable_conv.model import Config, ConvNet

    if isinstance(network, Config):
        with torch.device("meta"):
            network = ConvNet(network)
    # a dry run: shapes without numbers. Sizes are those of what each unit gives
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
    """A standard and a separable convolution of the same shape, timed in turns."""

    kernel: int
    channels: int
    out: int
    size: int
    dense_ms: float
    separable_ms: float
    start_ms: float = 0.0  # of `separable_ms`: what its two steps take with one number to compute

    @property
    def ratio(self) -> float:
        return self.separable_ms / self.dense_ms

    @property
    def counted(self) -> float:
        return counted_ratio(self.kernel, self.out)


def use_all_threads() -> None:
    """Let the calling thread compute with all that the machine has: a new one has what some other was given last."""
    import torch

    torch.set_num_threads(machine.threads())


def measure(kernel: int, channels: int, out: int, size: int, *, seconds: float = SECONDS) -> Measured:
    """Time both on one picture, in turns; medians. They run as in a network that is used: packed, BatchNorm folded in.

    Both have the threads of the calling thread: as many for one as for the other, or it would not be their ratio. Each
    runs `LEAST_RUNS` times at least, and until `seconds` are over. Raises `InputError` for shapes out of range, and for
    those too large to measure while others wait.
    """
    kernel, channels, out, size = check(kernel, channels, out, size)
    work = dense(kernel, channels, out, size).multiply_adds
    if work > MAX_MULTIPLY_ADDS:
        raise InputError(
            f"That is {work / 1e9:.1f} G multiply-adds, too much to measure while others wait (the limit is "
            f"{MAX_MULTIPLY_ADDS / 1e9:.0f} G); make it smaller."
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
    """The dense and the separable convolution on a picture of noise; each has run once."""
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
    """`measure` with as many channels in as out, for each width that is not too much work."""
    kernel, _, _, size = check(kernel, 1, 1, size)
    for width in widths:
        if dense(kernel, width, width, size).multiply_adds <= MAX_MULTIPLY_ADDS:
            yield measure(kernel, width, width, size, seconds=seconds)


def intensity(kernel: int, channels: int, out: int, size: int) -> dict[str, float]:
    """Multiply-adds for every number read or written: of the dense, the depthwise and the pointwise convolution.

    A processor that can compute more than its memory can deliver waits below some intensity: the roofline model
    (Williams et al. 2009, https://doi.org/10.1145/1498765.1498785).
    """
    places = size * size
    work = {
        "dense": (kernel**2 * channels * out, channels + out, kernel**2 * channels * out),
        "depthwise": (kernel**2 * channels, 2 * channels, kernel**2 * channels),
        "pointwise": (channels * out, channels + out, channels * out),
    }
    return {name: adds * places / (moved * places + weights) for name, (adds, moved, weights) in work.items()}


def why(measured: Measured) -> str:
    """Why what was measured is not what was counted, in one sentence."""
    times = measured.ratio / measured.counted
    about = f"Counted, the separable one should take {measured.counted:.0%} of the time; it took {measured.ratio:.0%}"
    at = intensity(measured.kernel, measured.channels, measured.out, measured.size)
    if measured.start_ms > measured.separable_ms / 2:
        return (
            f"{about}: of its {measured.separable_ms:.2f} ms, {measured.start_ms:.2f} ms go to starting its two steps, "
            "which takes as long for a single number: that does not shrink with the arithmetic."
        )
    if times > 1.1:
        return (
            f"{about}, {times:.1f} times as much: a depthwise filter does {at['depthwise']:.1f} multiply-adds for each "
            f"number that it moves to or from memory and the standard convolution {at['dense']:.0f}, so the processor "
            "waits for numbers more than it multiplies them, and two steps are started instead of one."
        )
    if times < 0.9:
        return (
            f"{about}, less than counted: the standard convolution of this shape does not come near what the processor "
            "can do (its filters may take long to fetch, or not fill its registers); not only arithmetic takes time."
        )
    return f"{about}: here time goes with arithmetic, which is the exception; try fewer channels, or a smaller size."
