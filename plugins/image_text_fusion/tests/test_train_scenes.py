"""Training on scenes is reproducible, resumes after a kill, and starts from a smaller network."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_app_image_text_fusion import scenes, train_scenes
from demo_app_image_text_fusion.model import Config, Fusion, Modality
from demo_app_image_text_fusion.scene_data import MOST, POINTING
from demo_app_image_text_fusion.texts import word_tokenizer
from demo_app_image_text_fusion.train_scenes import TrainingSettings
from torch import Tensor

TOKENIZER = word_tokenizer([question.text for _, question in scenes.examples(1, 200, 4)])
SETTINGS = TrainingSettings(steps=9, batch_size=8, evaluate_every=5, missing=0.2)


@pytest.fixture(autouse=True)
def few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_scenes, "WATCHED", 20)


def config(layers: int = 1) -> Config:
    vocabulary = TOKENIZER.get_vocab_size()
    return Config(
        labels=scenes.ANSWERS,
        modalities=(
            Modality(name="text", kind="tokens", inputs=vocabulary, places=(MOST,)),
            Modality(name="image", kind="patches", inputs=3, places=(4, 4), patch=scenes.SIZE // 4),
        ),
        width=16,
        heads=2,
        layers=layers,
        feed_forward=16,
        pointing=POINTING,
        reading="found",
    )


def trained(out: Path, seed: int = 0) -> Fusion:
    return train_scenes.fit(config(), TOKENIZER, replace(SETTINGS, seed=seed), out, "cpu")


def same(one: Fusion, two: Fusion) -> bool:
    other = two.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.state_dict().items())


def test_a_training_that_was_killed_ends_as_one_that_was_not_and_another_seed_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path)
    loss_of, calls = train_scenes.loss_of, itertools.count(1)

    def dies(*arguments: Any) -> Tensor:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    with monkeypatch.context() as killed:
        killed.setattr(train_scenes, "loss_of", dies)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    assert (tmp_path / "training.pt").exists()
    assert same(trained(tmp_path), whole)
    assert list(tmp_path.iterdir()) == []
    assert not same(trained(tmp_path, seed=1), whole)


def test_every_step_is_there_once_and_sometimes_one_half_is_missing() -> None:
    parts = [list(train_scenes.asked(TOKENIZER, config(), SETTINGS, part)) for part in range(2)]
    assert [len(part) for part in parts] == [5, 4]
    again = list(train_scenes.asked(TOKENIZER, config(), SETTINGS, 1))
    assert all(torch.equal(one.batch.ids, two.batch.ids) for one, two in zip(again, parts[1], strict=True))
    missing = [(one.blind, one.deaf) for part in parts for one in part]
    assert (True, False) in missing or (False, True) in missing
    assert (True, True) not in missing


def test_layers_beyond_those_of_the_start_add_nothing_at_first() -> None:
    small = Fusion(config(1)).eval()
    larger = train_scenes.begin(config(2), 0, small).eval()
    (step, *_) = train_scenes.asked(TOKENIZER, config(), SETTINGS, 0)
    one, two = (train_scenes.answer(network, step.batch).logits for network in (small, larger))
    torch.testing.assert_close(one, two)
