"""The training loop: rates, clipping, the running mean, the best weights, going on after a kill, several processes."""

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

from demo_app.training import loop, processes
from demo_app.training import progress as training_progress
from demo_app.training.loop import Course, Outcome, TrainingError
from demo_app.training.progress import Progress

ROOT = Path(__file__).parents[1]
Batch = tuple[Tensor, Tensor]
SIZE, BATCHES = 8, 5  # of a batch, of an epoch


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


def course(epochs: int = 4, **more: Any) -> Course:
    return Course(epochs=epochs, steps=epochs * BATCHES, **more)


def run(network: nn.Module, how: Course, lr: float = 0.05, **more: Any) -> Outcome:
    optimizers = [torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=lr)]
    return loop.train(network, optimizers, more.pop("batches", batches), more.pop("loss", loss_of), how, **more)


def same(one: nn.Module, two: nn.Module) -> bool:
    other = two.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.state_dict().items())


def worth(*values: float) -> Callable[[nn.Module], Mapping[str, float]]:
    """A measure that says these, one after the other."""
    said = iter(values)
    return lambda network: {"loss": next(said)}


# Rates


def test_rates_rise_in_a_line_and_fall_in_a_line_or_as_a_cosine() -> None:
    line = [loop.rate(step, 100, 0.1, "linear") for step in range(101)]
    assert line[:10] == pytest.approx([share / 10 for share in range(1, 11)])
    assert line[10:] == pytest.approx([(100 - step) / 90 for step in range(10, 101)])
    wave = [loop.rate(step, 100, 0.1, "cosine") for step in range(101)]
    assert wave[:10] == line[:10]
    assert wave[10:] == pytest.approx([(1 + math.cos(math.pi * (step - 10) / 90)) / 2 for step in range(10, 101)])
    assert loop.rate(0, 10, 0.0, "linear") == loop.rate(0, 10, 0.0, "cosine") == 1.0  # no warm-up
    assert loop.rate(11, 10, 0.1, "linear") == 0.0  # more steps than were told


def test_each_group_keeps_its_own_share_of_the_rate() -> None:
    network = net()
    groups = [{"params": network[0].parameters(), "lr": 1e-2}, {"params": network[4].parameters(), "lr": 1e-3}]
    optimizer, seen = torch.optim.SGD(groups), []

    def told(progress: Progress) -> None:
        seen.append([group["lr"] for group in optimizer.param_groups])

    loop.train(network, [optimizer], batches, loss_of, course(2, warmup=0.2, fall="linear"), progress=told)
    factors = [0.5, 1.0, *((10 - step) / 8 for step in range(2, 10))]
    assert [first for first, _ in seen] == pytest.approx([1e-2 * factor for factor in factors])
    assert [second for _, second in seen] == pytest.approx([1e-3 * factor for factor in factors])


# Steps


