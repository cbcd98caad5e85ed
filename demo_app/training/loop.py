"""The training loop: what every training here does alike, from the first step to the best weights.

A training brings its network, its optimisers, its batches, its loss and what it measures; the loop brings warm-up and
decay of the rates, clipping, bfloat16, a running mean of the weights, early stopping, the best weights, going on after
a kill, several processes, progress and an end when somebody wants one.

>>> network = nn.Linear(1, 1)
>>> batches = lambda epoch: [(torch.ones(4, 1), torch.zeros(4, 1))] * 10
>>> loss = lambda model, batch: ((model(batch[0]) - batch[1]) ** 2).mean()
>>> done = train(network, [torch.optim.AdamW(network.parameters(), lr=0.1)], batches, loss, Course(epochs=5, steps=50))
>>> done.ended, done.steps, bool(abs(network(torch.ones(1, 1))) < 0.1)
('finished', 50, True)
"""

from __future__ import annotations

import copy
import gc
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn

from demo_app.errors import DemoError
from demo_app.training.processes import Process
from demo_app.training.progress import Progress

log = logging.getLogger(__name__)
B = TypeVar("B")


class TrainingError(DemoError):
    """The training went wrong; the sentence says what to change."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long, how fast, and when it is over."""

    epochs: int
    steps: int  # of all epochs together: only the rates depend on it
    warmup: float = 0.1  # share of all steps in which the rates rise in a straight line
    fall: Literal["cosine", "linear"] = "cosine"  # how they go to zero after that
    clip: float | None = 1.0  # the most that the norm of all gradients may be
    average: float | None = None  # decay of a running mean of the weights, which is then what is measured and kept
    half: bool = False  # matrix products in bfloat16 (autocast)
    evaluate_every: int = 1  # epochs; the last one is always measured
    watch: str = "loss"  # of what is measured: by which the best weights are chosen
    higher: bool = False  # whether more of it is better
    ties: str | None = None  # of what is measured: less of it is better where what is watched is the same
    patience: int | None = None  # measurements without a better one after which it ends
    keep: Literal["best", "last"] = "best"  # the weights in the end, where anything is measured
    seed: int = 0  # of dropout and of all else that `batches` draws, epoch by epoch


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a training."""

    ended: Literal["finished", "early", "stopped"]  # stopped: somebody wanted it
    epochs: int
    steps: int
    best: float | None
    seconds: float  # since it began, or went on
    measured: list[Mapping[str, float]] = field(default_factory=list)  # in their order


def rate(step: int, steps: int, warmup: float, fall: Literal["cosine", "linear"]) -> float:
    """The factor of the learning rates at a step, from 0: up to 1 in a share of all steps, then down to 0."""
    rising = (step + 1) / max(1.0, warmup * steps)
    falling = (steps - step) / max(1.0, (1 - warmup) * steps)
    linear = max(0.0, min(1.0, rising, falling))
    return linear if fall == "linear" or rising <= 1 else 0.5 * (1 - math.cos(math.pi * linear))


def set_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Learning rates as a share of what they were given at first."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("highest_lr", group["lr"]) * factor


@torch.no_grad()
def average(mean: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move a running mean of the weights, and of BatchNorm's statistics, towards the network after a step.

    Counted from 1; in the first steps the mean moves faster, so that the weights of the start are soon forgotten.
    """
    decay = min(decay, step / (step + 10))
    now = (*network.parameters(), *network.buffers())  # tied weights once
    for tensor, other in zip((*mean.parameters(), *mean.buffers()), now, strict=True):
        if tensor.is_floating_point():
            tensor.lerp_(other, 1 - decay)


