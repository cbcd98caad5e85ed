"""The training loop: learning rates, clipping, averaging, the best weights, resuming after a kill, processes."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from demo_app.training.precision import bfloat16_is_faster
from demo_app.training.progress import TrainingProgress, progress_bar
from demo_app.training.schedule import Schedule, learning_rate_factor
from demo_app.training.state import StateFile
from demo_app.training.trainer import Outcome, Trainer, TrainingError, set_training_mode, update_average

ROOT = Path(__file__).parents[2]
Batch = tuple[Tensor, Tensor]
SIZE, BATCHES = 8, 5  # examples of a batch, batches of an epoch


def net(dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))


def data(seed: int = 0) -> Batch:
    x = torch.randn(SIZE * BATCHES, 3, generator=torch.Generator().manual_seed(seed))
    return x, x.sum(1, keepdim=True)


def batches(epoch: int) -> Iterator[Batch]:
    x, y = data()
    for rows in torch.randperm(len(x)).split(SIZE):
        yield x[rows], y[rows]


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    return ((model(batch[0]) - batch[1]) ** 2).mean()


def held_out_loss(model: nn.Module) -> dict[str, float]:
    return {"loss": loss_of(model, data(1)).item()}


def schedule(epochs: int = 4, **more: Any) -> Schedule:
    return Schedule(epochs=epochs, steps=epochs * BATCHES, **more)


def run(network: nn.Module, schedule: Schedule, lr: float = 0.05, **more: Any) -> Outcome:
    optimizers = [torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=lr)]
    fitting = {name: more.pop(name) for name in ("evaluate", "model") if name in more}
    loss = more.pop("loss", loss_of)
    return Trainer(network, optimizers, schedule, **more).fit(batches, loss, **fitting)


def state_file(folder: Path, settings: str = "") -> StateFile:
    return StateFile(path=folder / "t.pt", settings=settings)


def same(one: nn.Module, two: nn.Module) -> bool:
    other = two.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.state_dict().items())


def losses(*values: float) -> Callable[[nn.Module], Mapping[str, float]]:
    """An evaluation that returns these losses, one after the other."""
    following = iter(values)
    return lambda network: {"loss": next(following)}


# Learning rates


def test_learning_rates_rise_linearly_and_fall_linearly_or_as_a_cosine() -> None:
    line = [learning_rate_factor(step, 100, 0.1, "linear") for step in range(101)]
    assert line[:10] == pytest.approx([share / 10 for share in range(1, 11)])
    assert line[10:] == pytest.approx([(100 - step) / 90 for step in range(10, 101)])
    wave = [learning_rate_factor(step, 100, 0.1, "cosine") for step in range(101)]
    assert wave[:10] == line[:10]
    assert wave[10:] == pytest.approx([(1 + math.cos(math.pi * (step - 10) / 90)) / 2 for step in range(10, 101)])
    assert learning_rate_factor(0, 10, 0.0, "linear") == learning_rate_factor(0, 10, 0.0, "cosine") == 1.0  # no warm-up
    assert learning_rate_factor(11, 10, 0.1, "linear") == 0.0  # more steps than the schedule has


def test_each_group_scales_its_own_learning_rate() -> None:
    network = net()
    groups = [{"params": network[0].parameters(), "lr": 1e-2}, {"params": network[4].parameters(), "lr": 1e-3}]
    optimizer, seen = torch.optim.SGD(groups), []

    def note(progress: TrainingProgress) -> None:
        seen.append([group["lr"] for group in optimizer.param_groups])

    Trainer(network, [optimizer], schedule(2, warmup=0.2, decay="linear"), progress=note).fit(batches, loss_of)
    factors = [0.5, 1.0, *((10 - step) / 8 for step in range(2, 10))]
    assert [first for first, _ in seen] == pytest.approx([1e-2 * factor for factor in factors])
    assert [second for _, second in seen] == pytest.approx([1e-3 * factor for factor in factors])


# Steps


def moved(clip: float | None, clipped: Callable[[nn.Module], Any] = lambda network: None) -> list[float]:
    """How far one step of plain gradient descent moves the two layers, whose gradients are large."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    before = copy.deepcopy(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    once = Schedule(epochs=1, steps=1, warmup=0, max_grad_norm=clip)
    batch = (torch.full((4, 3), 10.0), torch.full((4, 1), 50.0))
    Trainer(network, [optimizer], once, clip_parameters=clipped(network)).fit(lambda _: [batch], loss_of)
    return [
        sum(((a - b) ** 2).sum().item() for a, b in zip(one.parameters(), two.parameters(), strict=True)) ** 0.5
        for one, two in zip(network, before, strict=True)
    ]