def moved(clip: float | None, clipped: Callable[[nn.Module], Any] = lambda network: None) -> list[float]:
    """How far one step of plain gradient descent moves the two layers, whose gradients are large."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    before = copy.deepcopy(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    how = Course(epochs=1, steps=1, warmup=0, clip=clip)
    batch = (torch.full((4, 3), 10.0), torch.full((4, 1), 50.0))
    loop.train(network, [optimizer], lambda _: [batch], loss_of, how, clipped=clipped(network))
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


def test_the_mean_of_the_weights_is_measured_and_kept() -> None:
    network = net(dropout=0)
    own, steps = [], itertools.count(1)  # what the weights should be, by hand
    mean = copy.deepcopy(network)

    def told(progress: Progress) -> None:
        if progress.measured is None:
            decay = min(0.9, (step := next(steps)) / (step + 10))
            for name, tensor in mean.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(decay * tensor + (1 - decay) * network.state_dict()[name])

    def measure(model: nn.Module) -> dict[str, float]:
        own.append(held_out_loss(mean.eval())["loss"])
        return held_out_loss(model)

    done = run(network, course(average=0.9, keep="last"), progress=told, evaluate=measure)
    assert [found["loss"] for found in done.measured] == pytest.approx(own, rel=1e-5)
    for one, two in zip(network.state_dict().values(), mean.state_dict().values(), strict=True):
        if one.is_floating_point():
            torch.testing.assert_close(one, two)


def test_a_mean_forgets_its_start_follows_slowly_and_takes_tied_weights_once() -> None:
    network = nn.ModuleList([nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)])
    network[1].weight = network[0].weight
    mean = copy.deepcopy(network)
    nn.init.constant_(mean[0].weight, 100.0)
    expected = 100.0
    for step in range(1, 200):
        nn.init.constant_(network[0].weight, float(step % 3))
        network[2].running_mean.fill_(step % 3)
        loop.average(mean, network, 0.9, step)
        decay = min(0.9, step / (step + 10))
        expected = decay * expected + (1 - decay) * (step % 3)
    assert mean[0].weight.item() == pytest.approx(expected, rel=1e-5)
    assert mean[2].running_mean.item() == pytest.approx(expected, abs=1e-5)
    assert 0 < mean[0].weight.item() < 2


def test_a_loss_that_is_no_number_ends_it_with_a_sentence_before_it_spoils_the_weights() -> None:
    network, count = net(), itertools.count(1)

    def torn(model: nn.Module, batch: Batch) -> Tensor:
        return loss_of(model, batch) * (math.inf if next(count) == 4 else 1)

    with pytest.raises(TrainingError, match=r"The loss is inf after 3 steps: .* lower the learning rate"):
        run(network, course(), loss=torn)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_products_are_in_half_precision_where_that_is_wanted() -> None:
    kinds = []

    def seen(model: nn.Module, batch: Batch) -> Tensor:
        kinds.append(model[0](batch[0]).dtype)
        return loss_of(model, batch)

    for half in (False, True):
        run(net(), Course(epochs=1, steps=BATCHES, half=half), loss=seen)
    assert kinds == [torch.float32] * BATCHES + [torch.bfloat16] * BATCHES


def test_half_precision_is_not_even_tried_for_a_small_network() -> None:
    assert not processes.faster_in_half(net(), torch.device("cpu"))


# Frozen parts


def test_what_is_frozen_keeps_its_statistics_drops_nothing_and_has_no_gradients() -> None:
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

    run(network, course(), loss=seen)
    assert modes == {(False,) * 3 + (True,) * 4}
    assert same(network[0], before[0])
    assert not torch.equal(network[1][1].running_mean, before[1][1].running_mean)
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_frozen_norm_rests_within_a_block_that_learns() -> None:
    network = net()
    network[1].requires_grad_(False)
    loop.learn(network)
    assert [module.training for module in network] == [True, False, True, True, True]


def test_who_learns_may_change_from_epoch_to_epoch() -> None:
    network = net()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    first: list[Tensor] = []

    def thawed(epoch: int) -> nn.Module:
        network[0].requires_grad_(epoch >= 2)
        first.append(network[0].weight.detach().clone())
        return network

    loop.train(network, [optimizer], batches, loss_of, course(4), model=thawed)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[2], first[3])


# The end


def test_the_best_weights_are_kept_and_no_more_are_looked_for_after_some_patience() -> None:
    states: list[nn.Module] = []
    said = worth(3.0, 1.0, 2.0, 1.5, 0.0)

    def measure(network: nn.Module) -> Mapping[str, float]:
        assert not torch.is_grad_enabled()
        assert not network.training
        states.append(copy.deepcopy(network))
        return said(network)

    network = net()
    done = run(network, course(10, patience=2), evaluate=measure)
    assert (done.ended, done.epochs, done.steps, done.best) == ("early", 4, 4 * BATCHES, 1.0)
    assert [found["loss"] for found in done.measured] == [3.0, 1.0, 2.0, 1.5]
    assert same(network, states[1])
    assert not same(network, states[3])


@pytest.mark.parametrize("average", [None, 0.9])
def test_more_may_be_better_and_the_last_weights_may_be_wanted(average: float | None) -> None:
    kept = {}
    for keep in ("best", "last"):
        states: list[nn.Module] = []
        values = iter((0.1, 0.9, 0.5))

        def measure(network: nn.Module, states: list[nn.Module] = states, values: Any = values) -> dict[str, float]:
            states.append(copy.deepcopy(network))
            return {"accuracy": next(values), "loss": 0.0}

        network = net()
        more = {"watch": "accuracy", "higher": True, "keep": keep, "average": average}
        assert run(network, course(3, **more), evaluate=measure).best == 0.9
        kept[keep] = [same(network, state) for state in states]
    assert kept == {"best": [False, True, False], "last": [False, False, True]}


def test_a_measure_that_is_no_number_is_never_the_best() -> None:
    done = run(net(), course(4), evaluate=worth(math.nan, 2.0, math.nan, 3.0))
    assert done.best == 2.0
    assert run(net(), course(4, patience=3), evaluate=worth(*[math.nan] * 4)).ended == "early"


def test_it_is_measured_every_so_many_epochs_and_at_the_end() -> None:
    seen = []
    done = run(net(), course(5, evaluate_every=2), evaluate=held_out_loss, progress=seen.append)
    assert len(done.measured) == 3
    assert [progress.epoch for progress in seen if progress.measured] == [2, 4, 5]


def test_somebody_may_end_it_between_two_steps_and_has_the_best_weights_so_far() -> None:
    count, states = itertools.count(1), []

    def measure(network: nn.Module) -> dict[str, float]:
        states.append(copy.deepcopy(network))
        return held_out_loss(network)

    network = net()
    done = run(network, course(), evaluate=measure, stop=lambda: next(count) > 7)
    assert (done.ended, done.epochs, done.steps) == ("stopped", 1, 7)
    assert same(network, states[0])
    network, other = net(), net()
    assert run(network, course(), stop=lambda: True).steps == 0
    assert same(network, other)


def test_it_is_said_after_every_step_how_far_it_is() -> None:
    seen: list[Progress] = []
    run(net(), course(3), evaluate=held_out_loss, progress=seen.append)
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


def test_the_bar_counts_steps_and_lets_the_log_have_lines_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = [logging.StreamHandler(sys.stderr)]
    root.setLevel(logging.INFO)
    try:
        with training_progress.bar("mine", every=0) as progress:
            run(net(), course(), evaluate=held_out_loss, progress=progress)
        with training_progress.bar(shown=False) as progress:
            run(net(), course(), progress=progress)
    finally:
        root.handlers = before
        root.setLevel(level)
    said = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert any(line.startswith("mine: 100%") and "20/20" in line and "held out loss=" in line for line in said)
    assert [line.split(":")[0] for line in said if line.startswith("epoch")] == [
        f"epoch {epoch}, step {epoch * BATCHES}" for epoch in range(1, 5)
    ]


# Chance, and going on


def test_a_seed_gives_the_same_weights_to_the_bit_and_another_others() -> None:
    one, two, other = net(), net(), net()
    for network, seed in ((one, 3), (two, 3), (other, 4)):
        torch.manual_seed(seed)  # what was drawn before is of no matter
        torch.rand(int(torch.randint(9, ())))
        run(network, course(seed=seed, average=0.9), evaluate=held_out_loss)
    assert same(one, two)
    assert not same(one, other)


class Killed(Exception):
    pass


@contextlib.contextmanager
def dying_at(step: int) -> Iterator[Callable[[nn.Module, Batch], Tensor]]:
    """A loss that ends the process, as it were, at a step."""
    count = itertools.count(1)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if next(count) == step:
            raise Killed
        return loss_of(model, batch)

    with pytest.raises(Killed):
        yield loss


HOW = course(6, average=0.9, evaluate_every=2)


@pytest.mark.parametrize("step", [3, 12, 20, 29])
def test_a_training_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, step: int) -> None:
    whole = net()
    wanted = run(whole, HOW, evaluate=held_out_loss)
    with dying_at(step) as loss:
        run(net(), HOW, evaluate=held_out_loss, state=tmp_path / "t.pt", settings="a", loss=loss)
    assert (tmp_path / "t.pt").exists() == (step > 2 * BATCHES)
    again, seen = net(), []
    done = run(again, HOW, evaluate=held_out_loss, state=tmp_path / "t.pt", settings="a", progress=seen.append)
    assert same(whole, again)
    assert (done.measured, done.best, done.steps) == (wanted.measured, wanted.best, wanted.steps)
    assert seen[0].step == (step - 1) // (2 * BATCHES) * 2 * BATCHES + 1
    assert seen[0].seconds_left < 60
    assert list(tmp_path.iterdir()) == []


def test_the_best_weights_and_the_patience_survive_a_kill(tmp_path: Path) -> None:
    how = course(9, patience=3)
    whole = net()
    run(whole, how, evaluate=worth(1.0, 2.0, 3.0, 4.0))
    with dying_at(3 * BATCHES + 2) as loss:
        run(net(), how, evaluate=worth(1.0, 2.0, 3.0), state=tmp_path / "t.pt", loss=loss)
    again = net()
    done = run(again, how, evaluate=worth(4.0), state=tmp_path / "t.pt")
    assert (done.ended, done.epochs) == ("early", 4)
    assert same(whole, again)


@pytest.mark.parametrize("other", [{"settings": "b"}, {"how": course(7, average=0.9)}], ids=["settings", "course"])
def test_a_state_of_other_settings_is_not_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: dict[str, Any]
) -> None:
    with dying_at(22) as loss:
        run(net(), HOW, state=tmp_path / "t.pt", settings="a", loss=loss)
    fresh, again = net(), net()
    how, settings = other.get("how", HOW), other.get("settings", "a")
    run(fresh, how)
    run(again, how, state=tmp_path / "t.pt", settings=settings)
    assert "training starts anew" in caplog.text
    assert same(fresh, again)


def test_one_in_half_precision_may_be_gone_on_with_in_single_precision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with dying_at(22) as loss:
        run(net(), replace(HOW, half=True), state=tmp_path / "t.pt", loss=loss)
    assert run(net(), HOW, state=tmp_path / "t.pt").ended == "finished"
    assert "going on after step 20" in caplog.text


def test_one_that_was_stopped_can_be_gone_on_with(tmp_path: Path) -> None:
    whole, network, count = net(), net(), itertools.count()
    run(whole, HOW)
    run(network, HOW, state=tmp_path / "t.pt", stop=lambda: next(count) == 23)
    assert (tmp_path / "t.pt").exists()
    again = net()
    run(again, HOW, state=tmp_path / "t.pt")
    assert same(whole, again)


# Several processes

SCRIPT = """
import sys, torch
from torch import nn
from demo_app.nn import loop

