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

import contextlib
import copy
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn
from tqdm import tqdm

from demo_app.api import DemoError
from demo_app.nn import training

log = logging.getLogger(__name__)
B = TypeVar("B")

LARGE = 2**17  # weights of a matrix below which bfloat16 gains nothing
CLEARLY = 0.8  # of the time in single precision that bfloat16 must stay below to be chosen


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
    patience: int | None = None  # measurements without a better one after which it ends
    keep: Literal["best", "last"] = "best"  # the weights in the end, where anything is measured
    seed: int = 0  # of dropout and of all else that `batches` draws, epoch by epoch


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is. Said after every step, and once more when an epoch has been measured."""

    epoch: int  # whole epochs so far
    epochs: int
    step: int
    steps: int  # of all epochs
    loss: float  # of the last step
    seconds: float  # since it began, or went on
    seconds_left: float  # if it goes on as it began and does not end early
    measured: Mapping[str, float] | None = None  # at the end of an epoch that was measured
    best: float | None = None  # of what is watched


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a training."""

    ended: Literal["finished", "early", "stopped"]  # stopped: somebody wanted it
    epochs: int
    steps: int
    best: float | None
    seconds: float  # since it began, or went on
    measured: list[Mapping[str, float]] = field(default_factory=list)  # in their order


@dataclass(frozen=True, kw_only=True)
class Process:
    """This process among those that train together (`torchrun`), and the device it has."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agreed(self, value: Any) -> Any:
        """What the first process says, to all of them."""
        if self.count == 1:
            return value
        said = [value]
        torch.distributed.broadcast_object_list(said, src=0, device=self.device)
        return said[0]


@contextlib.contextmanager
def processes(device: str | None = None) -> Iterator[Process]:
    """The group that `torchrun` started, or one process alone, on that device, or the best there is."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available() and device in (None, "cuda")
    chosen = torch.device(f"cuda:{local}" if cuda else device or "cpu")
    if count == 1:
        yield Process(device=chosen)
        return
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Process(rank=rank, count=count, device=chosen)
    finally:
        torch.distributed.destroy_process_group()


def faster_in_half(network: nn.Module, device: torch.device) -> bool:
    """Whether training in bfloat16 takes clearly less time: so on GPUs, and for large layers on CPUs with AMX.

    Found by trying, so it may turn out differently on a busy machine; who wants to repeat a training to the last digit
    says which it shall be.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    largest = max((p.numel() for m in network.modules() if isinstance(m, nn.Linear) for p in m.parameters()), default=0)
    if device.type != "cpu" or largest < LARGE:
        return False
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype, device=device)
        for _ in range(2):  # the first time is for warming up
            started = time.perf_counter()
            for _ in range(5):
                a @ a
            seconds[dtype] = time.perf_counter() - started
    return seconds[torch.bfloat16] < CLEARLY * seconds[torch.float32]


def rate(step: int, steps: int, warmup: float, fall: str) -> float:
    """The factor of the learning rates at a step, from 0: up to 1 in a share of all steps, then down to 0."""
    linear = training.rise_and_fall(step, steps, warmup)
    if fall == "linear" or step + 1 <= warmup * steps:
        return linear
    return 0.5 * (1 - math.cos(math.pi * linear))


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
        evaluate: what the weights so far (their mean, where there is one) are worth, on data held out. It is put into
            evaluation mode first; nothing keeps gradients.
        model: what the loss calls, if it is not the network; or what makes it at the start of an epoch, where that
            changes who learns.
        clipped: whose gradients count for `Course.clip`; all, where none are named.
        state: a file to go on from and to write after each measured epoch; it is removed when the training is over.
        settings: the text that a state must have been written with.
        progress: called after every step, in the first process.
        stop: asked before every step whether to end now.
        process: of `processes()`; one alone, where none is given.

    Raises `TrainingError` when the loss is no finite number any more.
    """
    run = _Run(network, optimizers, course, process or Process())
    run.resume(state, settings)
    started = time.perf_counter()
    first = run.step
    limited = list(network.parameters() if clipped is None else clipped)
    ended: Literal["finished", "early", "stopped"] = "finished"
    measured: list[Mapping[str, float]] = []

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

    while run.epoch < course.epochs and ended == "finished":
        torch.manual_seed(course.seed * 100_003 + run.epoch)
        called = run.called(model)
        learn(network)
        value = math.nan
        for batch in batches(run.epoch):
            if stop is not None and run.process.agreed(stop()):
                ended = "stopped"
                break
            value = run.advance(called, batch, loss, limited)
            tell(value)
        if ended == "stopped":
            break
        run.epoch += 1
        if run.epoch % course.evaluate_every == 0 or run.epoch == course.epochs:
            if evaluate is not None:
                found = run.measure(evaluate)
                measured.append(found)
                tell(value, found)
                if course.patience is not None and run.since >= course.patience:
                    ended = "early"
            if state is not None and run.process.first:
                run.save(state, settings)
    run.finish()
    if state is not None and run.process.first and ended != "stopped":
        state.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    return Outcome(ended=ended, epochs=run.epoch, steps=run.step, best=run.best, seconds=seconds, measured=measured)