def test_the_norm_of_all_gradients_is_bounded_or_that_of_some_alone() -> None:
    torch.manual_seed(0)
    first, second = moved(1.0)
    assert math.hypot(first, second) == pytest.approx(1.0, rel=1e-3)
    assert math.hypot(*moved(None)) > 100
    first, second = moved(1.0, lambda network: network[0].parameters())
    assert first == pytest.approx(1.0, rel=1e-3)
    assert second > 100


def test_the_average_of_the_weights_is_evaluated_and_kept() -> None:
    network = net(dropout=0)
    expected, steps = [], itertools.count(1)
    mean = copy.deepcopy(network)  # computed by hand

    def average(progress: TrainingProgress) -> None:
        if progress.measured is None:
            decay = min(0.9, (step := next(steps)) / (step + 10))
            for name, tensor in mean.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(decay * tensor + (1 - decay) * network.state_dict()[name])

    def evaluate(model: nn.Module) -> dict[str, float]:
        expected.append(held_out_loss(mean.eval())["loss"])
        return held_out_loss(model)

    outcome = run(network, schedule(ema_decay=0.9, keep="last"), progress=average, evaluate=evaluate)
    assert [found["loss"] for found in outcome.measured] == pytest.approx(expected, rel=1e-5)
    for one, two in zip(network.state_dict().values(), mean.state_dict().values(), strict=True):
        if one.is_floating_point():
            torch.testing.assert_close(one, two)


def test_an_average_forgets_its_start_follows_slowly_and_counts_tied_weights_once() -> None:
    network = nn.ModuleList([nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)])
    network[1].weight = network[0].weight
    mean = copy.deepcopy(network)
    nn.init.constant_(mean[0].weight, 100.0)
    expected = 100.0
    for step in range(1, 200):
        nn.init.constant_(network[0].weight, float(step % 3))
        network[2].running_mean.fill_(step % 3)
        update_average(mean, network, 0.9, step)
        decay = min(0.9, step / (step + 10))
        expected = decay * expected + (1 - decay) * (step % 3)
    assert mean[0].weight.item() == pytest.approx(expected, rel=1e-5)
    assert mean[2].running_mean.item() == pytest.approx(expected, abs=1e-5)
    assert 0 < mean[0].weight.item() < 2


def test_an_infinite_loss_ends_the_training_with_a_sentence_before_it_spoils_the_weights() -> None:
    network, count = net(), itertools.count(1)

    def torn(model: nn.Module, batch: Batch) -> Tensor:
        return loss_of(model, batch) * (math.inf if next(count) == 4 else 1)

    with pytest.raises(TrainingError, match=r"The loss is inf after 3 steps: .* lower the learning rate"):
        run(network, schedule(), loss=torn)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_products_are_in_bfloat16_if_the_schedule_says_so() -> None:
    kinds = []

    def seen(model: nn.Module, batch: Batch) -> Tensor:
        kinds.append(model[0](batch[0]).dtype)
        return loss_of(model, batch)

    for bfloat16 in (False, True):
        run(net(), Schedule(epochs=1, steps=BATCHES, bfloat16=bfloat16), loss=seen)
    assert kinds == [torch.float32] * BATCHES + [torch.bfloat16] * BATCHES


def test_bfloat16_is_not_even_tried_for_a_small_network() -> None:
    assert not bfloat16_is_faster(net(), torch.device("cpu"))


# Frozen parts


