"""The training loop that every training here shares, from the first step to the best weights.

A training brings its network, optimisers, batches, loss and metrics. The loop brings warm-up and decay of the learning
rates, gradient clipping, bfloat16, a moving average of the weights, early stopping, the best weights, resuming after a
kill, several processes, progress, and a way to stop.

>>> network = nn.Linear(1, 1)
>>> batches = lambda epoch: [(torch.ones(4, 1), torch.zeros(4, 1))] * 10
>>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
>>> trainer = Trainer(network, [torch.optim.AdamW(network.parameters(), lr=0.1)], Schedule(epochs=5, steps=50))
>>> outcome = trainer.fit(batches, loss)
>>> outcome.ended, outcome.steps, bool(abs(network(torch.ones(1, 1))) < 0.1)
('finished', 50, True)
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from demo_app.errors import DemoError
from demo_app.training.processes import GradientSync, Process
from demo_app.training.progress import TrainingProgress
from demo_app.training.schedule import Schedule, learning_rate_factor, set_learning_rates
from demo_app.training.state import StateFile, TrainingState

log = logging.getLogger(__name__)
B = TypeVar("B")
Metrics = Mapping[str, float]


class TrainingError(DemoError):
    """The training went wrong; the sentence says what to change."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended."""

    ended: Literal["finished", "early", "stopped"]  # early: out of patience; stopped: `stop` said so
    epochs: int
    steps: int
    best: float | None  # of the monitored metric
    seconds: float  # since it started or resumed
    measured: list[Metrics] = field(default_factory=list)  # metrics of every evaluation, in order


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights, and BatchNorm's statistics, towards the network after a step, counted from 1.

    The average moves faster in the first steps, so that the initial weights are soon forgotten.
    """
    decay = min(decay, step / (step + 10))
    now = (*network.parameters(), *network.buffers())  # tied weights once
    for tensor, other in zip((*average.parameters(), *average.buffers()), now, strict=True):
        if tensor.is_floating_point():
            tensor.lerp_(other, 1 - decay)


def set_training_mode(network: nn.Module) -> None:
    """Training mode for all modules but the frozen ones: those use no dropout and keep their BatchNorm statistics."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


