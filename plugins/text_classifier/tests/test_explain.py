"""What the page explains is what the model computed. Importing `explain` needs no torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from demo_app_text_classifier import explain
from demo_app_text_classifier.classifier import Classifier

TEXT = "the plot is not very original, but the acting is wonderful."


def test_gradient_x_input_of_a_linear_model_is_what_each_token_adds_to_the_average_token() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(2, 5, 4, requires_grad=True)  # B T D
    weights = torch.randn(4, 2)
    logits = (embeddings @ weights).sum(1)  # B C
    added = ((embeddings - embeddings.mean(1, keepdim=True)) @ weights).detach()  # B T C
    sign = 1 - 2.0 * logits.argmax(-1)[:, None]  # two classes: the log-odds are the difference of the logits
    mask = torch.ones(2, 5, dtype=torch.bool)
    shares = sign * (added[..., 0] - added[..., 1])
    torch.testing.assert_close(explain.gradient_x_input(logits, embeddings, mask), shares)


def test_gradient_x_input_ignores_what_moves_all_logits_equally() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(2, 5, 4, requires_grad=True, dtype=torch.float64)  # B T D
    logits = embeddings.sum(1)  # B C
    common = 10 * embeddings[:, :1].pow(2).sum((1, 2))[:, None]
    mask = torch.ones(2, 5, dtype=torch.bool)
    plain = explain.gradient_x_input(logits, embeddings, mask)
    torch.testing.assert_close(explain.gradient_x_input(embeddings.sum(1) + common, embeddings, mask), plain)


def test_gradient_x_input_is_the_slope_when_a_token_fades(classifier: Classifier) -> None:
    (seen,) = explain.look(classifier, [TEXT])
    encoded = classifier.encode([TEXT])
    answer = int(seen.probabilities.argmax())
    embed, step = classifier.network.token_embedding, 1e-2

    def log_odds(token: int, move: float) -> float:
        def fade(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
            output[0, token] += move * (output[0, token] - output[0].mean(0))
            return output

        hook = embed.register_forward_hook(fade)
        try:
            (logits,) = classifier.network(encoded.ids, encoded.mask).logits.detach()
            return float(logits[answer] - logits[torch.arange(len(logits)) != answer].logsumexp(0))
        finally:
            hook.remove()

    for token in range(3):
        slope = (log_odds(token, step) - log_odds(token, -step)) / (2 * step)
        assert seen.saliency[token] == pytest.approx(slope, rel=0.05, abs=5e-3)


def test_one_look_gives_what_the_model_predicts(classifier: Classifier) -> None:
    (seen,) = explain.look(classifier, [TEXT], checkpoint="tiny")
    np.testing.assert_allclose(seen.probabilities, classifier.predict([TEXT])[0].numpy(), atol=1e-5)
    assert seen.answer == classifier.labels[int(seen.probabilities.argmax())]
    assert sum(seen.scores().values()) == pytest.approx(1, abs=1e-5)
    assert seen.attention.shape == (2, 3, len(seen.tokens), len(seen.tokens))
    assert seen.attention.dtype == np.float16
    np.testing.assert_allclose(seen.attention.astype(np.float32).sum(-1), 1, atol=5e-3)
    assert seen.parameters == sum(p.numel() for p in classifier.network.parameters())


def test_texts_in_one_batch_do_not_affect_each_other(classifier: Classifier) -> None:
    texts = [TEXT, "a film"]
    for together, text in zip(explain.look(classifier, texts), texts, strict=True):
        (alone,) = explain.look(classifier, [text])
        assert together.tokens == alone.tokens
        np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(together.saliency, alone.saliency, atol=1e-4)
        np.testing.assert_allclose(together.attention, alone.attention, atol=2e-3)


def test_tokens_are_slices_of_the_visitors_text(classifier: Classifier) -> None:
    (seen,) = explain.look(classifier, ["The PLOT, unlikely!"])
    shown = [token for token, special in zip(seen.tokens, seen.special, strict=True) if not special]
    assert "".join(shown) == "ThePLOT,unlikely!"
    text = "".join(("" if joined else " ") + token for token, joined in zip(seen.tokens, seen.joined, strict=True))
    assert text == " [CLS] The PLOT, unlikely!"


def test_a_long_text_is_read_up_to_the_models_limit_and_drawn_up_to_ours(classifier: Classifier) -> None:
    (seen,) = explain.look(classifier, ["film " * 5000])
    assert seen.truncated
    assert seen.length == classifier.config.max_tokens
    assert len(seen.tokens) == len(seen.saliency) == seen.attention.shape[-1] == explain.MAX_TOKENS_SHOWN


def test_the_record_of_a_session_is_small(classifier: Classifier) -> None:
    (seen,) = explain.look(classifier, ["film " * 5000])
    L, H, T, _ = seen.attention.shape
    assert seen.attention.nbytes == L * H * T * T * 2
    assert seen.attention.base is None or seen.attention.base.nbytes <= seen.attention.nbytes


@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("head", [None, 2])
def test_a_head_or_an_average_is_chosen(layer: int | None, head: int | None) -> None:
    attention = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 3, 5)).astype(np.float16)
    layers = range(2) if layer is None else [layer]
    heads = range(3) if head is None else [head]
    expected = np.mean([attention[a, b].astype(np.float32) for a in layers for b in heads], axis=0)
    np.testing.assert_allclose(explain.choose(attention, layer, head), expected, atol=1e-6)


def test_attention_received_is_what_the_pooling_sees() -> None:
    weights = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert explain.received(weights, "first").tolist() == [1.0, 0.0]
    assert explain.received(weights, "mean").tolist() == [0.75, 0.25]


@pytest.mark.parametrize(
    ("text", "cuts", "expected"),
    [
        ("unlikely film.", [(0, 2), (2, 8), (9, 13), (13, 14)], ["unlikely", "film"]),
        ("I can't go", [(0, 1), (2, 5), (5, 6), (6, 7), (8, 10)], ["I", "can't", "go"]),
        ("well-made", [(0, 4), (4, 5), (5, 9)], ["well", "made"]),
        ("很干净,好", [(0, 1), (1, 3), (3, 4), (4, 5)], ["很", "干净", "好"]),
        ("so 😀 good", [(0, 0), (0, 2), (3, 4), (5, 9)], ["so", "😀", "good"]),
        ("...", [(0, 1), (1, 2), (2, 3)], []),
    ],
)
def test_tokens_make_words(text: str, cuts: list[tuple[int, int]], expected: list[str]) -> None:
    assert [text[a:b] for a, b in explain.words(text, cuts)] == expected


@pytest.mark.parametrize(
    ("text", "word", "left"),
    [
        ("not a film", "not", "a film"),
        ("not a film", "a", "not film"),
        ("not a film", "film", "not a "),
        ("很好", "很", "好"),
    ],
)
def test_a_word_leaves_no_double_space(text: str, word: str, left: str) -> None:
    start = text.index(word)
    assert explain.without(text, (start, start + len(word))) == left


def test_occlusion_is_the_answer_without_each_word(classifier: Classifier) -> None:
    text = "not bad at all"
    occlusion = explain.occlude(classifier, text)
    assert occlusion.words == ("not", "bad", "at", "all")
    whole = classifier.predict([text])[0]
    answer = int(whole.argmax())
    assert occlusion.answer == classifier.labels[answer]
    for word, without, effect, other in zip(
        occlusion.words,
        ["bad at all", "not at all", "not bad all", "not bad at "],
        occlusion.effect,
        occlusion.answers,
        strict=True,
    ):
        alone = classifier.predict([without])[0]
        assert effect == pytest.approx(float(whole[answer] - alone[answer]), abs=1e-5), word
        assert other == classifier.labels[int(alone.argmax())]


def test_occlusion_tries_a_limited_number_of_words(classifier: Classifier) -> None:
    assert len(explain.occlude(classifier, "film " * 90).words) == explain.MAX_WORDS


def test_occlusion_of_a_single_word_is_empty(classifier: Classifier) -> None:
    assert explain.occlude(classifier, "film").words == ()


def test_importing_it_does_not_import_torch() -> None:
    lines = [
        f"import sys; sys.path[:] = {sys.path!r}",
        "import demo_app_text_classifier.explain",
        "print('torch' in sys.modules)",
    ]
    code = "\n".join(lines)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