def learn(network: nn.Module) -> None:
    """Training mode for all that learns; what is frozen stays as in use: no dropout, BatchNorm's statistics rest."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def train(
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    batches: Callable[[int], Iterable[B]],
    loss: Callable[[nn.Module, B], Tensor],
    course: Course,
    *,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    model: nn.Module | Callable[[int], nn.Module] | None = None,
    clipped: Iterable[nn.Parameter] | None = None,
    state: Path | None = None,
    settings: str = "",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    process: Process | None = None,
) -> Outcome:
    """Train `network` in place; in the end it has the weights that `Course.keep` asks for.

    Args:
        network: what learns. Frozen parts of it stay in the mode that `learn` gives them.
        optimizers: over its parameters, with their highest learning rates.
        batches: those of an epoch, from 0; chance is seeded before each epoch, so that one can be repeated.
        loss: of what is to be called (`model`, in a group of processes its wrapper) and a batch: a scalar.
        course: see there.
        evaluate: what the weights so far (their mean, where there is one) are worth, on data held out. They are put
            into evaluation mode first; nothing keeps gradients. Only the first process asks.
        model: what the loss calls, if it is not the network; or what makes it at the start of an epoch, where that
            changes who learns.
        clipped: whose gradients count for `Course.clip`; all, where none are named.
        state: a file to go on from and to write after each measured epoch; it is removed when the training is over.
        settings: the text that a state must have been written with, as it must with this `course` (but for `half`).
        progress: called after every step, in the first process.
        stop: asked before every step whether to end now; given in all processes, or in none.
        process: of `processes()`; one alone, where none is given.

    Raises `TrainingError` when the loss is no finite number any more.
    """
    run = _Run(network, optimizers, course, process or Process())
    run.resume(state, settings)
    started, first = time.perf_counter(), run.step
    limited = list(network.parameters() if clipped is None else clipped)
    stopped = False

    def tell(value: float, found: Mapping[str, float] | None = None) -> None:
        if progress is not None and run.process.first:
            seconds = time.perf_counter() - started
            progress(
                Progress(
                    epoch=run.epoch,
                    epochs=course.epochs,
                    step=run.step,
                    steps=course.steps,
                    loss=value,
                    seconds=seconds,
                    seconds_left=seconds / max(1, run.step - first) * max(0, course.steps - run.step),
                    measured=found,
                    best=run.best,
                )
            )

    while run.epoch < course.epochs and not run.given_up:
        torch.manual_seed((course.seed * 100_003 + run.epoch) % 2**63)
        run.begin(model)
        learn(network)
        value = math.nan
        for batch in batches(run.epoch):
            if stop is not None and run.process.agreed(stop()):
                stopped = True
                break
            value = run.advance(batch, loss, limited)
            tell(value)
        if stopped:
            break
        run.epoch += 1
        if run.epoch % course.evaluate_every == 0 or run.epoch == course.epochs:
            if evaluate is not None:
                tell(value, run.measure(evaluate))
            if state is not None and run.process.first:
                run.save(state, settings)
    run.finish()
    if state is not None and run.process.first and not stopped:
        state.unlink(missing_ok=True)
    return Outcome(
        ended="stopped" if stopped else "finished" if run.epoch == course.epochs else "early",
        epochs=run.epoch,
        steps=run.step,
        best=run.best,
        seconds=time.perf_counter() - started,
        measured=run.measured,
    )


class _Run:
    """All that a step changes and a restart needs."""

    def __init__(
        self, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer], course: Course, process: Process
    ) -> None:
        self.network, self.optimizers, self.course, self.process = network, list(optimizers), course, process
        self.kept = network  # what is measured and kept
        if course.average is not None:
            self.kept = copy.deepcopy(network).eval().requires_grad_(False)
        self.model = network  # what the loss is given
        self.wrapped: list[int] = []  # parameters whose gradients the processes share
        self.epoch = self.step = self.since = 0
        self.best: float | None = None
        self.tie = math.inf  # of the best
        self.best_state: dict[str, Tensor] = {}
        self.measured: list[Mapping[str, float]] = []

    @property
    def given_up(self) -> bool:
        return self.course.patience is not None and self.since >= self.course.patience

    def begin(self, model: nn.Module | Callable[[int], nn.Module] | None) -> None:
        """Find what is to be called in this epoch."""
        if not isinstance(model, nn.Module):
            model = self.network if model is None else model(self.epoch)
        if self.process.count == 1:
            self.model = model
            return
        learning = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
        if getattr(self.model, "module", None) is not model or self.wrapped != learning:
            self.model = model
            gc.collect()  # an old wrapper would still be told of gradients
            self.model, self.wrapped = nn.parallel.DistributedDataParallel(model), learning

    def advance(self, batch: B, loss: Callable[[nn.Module, B], Tensor], clipped: Sequence[nn.Parameter]) -> float:
        """One step; returns its loss."""
        course = self.course
        set_rates(self.optimizers, rate(self.step, course.steps, course.warmup, course.fall))
        with torch.autocast(self.process.device.type, torch.bfloat16, enabled=course.half):
            found = loss(self.model, batch)
        value = found.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} after {self.step} steps: the training came apart; lower the learning rate."
            )
        self.network.zero_grad(set_to_none=True)
        found.backward()  # type: ignore[no-untyped-call]
        if course.clip is not None:
            nn.utils.clip_grad_norm_(clipped, course.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        if course.average is not None:
            average(self.kept, self.network, course.average, self.step)
        return value

    @torch.no_grad()
    def measure(self, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> Mapping[str, float]:
        """What the weights are worth now, and whether that was never better."""
        found: Mapping[str, float] = {}
        if self.process.first:
            self.kept.eval()
            found = dict(evaluate(self.kept))
        found = self.process.agreed(found)
        self.measured.append(found)
        if self._better(found):
            self.best, self.tie, self.since = found[self.course.watch], self._tie(found), 0
            if self.course.keep == "best":
                self.best_state = {name: tensor.detach().cpu().clone() for name, tensor in self._changing()}
        else:
            self.since += 1
        if self.process.first:
            said = ", ".join(f"{name} {number:.5g}" for name, number in found.items())
            log.info("epoch %d, step %d: %s", self.epoch, self.step, said)
        return found

    def _better(self, found: Mapping[str, float]) -> bool:
        value, best = found[self.course.watch], self.best
        if math.isnan(value):
            return False
        if best is None or value == best:
            return best is None or self._tie(found) < self.tie
        return value > best if self.course.higher else value < best

    def _tie(self, found: Mapping[str, float]) -> float:
        return found[self.course.ties] if self.course.ties else 0.0

    def _changing(self) -> Iterator[tuple[str, Tensor]]:
        """What a step may change: parameters that an optimiser has, and buffers such as BatchNorm's statistics."""
        ours = {id(p) for optimizer in self.optimizers for group in optimizer.param_groups for p in group["params"]}
        names = {name for name, parameter in self.network.named_parameters() if id(parameter) in ours}
        names |= {name for name, _ in self.network.named_buffers()}
        yield from ((name, tensor) for name, tensor in self.kept.state_dict().items() if name in names)

    @torch.no_grad()
    def finish(self) -> None:
        """Give the network what was kept, in evaluation mode."""
        if self.kept is not self.network:
            self.network.load_state_dict(self.kept.state_dict())
        if self.best_state:
            self.network.load_state_dict(self.best_state, strict=False)
        self.network.eval()
        self.network.zero_grad(set_to_none=True)

    @property
    def parts(self) -> dict[str, Any]:
        """All that has a `state_dict`."""
        found: dict[str, Any] = {"network": self.network}
        if self.kept is not self.network:
            found["mean"] = self.kept
        return found | {f"optimizer {place}": optimizer for place, optimizer in enumerate(self.optimizers)}

    def _settings(self, others: str) -> str:
        return f"{replace(self.course, half=False)} {others}"  # which precision is faster may be found anew

    def save(self, path: Path, settings: str) -> None:
        """Write all that is needed to go on; killed at any moment, the file is whole."""
        names = ("epoch", "step", "since", "best", "tie", "best_state", "measured")
        state = {
            "settings": self._settings(settings),
            "counters": {name: getattr(self, name) for name in names},
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        unfinished = path.with_suffix(".tmp")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path | None, settings: str) -> None:
        """Take up what `save` wrote, if its settings were the same."""
        if path is None or not path.is_file():
            return
        saved = torch.load(path, weights_only=True, map_location=self.process.device)
        if saved["settings"] != self._settings(settings):
            log.warning("%s is of other settings; training starts anew.", path)
            return
        for name, part in self.parts.items():
            part.load_state_dict(saved["parts"][name])
        for name, value in saved["counters"].items():
            setattr(self, name, value)
        log.info("going on after step %d of %s", self.step, path)
