"""What trainings share: the running mean, the rates, and going on exactly where a kill left them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from demo_app.nn import training


def test_the_mean_forgets_its_start_and_then_follows_slowly() -> None:
    network, mean = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(mean.weight, 100.0)
    expected = 100.0
    for step in range(1, 200):
        nn.init.constant_(network.weight, float(step % 3))
        training.average(mean, network, 0.9, step)
        decay = min(0.9, step / (step + 10))
        expected = decay * expected + (1 - decay) * (step % 3)
    assert mean.weight.item() == pytest.approx(expected, rel=1e-5)
    assert 0 < mean.weight.item() < 2


def test_the_mean_has_batch_norms_statistics_too() -> None:
    network, mean = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network.running_mean.fill_(5.0)
    training.average(mean, network, 0.0, 1)
    assert mean.running_mean.tolist() == [5.0, 5.0]


def test_rates_rise_and_fall_in_straight_lines() -> None:
    factors = [training.rise_and_fall(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert max(factors) <= 1.0
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.02
    assert training.rise_and_fall(0, 10, 0.0) == 1.0  # no warm-up


def test_each_group_keeps_its_own_share() -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weights[0]], "lr": 1.0}, {"params": [weights[1]], "lr": 0.1}], lr=1.0)
    for factor in (0.5, 0.25):
        training.set_rates([optimizer], factor)
        assert [group["lr"] for group in optimizer.param_groups] == [factor, factor * 0.1]


def parts() -> dict[str, training.Stateful]:
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    return {"network": network, "optimizer": torch.optim.AdamW(network.parameters(), lr=0.1)}


def steps(state: dict[str, training.Stateful], count: int, first: int = 0) -> torch.Tensor:
    network, optimizer = state["network"], state["optimizer"]
    for step in range(first, first + count):
        training.set_rates([optimizer], training.rise_and_fall(step, 20, 0.2))
        optimizer.zero_grad()
        (network(torch.ones(1, 3) * step) ** 2).sum().backward()
        optimizer.step()
    return network.weight.detach().clone()


def test_a_training_that_goes_on_ends_where_one_in_one_piece_does(tmp_path: Path) -> None:
    whole = steps(parts(), 12)
    first = parts()
    steps(first, 5)
    training.save(tmp_path / "t.pt", "settings", first, step=5)
    second = parts()
    assert training.resume(tmp_path / "t.pt", "settings", second) == {"step": 5}
    assert torch.equal(steps(second, 7, first=5), whole)
    assert [path.name for path in tmp_path.iterdir()] == ["t.pt"]


def test_other_settings_start_anew_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training.save(tmp_path / "t.pt", "one", parts(), step=5)
    fresh = parts()
    before = fresh["network"].weight.clone()
    with caplog.at_level(logging.WARNING):
        assert training.resume(tmp_path / "t.pt", "two", fresh) == {}
    assert "training starts anew" in caplog.text
    assert torch.equal(fresh["network"].weight, before)
    assert training.resume(tmp_path / "none.pt", "one", fresh) == {}