def test_frozen_parts_keep_their_statistics_and_have_neither_dropout_nor_gradients() -> None:
    def part() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

    network = nn.Sequential(part().requires_grad_(False), part(), nn.Linear(3, 1))
    before = copy.deepcopy(network)
    modes: set[tuple[bool, ...]] = set()

    def seen(model: nn.Module, batch: Batch) -> Tensor:
        modes.add(tuple(module.training for module in (*model[0], *model[1], model[2])))
        out = loss_of(model, batch)
        assert model[0][0].weight.grad is None
        return out

    run(network, schedule(), loss=seen)
    assert modes == {(False,) * 3 + (True,) * 4}
    assert same(network[0], before[0])
    assert not torch.equal(network[1][1].running_mean, before[1][1].running_mean)
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_frozen_norm_inside_a_trained_block_stays_in_evaluation_mode() -> None:
    network = net()
    network[1].requires_grad_(False)
    set_training_mode(network)
    assert [module.training for module in network] == [True, False, True, True, True]


def test_what_is_trained_may_change_from_epoch_to_epoch() -> None:
    network = net()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    first: list[Tensor] = []

    def unfreeze(epoch: int) -> nn.Module:
        network[0].requires_grad_(epoch >= 2)
        first.append(network[0].weight.detach().clone())
        return network

    Trainer(network, [optimizer], schedule(4)).fit(batches, loss_of, model=unfreeze)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[2], first[3])


# The end


def test_the_best_weights_are_kept_and_training_ends_when_patience_runs_out() -> None:
    states: list[nn.Module] = []
    following = losses(3.0, 1.0, 2.0, 1.5, 0.0)

    def evaluate(network: nn.Module) -> Mapping[str, float]:
        assert not torch.is_grad_enabled()
        assert not network.training
        states.append(copy.deepcopy(network))
        return following(network)

    network = net()
    done = run(network, schedule(10, patience=2), evaluate=evaluate)
    assert (done.ended, done.epochs, done.steps, done.best) == ("early", 4, 4 * BATCHES, 1.0)
    assert [found["loss"] for found in done.measured] == [3.0, 1.0, 2.0, 1.5]
    assert same(network, states[1])
    assert not same(network, states[3])


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_higher_metric_may_be_better_and_the_last_weights_may_be_kept(ema_decay: float | None) -> None:
    kept = {}
    for keep in ("best", "last"):
        states: list[nn.Module] = []
        values = iter((0.1, 0.9, 0.5))

        def evaluate(network: nn.Module, states: list[nn.Module] = states, values: Any = values) -> dict[str, float]:
            states.append(copy.deepcopy(network))
            return {"accuracy": next(values), "loss": 0.0}

        network = net()
        more = {"monitor": "accuracy", "higher_is_better": True, "keep": keep, "ema_decay": ema_decay}
        assert run(network, schedule(3, **more), evaluate=evaluate).best == 0.9
        kept[keep] = [same(network, state) for state in states]
    assert kept == {"best": [False, True, False], "last": [False, False, True]}


def test_a_metric_of_nan_is_never_the_best() -> None:
    done = run(net(), schedule(4), evaluate=losses(math.nan, 2.0, math.nan, 3.0))
    assert done.best == 2.0
    assert run(net(), schedule(4, patience=3), evaluate=losses(*[math.nan] * 4)).ended == "early"


def test_it_is_evaluated_every_few_epochs_and_at_the_end() -> None:
    seen = []
    done = run(net(), schedule(5, evaluate_every=2), evaluate=held_out_loss, progress=seen.append)
    assert len(done.measured) == 3
    assert [progress.epoch for progress in seen if progress.measured] == [2, 4, 5]


def test_it_can_be_stopped_between_two_steps_and_keeps_the_best_weights_so_far() -> None:
    count, states = itertools.count(1), []

    def evaluate(network: nn.Module) -> dict[str, float]:
        states.append(copy.deepcopy(network))
        return held_out_loss(network)

    network = net()
    done = run(network, schedule(), evaluate=evaluate, stop=lambda: next(count) > 7)
    assert (done.ended, done.epochs, done.steps) == ("stopped", 1, 7)
    assert same(network, states[0])
    network, other = net(), net()
    assert run(network, schedule(), stop=lambda: True).steps == 0
    assert same(network, other)


