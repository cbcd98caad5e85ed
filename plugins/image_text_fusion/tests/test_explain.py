"""Drawings show what the network computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from demo_app_image_text_fusion import explain
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.scenes import draw, examples
from PIL import Image

((SCENE, QUESTION),) = examples(3, 1)
PICTURE = Image.fromarray(draw(SCENE))


@pytest.fixture(scope="module")
def seen(answerer: Answerer) -> explain.Seen:
    return explain.look(answerer, PICTURE, QUESTION.text, checkpoint="tiny")


def test_a_look_gives_the_scores_that_asking_gives(answerer: Answerer, seen: explain.Seen) -> None:
    np.testing.assert_allclose(seen.scores, answerer.ask(PICTURE, [QUESTION.text])[0], atol=1e-5)
    assert seen.scores.sum() == pytest.approx(1, abs=1e-4)
    assert seen.best(3)[0][0] == seen.answer
    assert seen.tokens[0] == "[CLS]"
    assert seen.tokens[-1] == "[SEP]"
    assert seen.attention.shape == (3, 4, len(seen.tokens) + 64, len(seen.tokens) + 64)
    assert not seen.truncated
    assert seen.unknown == ()


def test_rollout_is_the_product_of_the_layers() -> None:
    rng = np.random.default_rng(0)
    layers = rng.dirichlet(np.ones(5), size=(3, 5)).astype(np.float32)
    expected = np.eye(5)
    for layer in layers:
        expected = (0.5 * layer + 0.5 * np.eye(5)) @ expected
    np.testing.assert_allclose(explain.rollout(layers), expected, atol=1e-6)
    np.testing.assert_allclose(explain.rollout(layers).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("layer", [None, 0, 2, explain.ROLLOUT])
@pytest.mark.parametrize("head", [None, 1])
def test_every_choice_of_layers_and_heads_is_a_distribution(
    seen: explain.Seen, layer: int | str | None, head: int | None
) -> None:
    np.testing.assert_allclose(explain.matrix(seen, layer, head).sum(axis=1), 1, atol=5e-3)


def test_words_and_patches_are_read_from_their_own_places(seen: explain.Seen) -> None:
    weights = np.zeros((len(seen.tokens) + 64,) * 2, dtype=np.float32)
    weights[2, len(seen.tokens) + 8 * 3 + 5] = 0.4  # the third word looks at row 3, column 5
    weights[len(seen.tokens) + 8 * 6 + 1, 4] = 0.7  # the patch at row 6, column 1 looks at the fifth word
    found = explain.patches_of(seen, weights, 2)
    assert found[3, 5] == 1
    assert found.sum() == 1
    words = explain.words_of(seen, weights, 6, 1)
    assert words.tolist() == [float(i == 4) for i in range(len(seen.tokens))]


def test_long_questions_are_cut_and_unknown_words_named(answerer: Answerer) -> None:
    seen = explain.look(answerer, PICTURE, "what colour is the zebra " * 20)
    assert seen.truncated
    assert len(seen.tokens) == 40
    assert set(seen.unknown) == {"zebra"}


def test_blind_and_deaf_take_one_half_away(answerer: Answerer) -> None:
    image, heard = answerer.look(PICTURE), answerer.listen([QUESTION.text])
    both, blind, deaf = (answerer.fuse(*parts).logits for parts in ((image, heard), (None, heard), (image, None)))
    assert not torch.allclose(both, blind)
    assert not torch.allclose(both, deaf)
    other = answerer.look(Image.new("RGB", (64, 64), "white"))
    assert torch.equal(answerer.fuse(None, heard).logits, blind)
    assert not torch.allclose(answerer.fuse(other, heard).logits, both)


def test_what_is_saved_answers_the_same(answerer: Answerer, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("saved")
    answerer.save(folder)
    again = Answerer.load(folder, "cpu")
    torch.testing.assert_close(
        again.ask(PICTURE, [QUESTION.text]), answerer.ask(PICTURE, [QUESTION.text]), atol=5e-3, rtol=0
    )
    assert again.config == answerer.config
