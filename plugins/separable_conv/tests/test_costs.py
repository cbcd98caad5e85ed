"""Costs: the formulas against what torch counts, measurements within their bounds."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
from demo_app_separable_conv import costs, published
from demo_app_separable_conv.classifier import Classifier
from demo_app_separable_conv.model import Config, ConvNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from demo_app import InputError
from demo_app.nn.separable import Dense, DepthwiseSeparable

Make = Callable[[str], Classifier]


def counted_by_torch(network: nn.Module, x: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(x)
    return counter.get_total_flops() // 2  # it counts a multiplication and an addition as two


@pytest.mark.parametrize(
    ("kernel", "channels", "out", "size"), [(3, 8, 16, 10), (5, 4, 4, 7), (1, 6, 3, 5), (7, 2, 9, 8)]
)
def test_the_formulas_are_what_torch_counts(kernel: int, channels: int, out: int, size: int) -> None:
    x = torch.zeros(1, channels, size, size)
    for found, block in (
        (costs.dense(kernel, channels, out, size), Dense(channels, out, kernel=kernel)),
        (costs.separable(kernel, channels, out, size), DepthwiseSeparable(channels, out, kernel=kernel)),
    ):
        assert found.multiply_adds == counted_by_torch(block, x)
        assert found.parameters == sum(unit.conv.weight.numel() for unit in block.units())


def test_the_ratio_is_one_over_c_out_and_one_over_k_squared() -> None:
    for kernel, channels, out, size in itertools.product((1, 3, 5), (3, 64), (1, 10, 128), (7, 28)):
        one, other = costs.dense(kernel, channels, out, size), costs.separable(kernel, channels, out, size)
        assert other.multiply_adds / one.multiply_adds == pytest.approx(costs.counted_ratio(kernel, out))
        assert other.parameters / one.parameters == pytest.approx(1 / out + 1 / kernel**2)


PUBLISHED = {  # millions of multiply-adds and of parameters: the papers, and timm's table of results
    "mobilenetv1_100": (569, 4.23),
    "mobilenetv2_100": (300, 3.50),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_cost_what_was_published(name: str) -> None:
    cost = costs.network_cost(Config(labels=published.imagenet_names(), **published.ARCHITECTURES[name]))
    assert (cost.multiply_adds / 1e6, cost.parameters / 1e6) == pytest.approx(PUBLISHED[name], rel=0.005)


def test_efficientnet_lite0_costs_what_torch_counts_in_timms() -> None:
    # its authors' table says 407 M, of which convolutions and the linear map are 385 M
    reference = timm.create_model("tf_efficientnet_lite0")
    cost = costs.network_cost(published.efficientnet_lite0())
    assert cost.multiply_adds == counted_by_torch(reference, torch.zeros(1, 3, 224, 224))
    assert cost.parameters == sum(parameter.numel() for parameter in reference.parameters())


def test_a_network_is_counted_from_its_config_and_for_another_size(make: Make) -> None:
    network = make("inverted").network
    assert costs.network_cost(network.config) == costs.network_cost(network)
    expected = counted_by_torch(Logits(network), torch.zeros(1, 3, 50, 50))
    assert costs.network_cost(network, 50).multiply_adds == expected


@pytest.mark.parametrize("kind", ["separable", "dense", "inverted", "attention"])
def test_a_network_costs_what_torch_counts(make: Make, kind: str) -> None:
    network = make(kind).network
    # torch's counter looks at shapes alone; its scaled_dot_product_attention counts both matrix products
    expected = counted_by_torch(Logits(network), torch.zeros(1, 3, 32, 32))
    assert costs.network_cost(network).multiply_adds == expected


class Logits(nn.Module):
    def __init__(self, network: ConvNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x, trace=True).logits  # with its attention in plain matrix products


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_wide_standard_convolutions_are_measured_slower_than_separable_ones(threads: Callable[[int], None]) -> None:
    threads(1)  # two that another process disturbs wait for each other longer than they compute
    measured = costs.measure(3, 256, 256, 28, seconds=0.3)
    assert measured.dense_ms > 2 * measured.separable_ms > 0
    assert measured.ratio == measured.separable_ms / measured.dense_ms
    assert measured.counted == pytest.approx(1 / 256 + 1 / 9)


@pytest.mark.parametrize("count", [1, 2])
def test_a_measurement_keeps_to_its_time_and_leaves_the_threads_alone(
    threads: Callable[[int], None], count: int
) -> None:
    threads(count)
    started = time.perf_counter()
    costs.measure(3, 16, 16, 16, seconds=0.3)
    assert 0.3 <= time.perf_counter() - started < 10  # the first imports what it needs
    assert torch.get_num_threads() == count


def test_the_smallest_convolution_is_said_to_be_all_start() -> None:
    measured = costs.measure(1, 1, 1, 1, seconds=0.1)
    assert 0 < measured.start_ms < 2 * measured.separable_ms
    assert "go to starting its two steps" in costs.why(measured)


def test_widths_that_are_too_much_work_are_passed_over() -> None:
    found = [measured.channels for measured in costs.measure_widths(7, 112, (2, 4, 512), seconds=0.01)]
    assert found == [2, 4]


def test_what_is_too_much_work_is_refused_before_it_runs() -> None:
    with pytest.raises(InputError, match=r"161\.1 G multiply-adds"):
        costs.measure(7, 512, 512, 112)


WRONG: list[tuple[Any, ...]] = [
    (2, 8, 8, 8),
    (9, 8, 8, 8),
    (3, 0, 8, 8),
    (3, 8, 513, 8),
    (3, 8, 8, 113),
    (3, 8.5, 8, 8),
    (3, 8, math.nan, 8),
    (3, 8, 8, math.inf),
    ("3", 8, 8, 8),
    (3, None, 8, 8),
    (3, True, 8, 8),
]


@pytest.mark.parametrize("numbers", WRONG)
def test_numbers_out_of_range_are_named(numbers: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match=r"; (choose one of|give a whole number)"):
        costs.check(*numbers)


def test_whole_floats_are_numbers() -> None:
    assert costs.check(3.0, 8.0, 16.0, 4.0) == (3, 8, 16, 4)


def test_a_dense_convolution_does_more_with_each_number_than_a_depthwise_one() -> None:
    found = costs.intensity(3, 64, 64, 28)
    assert found["depthwise"] == pytest.approx(4.5, rel=0.01)  # nine for one that comes in and one that goes out
    assert found["depthwise"] < found["pointwise"] < found["dense"]


@pytest.mark.parametrize(
    ("separable_ms", "start_ms", "said"),
    [
        (0.5, 0.1, r"4\.2 times as much.* 4\.5 multiply-adds"),
        (0.5, 0.3, r"of its 0\.50 ms, 0\.30 ms go to starting"),
        (0.05, 0.01, "less than counted"),
        (0.12, 0.01, "goes with arithmetic"),
    ],
)
def test_why_says_what_was_measured(separable_ms: float, start_ms: float, said: str) -> None:
    times = {"dense_ms": 1.0, "separable_ms": separable_ms, "start_ms": start_ms}
    sentence = costs.why(costs.Measured(kernel=3, channels=128, out=128, size=28, **times))
    assert sentence.startswith(f"Counted, the separable one should take 12% of the time; it took {separable_ms:.0%}")
    assert re.search(said, sentence)