def test_progress_is_reported_after_every_step() -> None:
    seen: list[TrainingProgress] = []
    run(net(), schedule(3), evaluate=held_out_loss, progress=seen.append)
    steps = [progress for progress in seen if progress.measured is None]
    assert [progress.step for progress in steps] == list(range(1, 16))
    assert [progress.epoch for progress in steps] == [0] * 5 + [1] * 5 + [2] * 5
    assert all(progress.steps == 15 and progress.epochs == 3 for progress in seen)
    assert [progress.step for progress in seen if progress.measured] == [5, 10, 15]
    for progress in seen:
        left = progress.seconds / progress.step * (15 - progress.step)
        assert progress.seconds_left == pytest.approx(left)
        assert math.isfinite(progress.loss)
    assert seen[-1].seconds_left == 0
    assert seen[-1].best == min(p.measured["loss"] for p in seen if p.measured)


def test_the_bar_counts_steps_and_log_records_get_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = [logging.StreamHandler(sys.stderr)]
    root.setLevel(logging.INFO)
    try:
        with progress_bar("mine", every=0) as progress:
            run(net(), schedule(), evaluate=held_out_loss, progress=progress)
        with progress_bar(shown=False) as progress:
            run(net(), schedule(), progress=progress)
    finally:
        root.handlers = before
        root.setLevel(level)
    printed = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert any(line.startswith("mine: 100%") and "20/20" in line and "held out loss=" in line for line in printed)
    assert [line.split(":")[0] for line in printed if line.startswith("epoch")] == [
        f"epoch {epoch}, step {epoch * BATCHES}" for epoch in range(1, 5)
    ]


# Seeds and resuming


def test_a_seed_gives_the_same_weights_bit_by_bit_and_another_seed_others() -> None:
    one, two, other = net(), net(), net()
    for network, seed in ((one, 3), (two, 3), (other, 4)):
        torch.manual_seed(seed)  # what was drawn before does not matter
        torch.rand(int(torch.randint(9, ())))
        run(network, schedule(seed=seed, ema_decay=0.9), evaluate=held_out_loss)
    assert same(one, two)
    assert not same(one, other)


class Killed(Exception):
    pass


@contextlib.contextmanager
def dying_at(step: int) -> Iterator[Callable[[nn.Module, Batch], Tensor]]:
    """A loss that raises at a step, as if the process had been killed there."""
    count = itertools.count(1)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if next(count) == step:
            raise Killed
        return loss_of(model, batch)

    with pytest.raises(Killed):
        yield loss


SIX_EPOCHS = schedule(6, ema_decay=0.9, evaluate_every=2)


@pytest.mark.parametrize("step", [3, 12, 20, 29])
def test_a_killed_training_ends_with_the_weights_of_one_that_ran_through(tmp_path: Path, step: int) -> None:
    whole = net()
    expected = run(whole, SIX_EPOCHS, evaluate=held_out_loss)
    with dying_at(step) as loss:
        run(net(), SIX_EPOCHS, evaluate=held_out_loss, state_file=state_file(tmp_path, "a"), loss=loss)
    assert (tmp_path / "t.pt").exists() == (step > 2 * BATCHES)
    again, seen = net(), []
    done = run(again, SIX_EPOCHS, evaluate=held_out_loss, state_file=state_file(tmp_path, "a"), progress=seen.append)
    assert same(whole, again)
    assert (done.measured, done.best, done.steps) == (expected.measured, expected.best, expected.steps)
    assert seen[0].step == (step - 1) // (2 * BATCHES) * 2 * BATCHES + 1
    assert seen[0].seconds_left < 60
    assert list(tmp_path.iterdir()) == []


