"""Measuring a classifier: the held-out part, and scores."""

from __future__ import annotations

import pytest
import torch

from demo_app.training import evaluation


def test_a_share_of_each_class_is_held_out_and_at_least_one_example() -> None:
    classes = torch.tensor([0] * 20 + [1] * 2 + [2] * 10)
    kept, left = evaluation.split(classes, 0.1, seed=0)
    assert sorted([*kept.tolist(), *left.tolist()]) == list(range(32))
    assert classes[left].bincount().tolist() == [2, 1, 1]
    assert kept.tolist() == sorted(kept.tolist())
    assert torch.equal(evaluation.split(classes, 0.1, seed=0)[1], left)
    assert not torch.equal(evaluation.split(classes, 0.1, seed=1)[1], left)


def test_scores_are_those_counted_by_hand() -> None:
    predicted, targets = torch.tensor([0, 0, 1, 1, 1, 0]), torch.tensor([0, 0, 0, 1, 1, 1])
    found = evaluation.scores(predicted, targets, ["a", "b", "none of these"])
    assert found["confusion"] == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert found["accuracy"] == pytest.approx(4 / 6, abs=1e-5)
    assert found["most_frequent"] == 0.5
    assert found["by_class"]["a"] == {"precision": 0.6667, "recall": 0.6667, "f1": 0.6667, "examples": 3}
    assert found["by_class"]["none of these"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0}
