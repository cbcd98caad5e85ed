"""Each step from logits to a token against a plain reference."""

from __future__ import annotations

import math

import pytest
import torch
from demo_app_decoder_generator.sampling import (
    Sampling,
    draw,
    heat,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    likeliest,
    penalise,
    pick,
    shape,
)
from torch import Tensor

from demo_app import InputError

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.0])


def kept(logits: Tensor) -> list[int]:
    return [i for i, value in enumerate(logits.tolist()) if value > -math.inf]


def test_heat_divides() -> None:
    assert heat(LOGITS, 0.5).tolist() == [4.0, 2.0, 0.0, -2.0, 2.0]


def test_the_k_largest_stay_and_ties_with_them() -> None:
    assert kept(keep_top_k(LOGITS, 1)) == [0]
    assert kept(keep_top_k(LOGITS, 2)) == [0, 1, 4]
    assert kept(keep_top_k(LOGITS, 0)) == kept(keep_top_k(LOGITS, 99)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.55, 0.8, 0.95, 0.999, 1.0])
def test_the_fewest_that_reach_p_stay(p: float) -> None:
    logits = torch.randn(20, generator=torch.Generator().manual_seed(1)) * 2
    shares = logits.softmax(-1).tolist()
    expected, total = [], 0.0
    for i in sorted(range(20), key=lambda i: -shares[i]):
        if expected and total >= p and p < 1:
            break
        expected.append(i)
        total += shares[i]
    assert kept(keep_top_p(logits, p)) == sorted(expected)


def test_min_p_is_relative_to_the_likeliest() -> None:
    shares = LOGITS.softmax(-1)
    for p in (0.0, 0.1, 0.3, 0.5, 1.0):
        assert kept(keep_min_p(LOGITS, p)) == [i for i in range(5) if shares[i] >= p * shares.max() - 1e-7]


def test_a_penalty_makes_what_was_seen_less_likely_whatever_its_sign() -> None:
    assert penalise(LOGITS, [0, 3, 3, 2], 2.0).tolist() == [1.0, 1.0, 0.0, -2.0, 1.0]
    assert penalise(LOGITS, [], 2.0) is LOGITS


def test_temperature_zero_is_the_likeliest() -> None:
    sampling = Sampling(temperature=0, top_k=3, top_p=0.1)
    assert {draw(LOGITS, sampling, torch.Generator()) for _ in range(20)} == {0}
    assert kept(shape(LOGITS, sampling)) == [0]


def test_a_seed_repeats_the_draw_and_shares_are_those_of_softmax() -> None:
    sampling = Sampling(temperature=1.0)
    first = torch.Generator().manual_seed(5)
    draws = [draw(LOGITS, sampling, first) for _ in range(4000)]
    again = torch.Generator().manual_seed(5)
    assert [draw(LOGITS, sampling, again) for _ in range(4000)] == draws
    shares = torch.bincount(torch.tensor(draws), minlength=5) / 4000
    torch.testing.assert_close(shares, LOGITS.softmax(-1), atol=0.03, rtol=0)


def test_nothing_excludes_everything() -> None:
    harsh = Sampling(temperature=0.01, top_k=1, top_p=0.0, min_p=1.0, repetition_penalty=2.0)
    assert len(kept(shape(LOGITS, harsh, [0]))) >= 1


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": math.nan},
        {"temperature": -1.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"min_p": math.inf},
        {"repetition_penalty": 0.0},
        {"seed": -1},
    ],
)
def test_what_no_sampling_can_be_is_refused_with_its_name(fields: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(fields))):
        Sampling(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("top_k", [0, 1, 7, 300, 999, 2000])
@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("min_p", [0.0, 0.05])
def test_the_likeliest_are_those_that_ordering_all_tokens_leaves(top_k: int, top_p: float, min_p: float) -> None:
    logits = 3 * torch.randn(1000, generator=torch.Generator().manual_seed(top_k))
    sampling = Sampling(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p)
    found = likeliest(logits, sampling)
    assert found is not None or top_p == 1.0
    if found is not None:
        values, ids = found
        alone = torch.full_like(logits, -math.inf).index_copy(0, ids, values)
        assert torch.equal(alone, shape(logits, sampling))


def test_where_the_likeliest_do_not_tell_all_are_put_in_order() -> None:
    assert likeliest(torch.zeros(1000), Sampling(top_p=0.9)) is None  # 900 of them are wanted
    assert likeliest(torch.zeros(1000), Sampling(top_k=5)) is None  # all tie with the fifth
    generator = torch.Generator().manual_seed(0)
    assert len({draw(torch.zeros(1000), Sampling(top_k=5), generator) for _ in range(200)}) > 100


def test_what_is_picked_is_as_frequent_as_it_is_likely() -> None:
    logits = torch.tensor([-math.inf, 1.0, -math.inf, 0.0, 2.0, -math.inf])
    generator = torch.Generator().manual_seed(0)
    found = torch.tensor([pick(logits, generator) for _ in range(4000)]).bincount(minlength=6) / 4000
    torch.testing.assert_close(found, logits.softmax(-1), atol=0.03, rtol=0)
    assert found[logits.isinf()].sum() == 0
