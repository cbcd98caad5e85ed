"""Fine-tuning on pairs of pictures and texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.checkpoints import WEIGHTS
from demo_app_image_text_fusion.tuner import PairTuner

from demo_app.finetune.data import Data, read_data
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.run import tune
from demo_app.nn import stages

TUNER = PairTuner()
SCENES = WEIGHTS / "scenes"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return read_data(TUNER.sample(tmp_path_factory.mktemp("pairs")), TUNER.reads, max_rows=None)


@pytest.fixture(scope="module")
def scenes() -> Answerer:
    return TUNER.load(SCENES)


def test_stage_by_stage_it_computes_what_the_whole_network_does(scenes: Answerer, pairs: Data) -> None:
    examples = [*pairs.examples[:2], replace(pairs.examples[2], text="is there a red circle left of the square?")]
    ids, mask, pixels = TUNER.preprocess(scenes, stages.collate(TUNER.encode(scenes, examples)))
    network = scenes.network
    whole = network({"text": network.extract("text", ids, mask), "image": network.extract("image", pixels)})
    state: stages.Tensors = (ids, mask, pixels)
    for stage in network.stages():
        state = stage(state)
    torch.testing.assert_close(state[0], whole.logits)
    alone = TUNER.predict(scenes, examples)  # each unpadded
    torch.testing.assert_close(whole.logits.softmax(-1), alone, atol=1e-4, rtol=1e-3)


def test_texts_of_one_length_are_padded_too(scenes: Answerer, pairs: Data) -> None:
    examples = [replace(pairs.examples[0], text=text) for text in ("is it red?", "is it blue?")]
    state = TUNER.preprocess(scenes, stages.collate(TUNER.encode(scenes, examples)))
    for stage in scenes.network.stages():
        state = stage(state)
    torch.testing.assert_close(state[0].softmax(-1), TUNER.predict(scenes, examples), atol=1e-4, rtol=1e-3)


def test_every_parameter_is_in_one_stage(scenes: Answerer) -> None:
    found = [id(parameter) for stage in scenes.network.stages() for parameter in stage.parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in scenes.network.parameters())


def test_it_learns_words_that_it_never_saw(scenes: Answerer, pairs: Data) -> None:
    examples = [replace(pairs.examples[0], text="does the zebra wear red socks?")]
    more = TUNER.prepare(scenes, examples)
    assert more.words(examples[0].text).unknown == ()
    assert scenes.words(examples[0].text).unknown == ("zebra", "wear", "socks")
    known = "what shape is the red thing?"
    torch.testing.assert_close(more.listen([known]).x, scenes.listen([known]).x)
    assert TUNER.prepare(scenes, [replace(pairs.examples[0], text=known)]) is scenes


def test_pairs_are_learned_and_what_was_known_is_measured(pairs: Data, tmp_path: Path) -> None:
    result = tune(TUNER, SCENES, pairs, Recipe(strategy="freeze", epochs=6), tmp_path / "new")
    assert result.accuracy > 0.8 > result.most_frequent
    assert result.forgetting is not None
    assert result.forgetting.before > 0.95
    assert result.forgetting.examples == 200
    model = TUNER.load(tmp_path / "new")
    assert model.labels == pairs.labels
    said = TUNER.predict(model, pairs.examples[:20])
    assert said.shape == (20, len(pairs.labels))
