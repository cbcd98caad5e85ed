"""What the pictures are made of: the numbers of a plain computation, within bounds of memory and time."""

# T tokens, V vocabulary

from __future__ import annotations

import math
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from demo_app_decoder_generator import explain
from demo_app_decoder_generator.explain import cache_timing, candidates, look, name, scores, surprise
from demo_app_decoder_generator.model import Config, Decoder
from demo_app_decoder_generator.sampling import Sampling
from demo_app_decoder_generator.texts import FORMS, SPECIAL, UNKNOWN, character_tokenizer, prompt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEXT = "to be, or not to be\nthat is <b>the</b> question"


def network_for(tokenizer: Tokenizer, context: int = 128) -> Decoder:
    torch.manual_seed(0)
    config = Config(
        vocab_size=tokenizer.get_vocab_size(),
        context=context,
        width=24,
        layers=3,
        heads=4,
        kv_heads=2,
        feed_forward=32,
    )
    network = Decoder(config)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.3
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return character_tokenizer([TEXT])


@pytest.fixture(scope="module")
def network(tokenizer: Tokenizer) -> Decoder:
    return network_for(tokenizer)


def writer_of(network: Decoder, tokenizer: Tokenizer, kind: str = "text") -> Any:
    missing = tokenizer.token_to_id(UNKNOWN)
    return SimpleNamespace(network=network, tokenizer=tokenizer, config=network.config, kind=kind, missing=missing)