class _Run:
    """All that a step changes and a restart needs."""

    def __init__(
        self, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer], course: Course, process: Process
    ) -> None:
        self.network, self.optimizers, self.course, self.process = network, list(optimizers), course, process
        self.kept = network  # what is measured and kept
        if course.average is not None:
            self.kept = copy.deepcopy(network).eval().requires_grad_(False)
        self.epoch = self.step = self.since = 0
        self.best: float | None = None
        self.best_state: dict[str, Tensor] = {}

    def called(self, model: nn.Module | Callable[[int], nn.Module] | None) -> nn.Module:
        """What the loss is given in this epoch."""
        if not isinstance(model, nn.Module):
            model = self.network if model is None else model(self.epoch)
        return nn.parallel.DistributedDataParallel(model) if self.process.count > 1 else model

    def advance(
        self, model: nn.Module, batch: B, loss: Callable[[nn.Module, B], Tensor], clipped: Sequence[nn.Parameter]
    ) -> float:
        """One step; returns its loss."""
        course = self.course
        factor = rate(self.step, course.steps, course.warmup, course.fall)
        training.set_rates(self.optimizers, factor)
        with torch.autocast(self.process.device.type, torch.bfloat16, enabled=course.half):
            found = loss(model, batch)
        self.network.zero_grad(set_to_none=True)
        found.backward()  # type: ignore[no-untyped-call]
        if course.clip is not None:
            nn.utils.clip_grad_norm_(clipped, course.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        if course.average is not None:
            training.average(self.kept, self.network, course.average, self.step)
        value = found.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} after {self.step} steps: the training came apart; lower the learning rate."
            )
        return value

    @torch.no_grad()
    def measure(self, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> Mapping[str, float]:
        """What the weights are worth now, and whether that was never better."""
        found: Mapping[str, float] = {}
        if self.process.first:
            self.kept.eval()
            found = dict(evaluate(self.kept))
        found = self.process.agreed(found)
        value = found[self.course.watch]
        if self.best is None or (value > self.best if self.course.higher else value < self.best):
            self.best, self.since = value, 0
            if self.course.keep == "best":
                self.best_state = {name: tensor.detach().cpu().clone() for name, tensor in self._changing()}
        else:
            self.since += 1
        return found

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
    def parts(self) -> dict[str, training.Stateful]:
        found: dict[str, training.Stateful] = {"network": self.network}
        if self.kept is not self.network:
            found["mean"] = self.kept
        return found | {f"optimizer {place}": optimizer for place, optimizer in enumerate(self.optimizers)}

    def save(self, path: Path, settings: str) -> None:
        counters = {"epoch": self.epoch, "step": self.step, "since": self.since, "best": self.best}
        training.save(path, settings, self.parts, best_state=self.best_state, **counters)

    def resume(self, path: Path | None, settings: str) -> None:
        if path is not None:
            for name, value in training.resume(path, settings, self.parts, str(self.process.device)).items():
                setattr(self, name, value)


@contextlib.contextmanager
def bar(what: str = "", *, every: float = 2.0, shown: bool = True) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on standard error, for the time of a training: what to give `train` as `progress`."""
    with tqdm(desc=what or None, file=sys.stderr, mininterval=every, unit="step", disable=not shown) as shown_bar:
        facts = {"loss": ""}

        def tell(progress: Progress) -> None:
            if shown_bar.total is None:
                shown_bar.total, shown_bar.initial = progress.steps, progress.step - 1
                shown_bar.n = progress.step - 1
            if progress.measured is not None:
                facts.update({f"held out {name}": f"{value:.4g}" for name, value in progress.measured.items()})
            facts["loss"] = f"{progress.loss:.3f}"
            shown_bar.set_postfix(facts, refresh=False)
            shown_bar.update(progress.step - shown_bar.n)

        yield tell