network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
generator = torch.Generator().manual_seed(0)
for parameter in network.parameters():
    parameter.data = torch.randn(parameter.shape, generator=generator)
x = torch.randn(40, 3, generator=generator)
y = x.sin().sum(1, keepdim=True)

with loop.processes("cpu") as process:
    def batches(epoch):
        for rows in torch.randperm(40).split(8):
            own = rows[process.rank :: process.count]
            yield x[own], y[own]

    def thawed(epoch):
        network[0].requires_grad_(epoch >= 2)  # so that another wrapper is needed
        return network

    steps = 0
    def stop():
        global steps
        steps += 1
        return process.first and steps == 38  # what the others say does not count

    done = loop.train(
        network,
        [torch.optim.SGD(network.parameters(), lr=0.1)],
        batches,
        lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean(),
        loop.Course(epochs=8, steps=40, average=0.5, keep="last"),
        evaluate=lambda model: {"loss": ((model(x) - y) ** 2).mean().item()},
        model=thawed,
        stop=stop,
        process=process,
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
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # as torchrun says it
    command = [sys.executable, str(script), str(tmp_path)]
    running = [
        subprocess.Popen(command, env=environment | more, stderr=subprocess.PIPE, text=True)
        for more in ({}, group | {"RANK": "0"}, group | {"RANK": "1"})
    ]
    for process in running:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name, tensor in one[0].items():
        torch.testing.assert_close(first[0][name], tensor, atol=1e-6, rtol=0)
        assert torch.equal(first[0][name], second[0][name])
    assert one[1] == first[1] == second[1] == 37
    assert first[2] == second[2]  # what the first has measured, the others know
    assert first[2][-1]["loss"] == pytest.approx(one[2][-1]["loss"], abs=1e-5)
    assert one[2][-1]["loss"] < 0.5 * one[2][0]["loss"]
