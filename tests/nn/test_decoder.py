"""The decoder's blocks against torch's own or a plain reference, and the cache against reading everything again."""

# B batch, T tokens, H heads, K width of a head, D width

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn.cache import KeyValueCache
from demo_app.nn.decoder import CausalAttention, DecoderLayer, GatedFeedForward
from demo_app.nn.norms import RMSNorm
from demo_app.nn.rotary import RotaryPositions, rotate

WIDTH, HEADS = 24, 6


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module) -> nn.Module:
    """Every parameter away from its start, frozen."""
    for number, parameter in enumerate(module.parameters()):
        parameter.data = draw(*parameter.shape, seed=number + 1) * 0.3
    return module.eval().requires_grad_(False)


def test_rms_norm_is_torchs() -> None:
    ours, theirs = RMSNorm(WIDTH, 1e-5), nn.RMSNorm(WIDTH, 1e-5)
    ours.weight.data = theirs.weight.data = draw(WIDTH)
    x = draw(2, 5, WIDTH) * 10
    torch.testing.assert_close(ours(x), theirs(x))


def test_rotation_is_that_of_complex_numbers() -> None:
    K, T, base = 8, 7, 100.0
    x = draw(1, 2, T, K)
    numbers = torch.complex(x[..., : K // 2], x[..., K // 2 :])  # feature i and i + K / 2 are a pair
    angles = torch.arange(T)[:, None] * base ** (-torch.arange(0, K, 2) / K)
    turned = numbers * torch.polar(torch.ones_like(angles), angles)
    found = rotate(x, RotaryPositions(T, K, base=base)(torch.arange(T)[None]))
    torch.testing.assert_close(found, torch.cat((turned.real, turned.imag), dim=-1))


def test_a_rotated_product_depends_on_the_distance_alone() -> None:
    rotary, q, k = RotaryPositions(50, 8), draw(1, 1, 1, 8), draw(1, 1, 1, 8, seed=1)

    def product(q_place: int, k_place: int) -> float:
        turned = (rotate(x, rotary(torch.tensor([[place]]))) for x, place in ((q, q_place), (k, k_place)))
        return float((next(turned) * next(turned)).sum())

    assert product(9, 4) == pytest.approx(product(45, 40), abs=1e-5)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-3)


def test_tables_are_real_on_a_network_from_the_meta_device() -> None:
    with torch.device("meta"):
        rotary = RotaryPositions(4, 8)
    for name, table in rotary.tables().items():
        rotary.register_buffer(name, table, persistent=False)
    torch.testing.assert_close(rotary.cos, RotaryPositions(4, 8).cos)


def test_swiglu_is_its_formula() -> None:
    layer = randomised(GatedFeedForward(WIDTH, 32))
    x = draw(2, 3, WIDTH)
    gate, value = layer.fc_in.weight.chunk(2)
    torch.testing.assert_close(layer(x), F.linear(F.silu(x @ gate.T) * (x @ value.T), layer.fc_out.weight))


def plain_attention(layer: CausalAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Token by token and head by head, from the formula."""
    B, T, _ = x.shape
    H, G, K = layer.heads, layer.kv_heads, layer.head_width
    q, k, v = layer.qkv_proj(x).split([H * K, G * K, G * K], dim=-1)
    out, weights = torch.zeros(B, T, H * K), torch.zeros(B, H, T, T)
    for b in range(B):
        for h in range(H):
            g = h // (H // G)
            for t in range(T):
                scores = torch.stack(
                    [q[b, t, h * K : h * K + K] @ k[b, s, g * K : g * K + K] / K**0.5 for s in range(t + 1)]
                )
                weights[b, h, t, : t + 1] = scores.softmax(-1)
                out[b, t, h * K : h * K + K] = weights[b, h, t, : t + 1] @ v[b, : t + 1, g * K : g * K + K]
    return layer.out_proj(out), weights


@pytest.mark.parametrize("kv_heads", [6, 2, 1])
def test_causal_attention_is_its_formula(kv_heads: int) -> None:
    layer = randomised(CausalAttention(WIDTH, HEADS, kv_heads=kv_heads))
    x = draw(2, 5, WIDTH)
    expected, weights = plain_attention(layer, x)
    fused, none = layer(x)
    assert none is None
    traced, seen = layer(x, need_weights=True)
    for found in (fused, traced):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen, weights, atol=1e-5, rtol=1e-4)


KINDS = [
    {"norm": "rms", "activation": "swiglu", "kv_heads": 2, "qkv_bias": False, "out_bias": False},  # Llama
    {"norm": "rms", "activation": "swiglu", "kv_heads": 2, "qkv_bias": True, "out_bias": False},  # Qwen2
    {"norm": "layer", "activation": "gelu_tanh"},  # GPT-2
]


def stack(kind: dict[str, object]) -> list[DecoderLayer]:
    return [randomised(DecoderLayer(WIDTH, HEADS, 32, **kind)) for _ in range(2)]  # type: ignore[arg-type]


def run(layers: list[DecoderLayer], x: Tensor, cache: KeyValueCache | None = None, trace: bool = False) -> Tensor:
    rotary = RotaryPositions(32, WIDTH // HEADS)
    step = cache.step(x.shape[1]) if cache is not None else None
    places = step.positions if step is not None else torch.arange(x.shape[1])[None]
    for number, layer in enumerate(layers):
        x, _ = layer(x, rotary(places), cache, step, number, need_weights=trace)
    if cache is not None:
        cache.advance(x.shape[1])
    return x


def empty(kind: dict[str, object], rows: int = 1, tokens: int = 32) -> KeyValueCache:
    return KeyValueCache.empty(2, rows, int(kind.get("kv_heads", HEADS)), tokens, WIDTH // HEADS)  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [[1] * 9, [9], [4, 1, 1, 3], [8, 1]])
@pytest.mark.parametrize("trace", [False, True])
def test_a_cache_gives_what_reading_it_all_again_gives(kind: dict[str, object], pieces: list[int], trace: bool) -> None:
    layers, x = stack(kind), draw(1, 9, WIDTH)
    cache = empty(kind)
    found = torch.cat([run(layers, piece, cache, trace) for piece in x.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(found, run(layers, x), atol=1e-5, rtol=1e-4)
    assert cache.lengths.tolist() == [9]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_may_have_different_lengths(kind: dict[str, object]) -> None:
    layers, texts = stack(kind), [draw(1, length, WIDTH, seed=length) for length in (3, 7, 5)]
    cache = empty(kind, rows=3)
    for row, text in enumerate(texts):
        run(layers, text, cache.view(row, row + 1))
    more = draw(3, 4, WIDTH, seed=9)
    found = torch.cat([run(layers, more[:, t : t + 1], cache) for t in range(4)], dim=1)
    for row, text in enumerate(texts):
        whole = run(layers, torch.cat((text, more[row : row + 1]), dim=1))
        torch.testing.assert_close(found[row], whole[0, -4:], atol=1e-5, rtol=1e-4)
    assert cache.lengths.tolist() == [7, 11, 9]


def test_padding_on_the_right_is_written_over() -> None:
    layers, x = stack(KINDS[0]), draw(2, 6, WIDTH)
    cache = empty(KINDS[0], rows=2)
    lengths = torch.tensor([6, 2])
    run(layers, x, cache)
    cache.lengths.copy_(lengths)
    new = draw(2, 1, WIDTH, seed=5)
    found = run(layers, new, cache)
    whole = run(layers, torch.cat((x[1:, :2], new[1:]), dim=1))
    torch.testing.assert_close(found[1:], whole[:, -1:], atol=1e-5, rtol=1e-4)


def test_a_row_moves_into_a_free_place() -> None:
    layers, cache = stack(KINDS[0]), empty(KINDS[0], rows=2)
    text, new = draw(1, 5, WIDTH), draw(1, 1, WIDTH, seed=1)
    run(layers, text, cache.view(1, 2))
    cache.move(1, 0)
    found = run(layers, new, cache.view(0, 1))
    torch.testing.assert_close(found, run(layers, torch.cat((text, new), dim=1))[:, -1:], atol=1e-5, rtol=1e-4)


def test_a_text_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    cache = empty(KINDS[0], tokens=4)
    with pytest.raises(ValueError, match="5 tokens do not fit the 4 places"):
        cache.step(5)
    assert cache.lengths.tolist() == [0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CausalAttention(24, 5), "must each divide"),
        (lambda: CausalAttention(24, 6, kv_heads=4), "must each divide"),
        (lambda: DecoderLayer(24, 6, 32, norm="batch"), "norm 'batch' is unknown"),
        (lambda: DecoderLayer(24, 6, 32, activation="tanh"), "activation 'tanh' is unknown"),
        (lambda: RotaryPositions(4, 5), "even head width"),
    ],
)
def test_what_cannot_be_built_says_why(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_layers_share_nothing_through_the_module() -> None:
    layer = randomised(DecoderLayer(WIDTH, HEADS, 32))
    before = copy.deepcopy(vars(layer))
    run([layer, layer], draw(1, 3, WIDTH), empty(KINDS[2]))
    assert vars(layer).keys() == before.keys()
