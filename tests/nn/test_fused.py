"""Fused convolutions give what the plain network gives, whatever the shapes, the threads and the machine."""

# B batch, C channels, H x W places

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from demo_app import machine
from demo_app.models import measuring
from demo_app.nn import fused
from demo_app.nn.fused import Fused
from demo_app.nn.separable import ACTIVATIONS, Block, Dense, DepthwiseSeparable, InvertedResidual, Unit, convolution
from demo_app.nn.spatial import SpatialAttention

SIZE = 32
MARGIN = 1e-4


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sharing pays from the first multiplication on, with two threads."""
    monkeypatch.setattr(fused, "WORTH_SHARING", 0)
    monkeypatch.setattr(fused, "min_parallel_work", lambda: 0)
    monkeypatch.setattr(machine, "threads", lambda: 2)
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before  # what the caller had is left as it was


def network(*blocks: Block | SpatialAttention, padding: str = "symmetric") -> list[Unit | Block | SpatialAttention]:
    """A stem of 16 channels and blocks, with BatchNorms as training leaves them."""
    stem = Unit(convolution(3, 16, 3, stride=2, padding=padding), nn.BatchNorm2d(16), "relu6")
    for module in nn.ModuleList([stem.bn, *blocks]).modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 3.0)
            nn.init.uniform_(module.weight, 0.3, 2.0)
            nn.init.normal_(module.bias)
        if isinstance(module, SpatialAttention):
            nn.init.constant_(module.gamma, 0.7)
    nn.ModuleList([stem.conv, stem.bn, *blocks]).eval().requires_grad_(False)
    return [stem, *blocks]


@torch.no_grad()
def plainly(steps: list[Unit | Block | SpatialAttention], x: Tensor) -> Tensor:
    for step in steps:
        if isinstance(step, Unit):
            x = ACTIVATIONS[step.activation](step.bn(step.conv(x)))
        else:
            x = step(x)[0] if isinstance(step, SpatialAttention) else step(x)
    return x


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=MARGIN, atol=MARGIN * float(expected.abs().max()))


NETWORKS = {
    "separable": lambda: network(
        DepthwiseSeparable(16, 16), DepthwiseSeparable(16, 24, stride=2), DepthwiseSeparable(24, 24, kernel=5)
    ),
    "separable, linear in the middle": lambda: network(DepthwiseSeparable(16, 16, middle="none", last="relu")),
    "dense": lambda: network(Dense(16, 16), Dense(16, 8, stride=2, last="none"), Dense(8, 8, last="relu6")),
    "inverted": lambda: network(InvertedResidual(16, 16), InvertedResidual(16, 24, stride=2)),
    "TensorFlow's padding": lambda: network(
        InvertedResidual(16, 24, stride=2, kernel=5, padding="same"), InvertedResidual(24, 24), padding="same"
    ),
    "attention": lambda: network(
        DepthwiseSeparable(16, 16), SpatialAttention(16), DepthwiseSeparable(16, 16, skip=False)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_fused_is_plain(name: str, batch: int, threads: int, two_threads: None) -> None:
    steps = NETWORKS[name]()
    found = Fused(steps, SIZE)
    x = torch.randn(batch, 3, SIZE, SIZE)
    same(found(x, threads), plainly(steps, x))
    assert found.works  # the comparison was not one of plain with plain


@pytest.mark.parametrize("shape", [(1, 3, 47, 31), (3, 3, 64, 64), (1, 3, 1, 1), (2, 3, 5, 200)])
def test_other_sizes_than_it_was_packed_for(shape: tuple[int, ...], two_threads: None) -> None:
    steps = NETWORKS["separable"]()
    x = torch.randn(shape)
    same(Fused(steps, SIZE)(x), plainly(steps, x))


def test_pictures_are_taken_in_pieces_and_come_back_in_their_order(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = NETWORKS["separable"]()
    found = Fused(steps, SIZE)
    monkeypatch.setattr(fused, "PIECE", 2 * found.work)  # two pictures at a time, the last alone
    x = torch.randn(7, 3, SIZE, SIZE)
    same(found(x), plainly(steps, x))
    same(found(x, 1), plainly(steps, x))


def test_visitors_may_come_at_the_same_time(two_threads: None) -> None:
    steps = NETWORKS["inverted"]()
    found = Fused(steps, SIZE)
    batches = [torch.randn(1 + i % 3, 3, SIZE, SIZE) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for y, x in zip(pool.map(found, batches), batches, strict=True):
            same(y, plainly(steps, x))


def test_without_the_private_operations_it_computes_plainly_and_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise RuntimeError("no such operator\nsecond line")

    monkeypatch.setattr(fused, "_packed", gone)
    steps = NETWORKS["separable"]()
    found = Fused(steps, SIZE)
    x = torch.randn(2, 3, SIZE, SIZE)
    with caplog.at_level(logging.WARNING):
        found.pack()
        same(found(x), plainly(steps, x))
        same(found(x), plainly(steps, x))
    assert [record.getMessage() for record in caplog.records] == [
        "fused convolutions cannot be used, plain ones are: no such operator"
    ]
    assert not found.works


def test_wrong_results_are_noticed_and_not_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = fused._packed

    def wrong(conv: fused.Convolution, x: Tensor, threads: int) -> fused.Convolution:
        return fused.replace(right(conv, x, threads), bias=conv.bias + 0.1)

    monkeypatch.setattr(fused, "_packed", wrong)
    steps = NETWORKS["dense"]()
    found = Fused(steps, SIZE)
    x = torch.randn(1, 3, SIZE, SIZE)
    with caplog.at_level(logging.WARNING):
        same(found(x), plainly(steps, x))
    assert "differ by" in caplog.text


def test_without_onednn_it_computes_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    steps = NETWORKS["separable"]()
    found = Fused(steps, SIZE)
    x = torch.randn(3, 3, SIZE, SIZE)
    same(found(x), plainly(steps, x))
    assert not found.works


def test_the_work_is_counted_in_multiply_adds() -> None:
    # stem 16 * 16 places, 27 * 16; depthwise 9 * 16; pointwise 16 * 8
    assert Fused(network(DepthwiseSeparable(16, 8)), SIZE).work == 256 * (27 * 16 + 9 * 16 + 16 * 8)


@pytest.mark.parametrize(("policy", "shared"), [("PASSIVE", [2, 1, 2]), ("active", [2, 2, 2])])
def test_small_convolutions_are_not_worth_waking_a_thread(
    policy: str, shared: list[int], two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    steps = network(DepthwiseSeparable(16, 128))
    found = Fused(steps, 224)  # the stem 5.4 M multiply-adds, depthwise 1.8 M, pointwise 25.7 M
    threads = [conv.threads for block in found.blocks(2) for conv in block]
    assert threads == shared
    x = torch.randn(1, 3, 224, 224)
    same(found(x, 2), plainly(steps, x))


def test_packed_weights_are_counted_as_memory() -> None:
    found = Fused(NETWORKS["separable"](), SIZE)
    before = measuring.size_of(found)
    found.blocks(1)
    assert found.works
    assert measuring.size_of(found) > before
