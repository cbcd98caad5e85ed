"""Convolution blocks against the dense convolution, the reference implementation, and the formulas."""

# B batch, C channels in, O channels out, K kernel

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn.separable import (
    Block,
    Conv2dSame,
    Dense,
    DepthwiseSeparable,
    InvertedResidual,
    composed_kernel,
    convolution,
    fold,
)
from demo_app.nn.spatial import SpatialAttention


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def lived_in(network: nn.Module) -> nn.Module:
    """BatchNorms with statistics, gains and shifts as training leaves them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 3.0)
            nn.init.uniform_(module.weight, 0.3, 2.0)
            nn.init.normal_(module.bias)
    return network.eval()


def in_plain_loops(x: Tensor, depthwise: Tensor, pointwise: Tensor) -> Tensor:
    """Both steps as the definition has them, place by place: x (C, H, W), (C, 1, K, K), (O, C, 1, 1) to (O, H, W)."""
    C, H, W = x.shape
    K = depthwise.shape[-1]
    padded = F.pad(x, (K // 2,) * 4)
    filtered = torch.zeros(C, H, W)
    for c, i, j in itertools.product(range(C), range(H), range(W)):
        filtered[c, i, j] = (padded[c, i : i + K, j : j + K] * depthwise[c, 0]).sum()
    return torch.einsum("oc,chw->ohw", pointwise[:, :, 0, 0], filtered)


def test_depthwise_then_pointwise_is_what_the_definition_says() -> None:
    block = DepthwiseSeparable(3, 5, middle="none", last="none", skip=False).eval()
    x = torch.randn(3, 6, 7)
    with torch.no_grad():
        found = block.conv_pw(block.conv_dw(x[None]))[0]
    torch.testing.assert_close(found, in_plain_loops(x, block.conv_dw.weight, block.conv_pw.weight))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, "symmetric"), (5, 2, "symmetric"), (3, 2, "same")])
def test_without_an_activation_between_it_is_the_dense_convolution_with_the_composed_kernel(
    kernel: int, stride: int, padding: str
) -> None:
    options = {"kernel": kernel, "stride": stride, "last": "relu", "skip": False, "padding": padding}
    block = lived_in(DepthwiseSeparable(4, 6, middle="none", **options))
    dense = Dense(4, 6, **options).eval()
    depthwise, shift = fold(block.conv_dw, block.bn1)
    pointwise, bias = fold(block.conv_pw, block.bn2)
    with torch.no_grad():
        dense.conv.weight.copy_(composed_kernel(depthwise, pointwise))
        dense.bn1.bias.copy_(bias + pointwise[:, :, 0, 0] @ shift)
        x = torch.randn(2, 4, 9, 8)
        torch.testing.assert_close(block(x), dense(x) / (1 + 1e-5) ** 0.5, atol=1e-4, rtol=1e-4)


def test_the_composed_kernel_has_rank_one_for_each_pair_of_channels_and_shares_its_filters() -> None:
    kernel = composed_kernel(torch.randn(4, 1, 3, 3), torch.randn(6, 4, 1, 1))  # (6, 4, 3, 3)
    assert kernel.shape == (6, 4, 3, 3)
    for channel in range(4):
        assert torch.linalg.matrix_rank(kernel[:, channel].flatten(1)) == 1


@pytest.mark.parametrize("block", [DepthwiseSeparable, Dense, InvertedResidual])
def test_a_skip_is_only_where_shapes_allow_it(block: type[Block]) -> None:
    assert block(4, 4).skip
    assert not block(4, 6).skip
    assert not block(4, 4, stride=2).skip
    assert not block(4, 4, skip=False).skip
    still = block(4, 4, **({} if block is InvertedResidual else {"last": "none"})).eval()
    nn.init.zeros_(still.units()[-1].bn.weight)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(still(x), x)


def test_a_trace_has_what_each_convolution_gave() -> None:
    block = lived_in(InvertedResidual(3, 4, expand=2))
    seen: list[Tensor] = []
    x = torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        assert torch.equal(block(x, trace=seen), block(x))
        assert [tuple(part.shape) for part in seen] == [(2, 6, 6, 6), (2, 6, 6, 6), (2, 4, 6, 6)]
        torch.testing.assert_close(block.bn3(seen[-1]), block(x))


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 6, 3), nn.Conv2d(4, 4, 3, groups=4, bias=False)])
def test_folding_changes_nothing(conv: nn.Conv2d) -> None:
    bn = lived_in(nn.BatchNorm2d(conv.out_channels))
    weight, bias = fold(conv, bn)
    x = torch.randn(2, 4, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(F.conv2d(x, weight, bias, groups=conv.groups), bn(conv(x)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [7, 8, 15, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1), (3, 3)])
def test_same_padding_is_that_of_the_reference(size: int, kernel: int, stride: int) -> None:
    from timm.layers.conv2d_same import Conv2dSame as Reference

    ours, theirs = Conv2dSame(3, 4, kernel, stride, bias=False), Reference(3, 4, kernel, stride, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, size, size + 1)
    assert torch.equal(ours(x), theirs(x))
    assert ours(x).shape[-2:] == (-(-size // stride), -(-(size + 1) // stride))


def test_a_padding_that_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="'valid' is unknown; choose one of: symmetric, same"):
        convolution(3, 4, 3, padding="valid")


def test_spatial_attention_starts_as_the_identity_and_learns_its_gamma() -> None:
    attention = SpatialAttention(16)
    x = torch.randn(2, 16, 4, 5)
    out, _ = attention(x)
    assert torch.equal(out, x)
    out.square().sum().backward()
    assert attention.gamma.grad is not None
    assert attention.gamma.grad.abs() > 0


def test_spatial_attention_is_the_formula_and_its_rows_add_up() -> None:
    attention = SpatialAttention(16)
    nn.init.constant_(attention.gamma, 0.7)
    x = torch.randn(2, 16, 4, 5)
    out, weights = attention(x, need_weights=True)
    assert weights is not None
    assert weights.shape == (2, 20, 20)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 20))
    places = x.flatten(2).transpose(1, 2)
    scores = attention.q_proj(places) @ attention.k_proj(places).transpose(1, 2) / 2**0.5  # (B, N, N), K = 16 / 8
    torch.testing.assert_close(weights, scores.softmax(-1))
    added = attention.out_proj(weights @ attention.v_proj(places)).transpose(1, 2).view_as(x)
    torch.testing.assert_close(out, x + 0.7 * added)
    torch.testing.assert_close(attention(x)[0], out)