class Trainer:
    """Trains a network in place, once; at the end it has the weights that `Schedule.keep` asks for."""

    def __init__(
        self,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        schedule: Schedule,
        *,
        clip_parameters: Iterable[nn.Parameter] | None = None,
        process: Process | None = None,
        state_file: StateFile | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """
        Args:
            network: what is trained. Its frozen parts stay in evaluation mode.
            optimizers: over the network's parameters, with their highest learning rates.
            schedule: the hyperparameters.
            clip_parameters: those whose gradients count for `Schedule.max_grad_norm`; default: all.
            process: one of `process_group()`; default: a single process on the CPU.
            state_file: resumed from if it exists, written after each evaluated epoch, removed when training is done.
            progress: called after every step and every evaluation, in the first process.
            stop: asked before every step whether to end now; given in all processes, or in none.
        """
        self.network, self.optimizers, self.schedule = network, list(optimizers), schedule
        self.clip_parameters = list(network.parameters() if clip_parameters is None else clip_parameters)
        self.process, self.state_file, self.progress, self.stop = process or Process(), state_file, progress, stop
        self.kept = network  # what is evaluated and kept
        if schedule.ema_decay is not None:
            self.kept = copy.deepcopy(network).eval().requires_grad_(False)
        self.state = TrainingState()
        self._gradients = GradientSync(self.process)
        self._started, self._first_step, self._last_loss = 0.0, 0, math.nan

    def fit(
        self,
        batches: Callable[[int], Iterable[B]],
        loss: Callable[[nn.Module, B], Tensor],
        *,
        evaluate: Callable[[nn.Module], Metrics] | None = None,
        model: Callable[[int], nn.Module] | None = None,
    ) -> Outcome:
        """Train until the schedule ends, its patience runs out, or `stop` says so.

        Args:
            batches: the batches of an epoch, counted from 0. Random numbers are seeded before each epoch, so that an
                epoch can be repeated.
            loss: of the called model and a batch: a scalar.
            evaluate: metrics of the weights so far (of their moving average, if there is one) on held-out data. Gets
                them in evaluation mode without gradients, in the first process only.
            model: what `loss` calls in an epoch, if not the network; may also change what is frozen.

        Raises `TrainingError` when the loss is no longer a finite number.
        """
        self._resume()
        stopped = False
        while not stopped and not self._is_over():
            stopped = not self._train_epoch(batches, loss, model)
            if not stopped:
                self._end_epoch(evaluate)
        self._restore_kept_weights()
        if self.state_file is not None and self.process.first and not stopped:
            self.state_file.remove()
        state = self.state
        return Outcome(
            ended="stopped" if stopped else "finished" if state.epoch == self.schedule.epochs else "early",
            epochs=state.epoch,
            steps=state.step,
            best=state.best,
            seconds=time.perf_counter() - self._started,
            measured=state.measured,
        )

    def _is_over(self) -> bool:
        patience = self.schedule.patience
        out_of_patience = patience is not None and self.state.since_best >= patience
        return self.state.epoch >= self.schedule.epochs or out_of_patience

    def _train_epoch(
        self,
        batches: Callable[[int], Iterable[B]],
        loss: Callable[[nn.Module, B], Tensor],
        model: Callable[[int], nn.Module] | None,
    ) -> bool:
        """Returns whether the epoch was finished: `stop` may have ended it."""
        epoch = self.state.epoch
        torch.manual_seed((self.schedule.seed * 100_003 + epoch) % 2**63)
        called = self._gradients.wrap(self.network if model is None else model(epoch))
        set_training_mode(self.network)
        self._last_loss = math.nan
        for batch in batches(epoch):
            if self.stop is not None and self.process.broadcast(self.stop()):
                return False
            self._last_loss = self._step(called, batch, loss)
            self._report()
        return True

    def _step(self, called: nn.Module, batch: B, loss: Callable[[nn.Module, B], Tensor]) -> float:
        """One optimiser step; returns its loss."""
        schedule, state = self.schedule, self.state
        factor = learning_rate_factor(state.step, schedule.steps, schedule.warmup, schedule.decay)
        set_learning_rates(self.optimizers, factor)
        with torch.autocast(self.process.device.type, torch.bfloat16, enabled=schedule.bfloat16):
            batch_loss = loss(called, batch)
        value = batch_loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                "The loss is {loss} after {steps} steps: the training came apart; lower the learning rate.",
                loss=value,
                steps=state.step,
            )
        self.network.zero_grad(set_to_none=True)
        batch_loss.backward()  # type: ignore[no-untyped-call]
        if schedule.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.clip_parameters, schedule.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        state.step += 1
        if schedule.ema_decay is not None:
            update_average(self.kept, self.network, schedule.ema_decay, state.step)
        return value

    def _end_epoch(self, evaluate: Callable[[nn.Module], Metrics] | None) -> None:
        """Evaluate and save the state where the schedule says so."""
        self.state.epoch += 1
        if self.state.epoch % self.schedule.evaluate_every and self.state.epoch != self.schedule.epochs:
            return
        if evaluate is not None:
            self._report(self._evaluate(evaluate))
        if self.state_file is not None and self.process.first:
            self.state_file.save(self.state, self._parts(), self.schedule)

    @torch.no_grad()
    def _evaluate(self, evaluate: Callable[[nn.Module], Metrics]) -> Metrics:
        """Metrics of the kept weights; copies the weights if they are the best so far."""
        metrics: Metrics = {}
        if self.process.first:
            self.kept.eval()
            metrics = dict(evaluate(self.kept))
        metrics = self.process.broadcast(metrics)
        if self.state.record(metrics, self.schedule) and self.schedule.keep == "best":
            self.state.best_weights = {name: t.detach().cpu().clone() for name, t in self._trained_tensors()}
        if self.process.first:
            text = ", ".join(f"{name} {value:.5g}" for name, value in metrics.items())
            log.info("epoch %d, step %d: %s", self.state.epoch, self.state.step, text)
        return metrics

    def _trained_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What a step may change: parameters in an optimiser, and buffers such as BatchNorm's statistics."""
        ours = {id(p) for optimizer in self.optimizers for group in optimizer.param_groups for p in group["params"]}
        names = {name for name, parameter in self.network.named_parameters() if id(parameter) in ours}
        names |= {name for name, _ in self.network.named_buffers()}
        yield from ((name, tensor) for name, tensor in self.kept.state_dict().items() if name in names)

    @torch.no_grad()
    def _restore_kept_weights(self) -> None:
        """Load the kept weights into the network, in evaluation mode and without gradients."""
        if self.kept is not self.network:
            self.network.load_state_dict(self.kept.state_dict())
        if self.state.best_weights:
            self.network.load_state_dict(self.state.best_weights, strict=False)
        self.network.eval()
        self.network.zero_grad(set_to_none=True)

    def _parts(self) -> dict[str, Any]:
        """Everything with a `state_dict`."""
        average = {"average": self.kept} if self.kept is not self.network else {}
        optimizers = {f"optimizer {place}": optimizer for place, optimizer in enumerate(self.optimizers)}
        return {"network": self.network, **average, **optimizers}

    def _resume(self) -> None:
        if self.state_file is not None:
            saved = self.state_file.load(self._parts(), self.schedule, self.process.device)
            self.state = saved or self.state
        self._started, self._first_step = time.perf_counter(), self.state.step

    def _report(self, metrics: Metrics | None = None) -> None:
        """Call `progress` after a step, or with the metrics of an evaluation."""
        if self.progress is None or not self.process.first:
            return
        seconds, state, steps = time.perf_counter() - self._started, self.state, self.schedule.steps
        self.progress(
            TrainingProgress(
                epoch=state.epoch,
                epochs=self.schedule.epochs,
                step=state.step,
                steps=steps,
                loss=self._last_loss,
                seconds=seconds,
                seconds_left=seconds / max(1, state.step - self._first_step) * max(0, steps - state.step),
                measured=metrics,
                best=state.best,
            )
        )
