"""Parameter groups for optimisers."""

from __future__ import annotations

from torch import nn

from demo_app.training.optimizers import weight_decay_groups


def test_biases_and_norms_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decaying, others = weight_decay_groups(network.parameters(), 0.1)
    assert decaying == {"params": [network[0].weight, network[3].weight], "weight_decay": 0.1}
    assert [id(p) for p in others["params"]] == [
        id(p) for p in (network[0].bias, network[1].weight, network[1].bias, network[3].bias)
    ]
    assert others["weight_decay"] == 0.0
