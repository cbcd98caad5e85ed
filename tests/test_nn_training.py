"""What trainings need beside the loop: a part held out, groups of parameters, scores, dropout from bytes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from demo_app.nn import EncoderLayer
from demo_app.nn import dropout as nn_dropout
from demo_app.training import evaluation, optimizers


def test_of_each_class_a_share_is_held_out_and_at_least_one() -> None:
    classes = torch.tensor([0] * 20 + [1] * 2 + [2] * 10)
    kept, left = evaluation.split(classes, 0.1, seed=0)
    assert sorted([*kept.tolist(), *left.tolist()]) == list(range(32))
    assert classes[left].bincount().tolist() == [2, 1, 1]
    assert kept.tolist() == sorted(kept.tolist())
    assert torch.equal(evaluation.split(classes, 0.1, seed=0)[1], left)
    assert not torch.equal(evaluation.split(classes, 0.1, seed=1)[1], left)


def test_biases_and_norms_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decaying, others = optimizers.decayed(network.parameters(), 0.1)
    assert decaying == {"params": [network[0].weight, network[3].weight], "weight_decay": 0.1}
    assert [id(p) for p in others["params"]] == [
        id(p) for p in (network[0].bias, network[1].weight, network[1].bias, network[3].bias)
    ]
    assert others["weight_decay"] == 0.0


def test_dropout_from_bytes_forgets_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = nn_dropout.ByteDropout(0.25)
    x = torch.ones(1001, 103)
    out = dropout(x)
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert out.unique().tolist() == pytest.approx([0, 256 / 192])
    assert torch.equal(dropout.eval()(x), x)
    assert torch.equal(nn_dropout.ByteDropout(0.0)(x), x)


def test_all_dropout_of_a_network_is_from_bytes_then_and_it_computes_the_same_in_use() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(16, 2, 32, dropout=0.1).eval()
    x, mask = torch.randn(2, 5, 16), torch.ones(2, 1, 1, 5, dtype=torch.bool)
    before = layer(x, mask)[0]
    nn_dropout.use_byte_dropout(layer)
    assert not any(isinstance(module, nn.Dropout) for module in layer.modules())
    assert sum(isinstance(module, nn_dropout.ByteDropout) for module in layer.modules()) > 0
    assert layer.attention.dropout == 0.0
    torch.testing.assert_close(layer(x, mask)[0], before)


def test_scores_are_those_counted_by_hand() -> None:
    said, wanted = torch.tensor([0, 0, 1, 1, 1, 0]), torch.tensor([0, 0, 0, 1, 1, 1])
    found = evaluation.scores(said, wanted, ["a", "b", "none of these"])
    assert found["confusion"] == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert found["accuracy"] == pytest.approx(4 / 6, abs=1e-5)
    assert found["most_frequent"] == 0.5
    assert found["by_class"]["a"] == {"precision": 0.6667, "recall": 0.6667, "f1": 0.6667, "examples": 3}
    assert found["by_class"]["none of these"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0}
