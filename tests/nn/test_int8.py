"""Linear layers in 8 bits: exact but for rounding, each row for itself, and left alone where they cannot be had."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from demo_app.models import measuring
from demo_app.nn import int8
from demo_app.nn.decoder import DecoderLayer
from demo_app.nn.int8 import Int8Linear

try:
    Int8Linear(torch.ones(2, 2))
except int8.UNAVAILABLE as problem:
    pytest.skip(f"this build of torch has no 8-bit products: {problem}", allow_module_level=True)


class Small(nn.Module):
    """A network whose output matrix is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(90, 64)
        self.layers = nn.ModuleList(DecoderLayer(64, 4, 128, kv_heads=2, activation="swiglu") for _ in range(2))
        self.output: nn.Module | None = None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(ids).float()
        for layer in self.layers:
            x, _ = layer(x)
        return F.linear(x, self.token_embedding.weight) if self.output is None else self.output(x)


def near(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1, 96), (1, 1, 96), (7, 96), (2, 3, 96)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_near_the_one_in_single_precision(shape: tuple[int, ...], bias: bool) -> None:
    linear, x = nn.Linear(96, 50, bias=bias), torch.randn(shape) + 0.3
    found = Int8Linear(linear.weight, linear.bias)(x)
    assert found.shape == (*shape[:-1], 50)
    assert 0 < near(found, linear(x)) < 0.02


@torch.inference_mode()
def test_a_matrix_that_lies_turned_in_memory_is_the_same_matrix() -> None:
    turned, x = torch.randn(96, 50).T, torch.randn(3, 96)
    assert torch.equal(Int8Linear(turned)(x), Int8Linear(turned.contiguous())(x))


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 2, 20])
@pytest.mark.parametrize("features", [64, 65, 3])
def test_the_largest_weights_and_activations_are_not_cut(rows: int, features: int) -> None:
    """On processors without VNNI a sum of two products that exceeds 16 bits is cut: nothing may come near."""
    weight = torch.ones(8, features)
    weight[1::2] = -1.0
    weight[2, ::2], weight[3, 1::2] = 0.001, 1.0
    x = torch.ones(rows, features)
    x[0, 0] = -1e-4
    assert near(Int8Linear(weight)(x), F.linear(x, weight)) < 0.01
    assert near(Int8Linear(weight)(-x), F.linear(-x, weight)) < 0.01


@torch.inference_mode()
def test_no_two_neighbours_weigh_more_than_a_sum_of_16_bits_holds() -> None:
    integers, scale, _ = int8.quantise(torch.randn(200, 33) * torch.rand(200, 1))
    pairs = F.pad(integers.int(), (0, 1)).unflatten(1, (-1, 2))
    for sign in (1, -1):
        assert (255 * (sign * pairs).clamp(min=0).sum(-1)).max() <= 2**15 - 1
    assert integers.int().abs().amax(1).min() >= 63  # and no row has less than seven bits
    assert scale.min() > 0


@torch.inference_mode()
def test_a_row_does_not_depend_on_its_neighbours() -> None:
    layer, x = Int8Linear(torch.randn(40, 64)), torch.randn(6, 64)
    loud = x.clone()
    loud[1:] *= 1000
    assert torch.equal(layer(loud)[0], layer(x)[0])
    assert torch.allclose(layer(x[:1])[0], layer(x)[0], rtol=1e-4, atol=1e-4)  # alone it takes another way


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 3])
def test_zeros_stay_zeros(rows: int) -> None:
    linear = nn.Linear(16, 4)
    layer = Int8Linear(linear.weight, linear.bias)
    assert torch.allclose(layer(torch.zeros(rows, 16)), linear.bias.expand(rows, 4), atol=1e-6)
    assert Int8Linear(torch.zeros(4, 16))(torch.randn(rows, 16)).abs().max() == 0


@torch.inference_mode()
def test_a_network_is_near_itself_and_shares_nothing() -> None:
    network = Small().eval()
    other = int8.to_int8(network)
    ids = torch.arange(12).view(2, 6)
    assert near(other(ids), network(ids)) < 0.03
    assert not any(isinstance(module, nn.Linear) for module in other.modules())
    assert isinstance(other.output, Int8Linear)
    assert network.output is None
    held = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    assert held.isdisjoint(t.untyped_storage().data_ptr() for t in (*other.parameters(), *other.buffers()))
    assert torch.equal(other.layers[0].ln_1.weight, network.layers[0].ln_1.weight)


def test_the_matrices_in_single_precision_are_freed_and_the_small_ones_are_counted() -> None:
    network = Small().eval()
    before = measuring.size_of(network)
    gone = [weakref.ref(module) for module in network.modules() if isinstance(module, nn.Linear | nn.Embedding)]
    network = int8.to_int8(network)
    gc.collect()
    assert gone
    assert not any(module() is not None for module in gone)
    assert 0.25 * before < measuring.size_of(network) < 0.5 * before


def test_where_there_are_no_such_products_networks_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> object:
        raise NotImplementedError("removed in this version")

    monkeypatch.setattr(int8, "pack", gone)
    int8._is_faster.cache_clear()
    network = Small()
    assert int8.to_int8(network) is network
    assert not int8.int8_is_faster(nn.Linear(4096, 4096))
    int8._is_faster.cache_clear()


def test_int8_is_chosen_only_where_it_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {}
    large = nn.Linear(4096, 4096)
    for name, times in (("faster", [10.0, 4.0]), ("hardly", [10.0, 9.0]), ("slower", [10.0, 20.0])):
        int8._is_faster.cache_clear()
        monkeypatch.setattr(int8, "_milliseconds", lambda call, times=times: (call(), times.pop(0))[1])
        chosen[name] = int8.int8_is_faster(large)
        chosen[f"small, {name}"] = int8.int8_is_faster(nn.Linear(64, 64))
    int8._is_faster.cache_clear()
    assert [name for name, yes in chosen.items() if yes] == ["faster"]
