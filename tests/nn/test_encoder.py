"""Every block gives the numbers of torch.nn's own module when both hold the same weights."""

# B batch, T tokens, S tokens looked at, H heads, D width

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn import (
    EncoderLayer,
    FeedForward,
    LearnedPositions,
    MultiHeadAttention,
    SinusoidalPositions,
    scaled_dot_product_attention,
    sinusoids,
)

B, T, S, H, D = 3, 7, 5, 4, 32


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def padded(tokens: int) -> Tensor:
    """(B, tokens), True = a token: one full row, one half full, one of a single token."""
    lengths = torch.tensor([tokens, tokens // 2, 1])
    return torch.arange(tokens) < lengths[:, None]


def randomise(module: nn.Module) -> None:
    """No parameter keeps a value, such as a bias of zero, that would hide a missing term."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    for name, weight, bias in zip("qkv", theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True):
        projection = getattr(ours, f"{name}_proj")
        projection.weight.data.copy_(weight)
        projection.bias.data.copy_(bias)
    ours.out_proj.load_state_dict(theirs.out_proj.state_dict())


def layer_pair(norm: str, activation: str) -> tuple[EncoderLayer, nn.TransformerEncoderLayer]:
    theirs = nn.TransformerEncoderLayer(
        D, H, 2 * D, dropout=0.1, activation=activation, batch_first=True, norm_first=norm == "pre"
    )
    randomise(theirs)
    ours = EncoderLayer(D, H, 2 * D, norm=norm, activation=activation, dropout=0.1)
    copy_attention(ours.attention, theirs.self_attn)
    ours.ln_1.load_state_dict(theirs.norm1.state_dict())
    ours.ln_2.load_state_dict(theirs.norm2.state_dict())
    ours.feed_forward.fc_in.load_state_dict(theirs.linear1.state_dict())
    ours.feed_forward.fc_out.load_state_dict(theirs.linear2.state_dict())
    return ours.eval(), theirs.eval()


MASKS = {
    "none": None,
    "padding": padded(S)[:, None, None, :],
    "causal": torch.ones(T, S, dtype=torch.bool).tril(S - T + 2),
    "any": torch.rand(B, H, T, S, generator=torch.Generator().manual_seed(1)) < 0.5,  # some rows may look at nothing
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("need_weights", [False, True])
def test_scaled_dot_product_attention_equals_torchs(mask: str, need_weights: bool) -> None:
    query, key, value = (torch.randn(B, H, tokens, 8, requires_grad=True) for tokens in (T, S, S))
    ours, weights = scaled_dot_product_attention(query, key, value, MASKS[mask], need_weights=need_weights)
    theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=MASKS[mask])
    torch.testing.assert_close(ours, theirs)
    assert (weights is not None) == need_weights
    upstream = torch.randn_like(ours)
    for mine, reference in zip(
        torch.autograd.grad(ours, (query, key, value), upstream),
        torch.autograd.grad(theirs, (query, key, value), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference)


def test_weights_are_the_softmax_of_the_formula_and_zero_where_masked() -> None:
    query, key, value = torch.randn(B, H, T, 8), torch.randn(B, H, S, 8), torch.randn(B, H, S, 8)
    mask = MASKS["padding"]
    _, weights = scaled_dot_product_attention(query, key, value, mask, need_weights=True)
    scores = torch.einsum("bhtk,bhsk->bhts", query, key) / math.sqrt(8)
    torch.testing.assert_close(weights, scores.masked_fill(~mask, -math.inf).softmax(-1))
    assert weights.masked_select(~mask.expand_as(weights)).eq(0).all()


def test_a_token_that_may_look_at_nothing_gets_zeros_and_finite_gradients() -> None:
    query = torch.randn(1, 1, 2, 4, requires_grad=True)
    mask = torch.tensor([[False, False], [True, True]])
    mixed, weights = scaled_dot_product_attention(query, query, query, mask, need_weights=True)
    assert mixed[0, 0, 0].eq(0).all()
    assert weights[0, 0, 0].eq(0).all()
    assert torch.autograd.grad(mixed.sum(), query)[0].isfinite().all()


def test_half_precision_weights_are_finite() -> None:
    query = torch.randn(1, 1, 3, 4, dtype=torch.float16)
    _, weights = scaled_dot_product_attention(query, query, query, torch.ones(3, 3).tril().bool(), need_weights=True)
    assert weights.isfinite().all()
    assert weights[0, 0, 0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_equals_torchs(cross: bool, need_weights: bool) -> None:
    theirs = nn.MultiheadAttention(D, H, batch_first=True).eval()
    randomise(theirs)
    ours = MultiHeadAttention(D, H).eval()
    copy_attention(ours, theirs)
    x = torch.randn(B, T, D)
    memory = torch.randn(B, S, D) if cross else x
    keep = padded(memory.shape[1])
    mixed, weights = ours(x, memory if cross else None, mask=keep[:, None, None, :], need_weights=need_weights)
    expected, expected_weights = theirs(x, memory, memory, key_padding_mask=~keep, average_attn_weights=False)
    torch.testing.assert_close(mixed, expected)
    if need_weights:
        torch.testing.assert_close(weights, expected_weights)


def test_asking_for_weights_does_not_change_the_numbers() -> None:
    attention = MultiHeadAttention(D, H).eval()
    x, mask = torch.randn(B, T, D), padded(T)[:, None, None, :]
    torch.testing.assert_close(attention(x, mask=mask)[0], attention(x, mask=mask, need_weights=True)[0])


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="10 cannot be shared out among 4 heads"):
        MultiHeadAttention(10, 4)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_encoder_layer_equals_torchs_on_padded_batches_and_in_its_gradients(
    norm: str, activation: str, need_weights: bool
) -> None:
    ours, theirs = layer_pair(norm, activation)
    x, keep = torch.randn(B, T, D, requires_grad=True), padded(T)
    encoded, weights = ours(x, keep[:, None, None, :], need_weights=need_weights)
    expected = theirs(x, src_key_padding_mask=~keep)
    torch.testing.assert_close(encoded[keep], expected[keep], atol=2e-5, rtol=1e-4)
    upstream = torch.randn(B, T, D) * keep[..., None]
    (gradient,) = torch.autograd.grad(encoded, x, upstream)
    (expected_gradient,) = torch.autograd.grad(expected, x, upstream)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-4)
    if need_weights:
        assert weights.shape == (B, H, T, T)
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_weight_gradients_equal_torchs(norm: str) -> None:
    ours, theirs = layer_pair(norm, "gelu")
    x = torch.randn(B, T, D)
    ours(x)[0].square().mean().backward()
    theirs(x).square().mean().backward()
    expected = theirs.self_attn.in_proj_weight.grad.chunk(3)
    for name, gradient in zip("qkv", expected, strict=True):
        torch.testing.assert_close(getattr(ours.attention, f"{name}_proj").weight.grad, gradient, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.ln_1.weight.grad, theirs.norm1.weight.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.feed_forward.fc_out.weight.grad, theirs.linear2.weight.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_padding_changes_nothing_for_the_tokens_before_it(norm: str) -> None:
    layer, _ = layer_pair(norm, "gelu")
    x = torch.randn(1, T, D)
    longer = torch.cat((x, torch.randn(1, 4, D) * 100), dim=1)
    mask = (torch.arange(T + 4) < T)[None, None, None, :]
    torch.testing.assert_close(layer(longer, mask)[0][:, :T], layer(x)[0])


def test_dropout_acts_in_training_only_and_in_attention_too() -> None:
    layer, _ = layer_pair("pre", "gelu")
    x = torch.randn(B, T, D)
    torch.testing.assert_close(layer(x)[0], layer(x)[0])
    layer.train()
    assert not torch.equal(layer(x)[0], layer(x)[0])
    attention = MultiHeadAttention(D, H, dropout=0.5)
    assert not torch.equal(attention(x)[0], attention(x)[0])
    assert not torch.equal(attention(x, need_weights=True)[0], attention(x, need_weights=True)[0])


def test_unknown_norm_and_activation_are_refused() -> None:
    with pytest.raises(ValueError, match="choose one of: pre, post"):
        EncoderLayer(D, H, D, norm="middle")
    with pytest.raises(ValueError, match="choose one of: gelu, gelu_tanh, relu"):
        FeedForward(D, D, activation="tanh")


def test_sinusoids_follow_the_closed_formula() -> None:
    table = sinusoids(50, 16)
    for place in (0, 1, 17, 49):
        for column in range(0, 16, 2):
            angle = place / 10000 ** (column / 16)
            assert table[place, column].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[place, column + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_sinusoids_of_a_shifted_place_are_one_rotation_everywhere() -> None:
    table = sinusoids(40, 8)
    shifted = torch.linalg.lstsq(table[:30], table[5:35]).solution  # (D, D), found on some places
    torch.testing.assert_close(table[30:35] @ shifted, table[35:40], atol=1e-3, rtol=1e-3)


def test_sinusoidal_positions_have_no_parameters_and_leave_the_checkpoint_alone() -> None:
    positions = SinusoidalPositions(10, 8)
    assert list(positions.parameters()) == []
    assert positions.state_dict() == {}
    torch.testing.assert_close(positions(4), sinusoids(4, 8))


def test_learned_positions_are_trained_rows() -> None:
    positions = LearnedPositions(10, 8)
    positions(4).sum().backward()
    assert positions.weight.grad[:4].eq(1).all()
    assert positions.weight.grad[4:].eq(0).all()


@pytest.mark.parametrize("kind", [SinusoidalPositions, LearnedPositions])
def test_more_tokens_than_positions_are_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="11 tokens do not fit 10 positions"):
        kind(10, 8)(11)


def test_odd_width_has_no_sinusoids() -> None:
    with pytest.raises(ValueError, match="even width"):
        sinusoids(10, 7)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_two_layers_learn_one_batch_by_heart(norm: str) -> None:
    layers = nn.ModuleList(EncoderLayer(D, H, 2 * D, norm=norm) for _ in range(2))
    head = nn.Linear(D, 2)
    x, wanted = torch.randn(8, T, D), torch.arange(8) % 2
    optimizer = torch.optim.Adam([*layers.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(40):
        hidden = x
        for layer in layers:
            hidden, _ = layer(hidden)
        loss = F.cross_entropy(head(hidden.mean(1)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
