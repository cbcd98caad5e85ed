"""Greedy and beam search, each against an exhaustive search."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from demo_app_translator.actions import within
from demo_app_translator.explain import Seen, nodes, watch
from demo_app_translator.model import EncoderDecoder
from demo_app_translator.search import Beam, SearchStep, search
from demo_app_translator.translator import Translator
from torch import Tensor

Networks = Callable[..., EncoderDecoder]
END, START = 3, 2


def run(network: EncoderDecoder, ids: Tensor, settings: Beam) -> list[SearchStep]:
    return list(search(network, network.encode(ids, ids != 0), len(ids), settings))


def log_probabilities(network: EncoderDecoder, ids: Tensor, written: tuple[int, ...]) -> Tensor:
    logits = network(ids, ids != 0, torch.tensor([[START, *written]])).logits[0, -1]
    logits[list(network.config.banned_ids)] = -torch.inf
    return logits.log_softmax(-1)


def all_translations(network: EncoderDecoder, ids: Tensor, most: int) -> dict[tuple[int, ...], float]:
    """Every sequence of at most `most` tokens. The last one can only be the end, so its probability is 1."""
    tokens = [t for t in range(network.config.target_vocab_size) if t not in (*network.config.banned_ids, END)]
    found = {}
    for length in range(most):
        for written in itertools.product(tokens, repeat=length):
            total = sum(float(log_probabilities(network, ids, written[:t])[written[t]]) for t in range(length))
            end = 0.0 if length == most - 1 else float(log_probabilities(network, ids, written)[END])
            found[(*written, END)] = total + end
    return found


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_with_enough_beams_it_finds_the_best_of_all_translations(network_of: Networks, length_penalty: float) -> None:
    network = network_of(8)
    ids = torch.tensor([[5, 6, 3]])
    everything = all_translations(network, ids, 3)
    assert len(everything) == 1 + 4 + 16
    best = max(everything, key=lambda written: everything[written] / len(written) ** length_penalty)
    *_, last = run(network, ids, Beam(beams=30, length_penalty=length_penalty, max_tokens=3))
    assert last.best[0].ids == best
    assert last.best[0].log_probability == pytest.approx(everything[best], abs=1e-4)
    assert last.best[0].score == pytest.approx(everything[best] / len(best) ** length_penalty, abs=1e-4)


def test_one_beam_takes_the_likeliest_token_each_time(network_of: Networks) -> None:
    network = network_of()
    ids = torch.tensor([[5, 6, 7, 3]])
    *_, last = run(network, ids, Beam(beams=1, max_tokens=9))
    written: tuple[int, ...] = ()
    while len(written) < 8 and written[-1:] != (END,):
        written = (*written, int(log_probabilities(network, ids, written).argmax()))
    assert last.best[0].ids[: len(written)] == written


def test_banned_tokens_are_never_written(network_of: Networks) -> None:
    network = network_of(30, banned_ids=(0, 1, 2, *range(4, 20)))
    *_, last = run(network, torch.tensor([[5, 6, 3], [7, 3, 0]]), Beam(beams=3, max_tokens=12))
    assert all(token == END or token >= 20 for best in last.best for token in best.ids)


def test_sentences_in_a_batch_do_not_affect_each_other(network_of: Networks) -> None:
    network = network_of()
    ids = torch.tensor([[5, 6, 7, 8, 3], [9, 3, 0, 0, 0], [4, 4, 3, 0, 0]])
    settings = Beam(beams=4, max_tokens=12)
    *_, together = run(network, ids, settings)
    for row, best in zip(ids, together.best, strict=True):
        *_, alone = run(network, row[row != 0][None], settings)
        assert alone.best[0].ids == best.ids


def test_a_wider_beam_finds_translations_at_least_as_likely(tiny: Translator) -> None:
    """Not true of every network, but of this one; with mixed-up beams it would fail."""
    text = "A small dog sees a ball."
    scores = [tiny.write([text], Beam(beams=beams, max_tokens=16))[0].score for beams in (1, 2, 4, 8)]
    for narrow, wide in itertools.pairwise(scores):
        assert wide > narrow or wide == pytest.approx(narrow, abs=1e-6)  # batches of other sizes round differently


def test_each_step_has_its_candidates_and_the_chosen_ones_are_the_translation(tiny: Translator) -> None:
    settings = Beam(beams=3, max_tokens=16)
    steps = list(tiny.steps("A big cat has a fish.", settings))
    ids = steps[-1].best[0].ids
    found = nodes([step.candidates[0] for step in steps], ids, tiny)
    way = [node for node in found if node.chosen]
    assert [node.step for node in way] == list(range(len(ids)))
    assert way[-1].beam is None, "the last one ends"
    assert way[-1].total == pytest.approx(steps[-1].best[0].log_probability, abs=1e-4)
    for step in steps[1:]:
        going = [c for c in step.candidates[0] if c.beam is not None]
        assert len(going) == 3
        assert [c.total for c in going] == sorted((c.total for c in going), reverse=True)


@pytest.mark.parametrize("wrong", [{"beams": 0}, {"max_tokens": 0}])
def test_zero_beams_or_tokens_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be 1 at least"):
        Beam(**wrong)


def test_a_translation_ends_when_its_time_is_over(tiny: Translator) -> None:
    *_, seen = watch(tiny, "A small dog sees a ball.", Beam(beams=2, max_tokens=30), "tiny", until=0.0)
    assert isinstance(seen, Seen)
    assert len(seen.target) <= 2, "it stopped after the first step"


def test_only_so_many_sentences_keep_their_attention(tiny: Translator) -> None:
    *_, seen = watch(tiny, "A small dog sees a ball.", Beam(beams=1, max_tokens=8), "tiny")
    assert isinstance(seen, Seen)
    assert len(within([seen] * 5, 3 * seen.bytes)) == 3
    assert len(within([seen] * 5, 0)) == 1