@pytest.fixture(scope="module")
def bytes_tokenizer() -> Tokenizer:
    """Byte-level without merges: each byte is a token, as the rare characters of GPT-2 are."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@torch.inference_mode()
def plain(network: Decoder, ids: list[int]) -> torch.Tensor:
    """(T, V) log-probabilities, in one pass and without a cache."""
    return network(torch.tensor([ids])).logits[0].log_softmax(-1)


def softmax(values: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(values - values.max())
    return shares / shares.sum()


@pytest.mark.parametrize("length", [1, 2, 24, 25, 40])
def test_a_look_has_the_logits_and_the_attention_of_a_plain_pass(
    network: Decoder, tokenizer: Tokenizer, length: int
) -> None:
    ids = tokenizer.encode(TEXT).ids[:length]
    seen = look(network, tokenizer, ids)
    with torch.inference_mode():
        output = network(torch.tensor([ids]), trace=True)
    np.testing.assert_allclose(seen.logits, output.logits[0, -1].numpy(), atol=1e-4)
    expected = torch.stack([weights[0, :, -1] for weights in output.trace.attention]).numpy()  # (L, H, T)
    assert (seen.layers, seen.heads) == (3, 4)
    np.testing.assert_allclose(seen.attention, expected, atol=1e-3)
    np.testing.assert_allclose(seen.attention.astype(np.float64).sum(-1), 1, atol=5e-3)
    assert "".join(seen.tokens) == TEXT[:length].replace(" ", "·").replace("\n", "↵")


def test_the_lens_says_what_each_layer_would_say(network: Decoder, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT).ids
    seen = look(network, tokenizer, ids, top=2)
    with torch.inference_mode():
        hidden = network(torch.tensor([ids]), trace=True).trace.hidden
    for layer, x in enumerate(hidden):
        shares = network.logits(x[0, -24:]).softmax(-1).numpy()  # (P, V)
        assert seen.lens_ids[layer, :, 0].tolist() == shares.argmax(-1).tolist()
        np.testing.assert_allclose(seen.lens[layer], -np.sort(-shares, axis=-1)[:, :2], atol=1e-3)
    assert seen.lens_tokens[3][5][1] == name(tokenizer, int(seen.lens_ids[3, 5, 1]))
    assert seen.lens_ids[-1, -1, 0] == seen.logits.argmax()  # the last layer's is what the network says


def test_a_look_at_a_long_text_reads_the_end_that_fits_and_keeps_little(tokenizer: Tokenizer) -> None:
    network = network_for(tokenizer, context=100)
    ids = tokenizer.encode(TEXT * 5).ids
    seen = look(network, tokenizer, ids)
    assert (seen.length, seen.truncated) == (100, True)
    assert seen.attention.shape == (3, 4, explain.SHOWN)
    assert len(seen.tokens) == len(seen.ids) == explain.SHOWN
    np.testing.assert_allclose(seen.logits, look(network, tokenizer, ids[-100:]).logits, atol=1e-5)
    assert seen.logits.base is None  # the logits of the other positions are not kept alive
    with pytest.raises(ValueError, match="at least one token"):
        look(network, tokenizer, [])


def test_the_lens_of_a_large_vocabulary_shows_fewer_positions() -> None:
    assert explain.lens_positions(6, 65, 256) == explain.LENS
    assert explain.lens_positions(12, 50_257, 768) in range(12, 17)
    assert explain.lens_positions(80, 256_000, 8192) == explain.LENS_LEAST


def test_candidates_have_the_probabilities_of_a_softmax_by_hand(tokenizer: Tokenizer) -> None:
    logits = np.array([3.0, 1.0, 2.0, 0.0, -1.0], dtype=np.float32)
    before, after = softmax(logits), softmax(logits / 0.5)
    found = candidates(logits, tokenizer, Sampling(temperature=0.5), top=3)
    assert [c.id for c in found] == [0, 2, 1]
    assert [c.text for c in found] == [name(tokenizer, i) for i in (0, 2, 1)]
    np.testing.assert_allclose([c.before for c in found], before[[0, 2, 1]], rtol=1e-5)
    np.testing.assert_allclose([c.after for c in found], after[[0, 2, 1]], rtol=1e-5)
    assert all(c.kept for c in found)


def test_candidates_that_are_not_drawn_are_listed_and_say_so(tokenizer: Tokenizer) -> None:
    logits = np.array([3.0, 1.0, 2.0, 0.0, -1.0], dtype=np.float32)
    found = candidates(logits, tokenizer, Sampling(temperature=1.0, top_k=2))
    assert [(c.id, c.kept) for c in found] == [(0, True), (2, True), (1, False), (3, False), (4, False)]
    np.testing.assert_allclose([c.after for c in found], [*softmax(logits[[0, 2]]), 0, 0, 0], rtol=1e-5)
    greedy = candidates(logits, tokenizer, Sampling(temperature=0))
    assert [c.after for c in greedy] == [1, 0, 0, 0, 0]
    assert [c.before for c in greedy] == [c.before for c in found]
    assert [c.kept for c in candidates(logits, tokenizer, Sampling(top_p=0))] == [True, False, False, False, False]


def test_settings_move_no_candidate_from_its_place(tokenizer: Tokenizer) -> None:
    logits = np.array([3.0, 2.9, 2.0, 0.0, -1.0], dtype=np.float32)
    found = candidates(logits, tokenizer, Sampling(repetition_penalty=2.0), seen=[0])
    assert [c.id for c in found][:2] == [0, 1]
    assert found[0].before > found[1].before
    assert found[0].after < found[1].after


def test_the_chosen_token_is_a_candidate_even_where_it_is_unlikely(tokenizer: Tokenizer) -> None:
    logits = np.arange(20, dtype=np.float32)
    found = candidates(logits, tokenizer, Sampling(), top=3, chosen=0)
    assert [c.id for c in found] == [19, 18, 17, 0]
    assert len(candidates(logits, tokenizer, Sampling(), top=3, chosen=18)) == 3


def test_scores_are_those_of_one_plain_pass(network: Decoder, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT * 2).ids[:90]  # more than one piece
    logs = plain(network, ids)
    found = scores(network, ids)
    np.testing.assert_allclose([s.nats for s in found], -logs[range(89), ids[1:]].numpy(), atol=1e-4)
    assert [s.likeliest for s in found] == logs[:-1].argmax(-1).tolist()
    np.testing.assert_allclose([s.share for s in found], logs[:-1].max(-1).values.exp().numpy(), atol=1e-4)


@pytest.mark.parametrize("length", [16, 17, 18, 24, 25, 60])
def test_every_token_of_a_text_beyond_the_context_is_scored_by_a_window(tokenizer: Tokenizer, length: int) -> None:
    network = network_for(tokenizer, context=16)
    ids = tokenizer.encode(TEXT * 3).ids[:length]
    found = [s.nats for s in scores(network, ids)]
    assert len(found) == length - 1
    for target in range(1, length):
        begin = 0 if target <= 16 else 8 * math.ceil((target - 16) / 8)  # windows begin every half context
        expected = -float(plain(network, ids[begin:target])[-1, ids[target]])
        assert found[target - 1] == pytest.approx(expected, abs=1e-4)


def test_scores_stop_when_the_time_is_over_but_not_before_the_first_piece(
    network: Decoder, tokenizer: Tokenizer
) -> None:
    ids = tokenizer.encode(TEXT * 9).ids
    assert len(scores(network, ids, seconds=0)) == explain.PIECE
    assert scores(network, ids[:1]) == []
    assert scores(network, []) == []


def test_surprise_adds_up_to_perplexity_and_bits_per_character(network: Decoder, tokenizer: Tokenizer) -> None:
    said = surprise(writer_of(network, tokenizer), TEXT)
    ids = tokenizer.encode(TEXT).ids
    logs = plain(network, ids)
    nats = [-float(logs[i, ids[i + 1]]) for i in range(len(ids) - 1)]
    assert said.pieces[0].nats is None  # nothing is before it
    np.testing.assert_allclose([piece.nats for piece in said.pieces[1:]], nats, atol=1e-4)
    assert "".join(piece.text for piece in said.pieces) == TEXT
    assert said.tokens == said.characters == len(TEXT) - 1
    assert said.perplexity == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-4)
    assert said.bits_per_character == pytest.approx(sum(nats) / math.log(2) / len(nats), rel=1e-4)
    assert not said.truncated


def test_characters_without_a_token_are_named_once_and_not_scored(network: Decoder, tokenizer: Tokenizer) -> None:
    with_others, without = (surprise(writer_of(network, tokenizer), text) for text in ("t€o 床€be", "to be"))
    assert with_others.unknown == "€床"
    assert "".join(piece.text for piece in with_others.pieces) == "t€o 床€be"
    assert [piece.text for piece in with_others.pieces if not piece.known] == ["€", "床", "€"]
    assert with_others.nats == pytest.approx(without.nats, rel=1e-5)
    assert with_others.characters == without.characters == 4


@pytest.mark.parametrize("text", ["", "t", "€", "€t"])
def test_a_text_with_nothing_to_score_has_no_perplexity(network: Decoder, tokenizer: Tokenizer, text: str) -> None:
    said = surprise(writer_of(network, tokenizer), text)
    assert (said.tokens, said.nats) == (0, 0)
    assert math.isnan(said.perplexity)
    assert math.isnan(said.bits_per_character)
    assert "".join(piece.text for piece in said.pieces) == text


def test_the_tokens_of_one_character_are_one_piece(bytes_tokenizer: Tokenizer) -> None:
    network = network_for(bytes_tokenizer)
    text = "a 床🙂!"
    said = surprise(writer_of(network, bytes_tokenizer), text)
    assert [piece.text for piece in said.pieces] == list(text)
    assert said.tokens == len(text.encode()) - 1
    assert said.characters == 4
    ids = bytes_tokenizer.encode(text).ids
    logs = plain(network, ids)
    expected = -sum(float(logs[i - 1, ids[i]]) for i in (2, 3, 4))
    assert said.pieces[2].nats == pytest.approx(expected, rel=1e-4)
    assert sum(piece.nats or 0.0 for piece in said.pieces) == pytest.approx(said.nats, rel=1e-5)


def test_a_text_longer_than_the_limit_says_so(
    network: Decoder, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "LIMIT", 30)
    said = surprise(writer_of(network, tokenizer), TEXT)
    assert said.truncated
    assert "".join(piece.text for piece in said.pieces) == TEXT[:30]
    monkeypatch.undo()
    said = surprise(writer_of(network, tokenizer), TEXT * 9, seconds=0)
    assert said.truncated
    assert len(said.pieces) == explain.PIECE + 1
    assert said.pieces[-1].nats is not None


def test_a_poem_is_scored_from_its_first_character_on_with_its_form_given() -> None:
    poem = "床前明月光，疑是地上霜。"
    tokenizer = character_tokenizer([poem], special=SPECIAL)
    network = network_for(tokenizer)
    said = surprise(writer_of(network, tokenizer, "poems"), poem)
    head = prompt(tokenizer, "", 5)
    assert tokenizer.token_to_id(FORMS[5]) in head
    ids = [*head, *tokenizer.encode(poem).ids]
    logs = plain(network, ids)
    expected = [-float(logs[i - 1, ids[i]]) for i in range(len(head), len(ids))]
    np.testing.assert_allclose([piece.nats for piece in said.pieces], expected, atol=1e-4)
    assert said.tokens == len(poem)


def test_the_timing_grows_and_ends(network: Decoder, tokenizer: Tokenizer) -> None:
    steps = list(cache_timing(network, tokenizer.encode("to be").ids, most=12, every=0))
    assert [len(step.lengths) for step in steps] == list(range(1, 13))
    assert [step.done for step in steps] == [False] * 11 + [True]
    assert steps[-1].lengths == tuple(range(6, 18))
    assert all(value > 0 for value in steps[-1].cached + steps[-1].uncached)
    assert len(steps[-1].cached) == len(steps[-1].uncached) == 12


def test_the_timing_reads_one_token_with_the_cache_and_all_without(tokenizer: Tokenizer) -> None:
    network = network_for(tokenizer)
    read: list[tuple[int, bool]] = []
    forward = network.forward

    def recorded(ids: torch.Tensor, cache: Any = None, **how: Any) -> Any:
        read.append((ids.shape[1], cache is not None))
        return forward(ids, cache, **how)

    network.forward = recorded  # type: ignore[method-assign]
    *_, last = cache_timing(network, [1, 2, 3], most=3)
    assert last.done
    assert read == [(3, True), (1, True), (4, False), (1, True), (5, False), (1, True), (6, False)]


def test_the_timing_is_bounded_in_time_and_by_the_context(tokenizer: Tokenizer) -> None:
    network = network_for(tokenizer, context=16)
    (only,) = cache_timing(network, [1, 2, 3], seconds=0)
    assert (len(only.lengths), only.done) == (1, True)
    *_, last = cache_timing(network, [1] * 40, most=10)
    assert last.lengths == tuple(range(7, 17))
    *_, last = cache_timing(network, [1] * 40, most=100)
    assert (last.lengths[-1], last.done) == (16, True)
    with pytest.raises(ValueError, match="at least one token"):
        next(cache_timing(network, []))


def test_a_network_is_left_as_it_was_when_a_visitor_leaves_in_the_middle(
    network: Decoder, tokenizer: Tokenizer
) -> None:
    steps = cache_timing(network, [1, 2, 3], every=0)
    next(steps)
    assert not torch.is_inference_mode_enabled()  # the mode belongs to the thread, which goes on with others
    steps.close()


def test_a_token_is_shown_so_that_one_sees_it(tokenizer: Tokenizer, bytes_tokenizer: Tokenizer) -> None:
    shown = {letter: name(tokenizer, tokenizer.token_to_id(letter)) for letter in " \n<t"}
    assert shown == {" ": "·", "\n": "↵", "<": "<", "t": "t"}
    assert name(tokenizer, 10_000) == "#10000"  # vocabularies are padded
    first, *_ = bytes_tokenizer.encode("床").ids
    assert name(bytes_tokenizer, first) == "‹E5›"
    assert name(bytes_tokenizer, bytes_tokenizer.encode(" ").ids[0]) == "·"


def test_the_module_is_imported_without_torch() -> None:
    code = (
        "import sys, demo_app_decoder_generator.explain, demo_app_decoder_generator.views;"
        "print(sorted({'gradio', 'torch', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.strip() == "[]"