def test_the_best_weights_and_the_patience_survive_a_kill(tmp_path: Path) -> None:
    nine_epochs = schedule(9, patience=3)
    whole = net()
    run(whole, nine_epochs, evaluate=losses(1.0, 2.0, 3.0, 4.0))
    with dying_at(3 * BATCHES + 2) as loss:
        run(net(), nine_epochs, evaluate=losses(1.0, 2.0, 3.0), state_file=state_file(tmp_path), loss=loss)
    again = net()
    done = run(again, nine_epochs, evaluate=losses(4.0), state_file=state_file(tmp_path))
    assert (done.ended, done.epochs) == ("early", 4)
    assert same(whole, again)


@pytest.mark.parametrize("other", [{"settings": "b"}, {"schedule": schedule(7, ema_decay=0.9)}])
def test_a_state_of_other_settings_is_not_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: dict[str, Any]
) -> None:
    with dying_at(22) as loss:
        run(net(), SIX_EPOCHS, state_file=state_file(tmp_path, "a"), loss=loss)
    fresh, again = net(), net()
    changed, settings = other.get("schedule", SIX_EPOCHS), other.get("settings", "a")
    run(fresh, changed)
    run(again, changed, state_file=state_file(tmp_path, settings))
    assert "training starts anew" in caplog.text
    assert same(fresh, again)


def test_a_training_in_bfloat16_can_be_resumed_in_single_precision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with dying_at(22) as loss:
        run(net(), replace(SIX_EPOCHS, bfloat16=True), state_file=state_file(tmp_path), loss=loss)
    assert run(net(), SIX_EPOCHS, state_file=state_file(tmp_path)).ended == "finished"
    assert "going on after step 20" in caplog.text


def test_a_stopped_training_can_be_resumed(tmp_path: Path) -> None:
    whole, network, count = net(), net(), itertools.count()
    run(whole, SIX_EPOCHS)
    run(network, SIX_EPOCHS, state_file=state_file(tmp_path), stop=lambda: next(count) == 23)
    assert (tmp_path / "t.pt").exists()
    again = net()
    run(again, SIX_EPOCHS, state_file=state_file(tmp_path))
    assert same(whole, again)


# Several processes

SCRIPT = """
import sys, torch
from torch import nn
from demo_app.training.processes import process_group
from demo_app.training.schedule import Schedule
from demo_app.training.trainer import Trainer

network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
generator = torch.Generator().manual_seed(0)
for parameter in network.parameters():
    parameter.data = torch.randn(parameter.shape, generator=generator)
x = torch.randn(40, 3, generator=generator)
y = x.sin().sum(1, keepdim=True)

with process_group("cpu") as process:
    def batches(epoch):
        for rows in torch.randperm(40).split(8):
            own = rows[process.rank :: process.count]
            yield x[own], y[own]

    def unfreeze(epoch):
        network[0].requires_grad_(epoch >= 2)  # so that another wrapper is needed
        return network

    steps = 0
    def stop():
        global steps
        steps += 1
        return process.first and steps == 38  # what the other processes return does not count

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    schedule = Schedule(epochs=8, steps=40, ema_decay=0.5, keep="last")
    done = Trainer(network, [optimizer], schedule, process=process, stop=stop).fit(
        batches,
        lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean(),
        evaluate=lambda model: {"loss": ((model(x) - y) ** 2).mean().item()},
        model=unfreeze,
    )
    assert done.ended == "stopped"
    torch.save((network.state_dict(), done.steps, done.measured), f"{sys.argv[1]}/{process.count}-{process.rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # as torchrun sets them
    command = [sys.executable, str(script), str(tmp_path)]
    running = [
        subprocess.Popen(command, env=environment | more, stderr=subprocess.PIPE, text=True)
        for more in ({}, group | {"RANK": "0"}, group | {"RANK": "1"})
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name, tensor in one[0].items():
        torch.testing.assert_close(first[0][name], tensor, atol=1e-6, rtol=0)
        assert torch.equal(first[0][name], second[0][name])
    assert one[1] == first[1] == second[1] == 37
    assert first[2] == second[2]  # the metrics of the first process are broadcast
    assert first[2][-1]["loss"] == pytest.approx(one[2][-1]["loss"], abs=1e-5)
    assert one[2][-1]["loss"] < 0.5 * one[2][0]["loss"]
