"""One fine-tuning: from a checkpoint and examples to a new checkpoint and its metrics. Imports torch."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.errors import InputError
from demo_app.finetune import plans
from demo_app.finetune.data import Data, Example, check
from demo_app.finetune.plans import Plan
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.result import Forgetting, Result
from demo_app.finetune.tuner import Tuner, begin, is_head, with_old_head
from demo_app.inputs.text import short
from demo_app.nn import dropout, stages
from demo_app.nn.attention import MultiHeadAttention
from demo_app.nn.stages import Row, Stage, State
from demo_app.training import evaluation, loop, processes
from demo_app.training.loop import Course, Outcome
from demo_app.training.processes import Process
from demo_app.training.progress import Progress

log = logging.getLogger(__name__)
M = TypeVar("M")


def usual_rate(tuner: Tuner[Any], network: nn.Module, strategy: str) -> float:
    """What small data need: 0.004 at a width of 256, less at larger ones.

    It falls with the square of the width, so that at 3,072 it comes to 3e-5, as is usual for BERT-like networks; for
    LoRA with the width. Found at 256, and tried at 1,536 on the published weights of all-MiniLM-L6-v2: there three
    times as much gained nothing, and LoRA was better by 8 points than with the square. Where the head alone learns, the
    width is that of the head.
    """
    maps = {name: m.in_features for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    width = max((w for name, w in maps.items() if strategy != "freeze" or is_head(tuner, name)), default=256)
    return 0.004 * (256 / width) ** (1 if strategy == "lora" else 2) * (0.25 if strategy == "scratch" else 1.0)


def plan_of(tuner: Tuner[Any], network: nn.Module, recipe: Recipe, *, new_head: bool, epoch: int = 0) -> Plan:
    """Let the recipe's strategy say who learns; a head that is new learns in any case."""
    fast = recipe.learning_rate or usual_rate(tuner, network, recipe.strategy)
    common: dict[str, Any] = {"base_lr": fast, "weight_decay": recipe.weight_decay}
    names = [layer.name for layer in plans.full(network).layers]
    head = [name for name in names if is_head(tuner, name)]  # of `tuner.head` what this network has
    match recipe.strategy:
        case "freeze":
            return plans.freeze(network, recipe.upto or names.index(head[0]), **common)
        case "layers":
            return plans.train_only(network, [*recipe.patterns, *(head if new_head else ())], **common)
        case "layerwise":
            return plans.layerwise_lr(network, decay=recipe.decay, **common)
        case "gradual":
            return plans.unfreeze_gradually(network, epoch, decay=recipe.decay, **common)
        case "lora":
            return plans.lora(network, recipe.rank, patterns=recipe.patterns or None, also=head, base_lr=fast)
        case _:
            return plans.full(network, **common)


def preview(tuner: Tuner[Any], folder: Path, labels: tuple[str, ...], recipe: Recipe) -> Plan:
    """The plan, from the checkpoint's config alone: nothing is loaded, nothing computed."""
    had = tuner.labels(folder)
    labels = ordered(labels, had)
    return plan_of(tuner, tuner.outline(folder, labels), recipe, new_head=labels != had)


def ordered(labels: tuple[str, ...], had: tuple[str, ...]) -> tuple[str, ...]:
    """The classes in the order that the checkpoint has them in, where they are the same."""
    return had if set(labels) == set(had) else labels


@dataclass(frozen=True)
class _Part:
    """Encoded examples and their classes."""

    rows: Sequence[Row]
    classes: Tensor  # (N,)


class _Feed:
    """What the network is fed: the rows as they are where its frozen part ends."""

    def __init__(
        self,
        network: nn.Module,
        read: Stage,
        parts: tuple[_Part, _Part],
        recipe: Recipe,
        process: Process,
        half: bool,
    ) -> None:
        self.network, self.read, self.recipe, self.process, self.half = network, read, recipe, process, half
        self.raw = self.train, self.held_out = parts
        self.first = 0  # stages that have been computed

    @property
    def whole(self) -> list[Stage]:
        return [self.read, *stages.stages_of(self.network)]

    def cut(self) -> nn.Module:
        """What is to be called now. Where more is frozen than is computed, or less, the rows are made anew."""
        whole = self.whole
        first = stages.frozen(whole)
        if first != self.first:
            self.train, self.held_out = (
                _Part(stages.computed(self.network, whole[:first], part.rows, half=self.half), part.classes)
                for part in self.raw
            )
            self.first = first
        return stages.Rest(self.network, whole, first)

    def batches(self, augment: Callable[[State], State] | None) -> Iterator[tuple[State, Tensor, int]]:
        """Batches in a new order: of each the part of this process, and how many examples all of them have."""
        least = max(2, self.process.count)  # BatchNorm has no variance of one; every process takes part in every step
        order = torch.split(torch.randperm(len(self.train.rows)), self.recipe.batch_size)
        for numbers in order if len(order) == 1 or len(order[-1]) >= least else order[:-1]:
            own = numbers[self.process.rank :: self.process.count]
            state = stages.collate([self.train.rows[number] for number in own.tolist()], self.process.device)
            if augment is not None and self.first == 0:
                state = augment(state)
            yield state, self.train.classes[own].to(self.process.device), len(numbers)

    def loss(self, called: nn.Module, batch: tuple[State, Tensor, int]) -> Tensor:
        """Cross-entropy, such that the mean over all processes is that of the whole batch."""
        state, classes, whole = batch
        logits = called(*state).float()  # (B, C)
        return F.cross_entropy(logits, classes, reduction="sum") * self.process.count / whole

    def measure(self, network: nn.Module) -> dict[str, float]:
        """Loss and accuracy on what is held out."""
        rest = stages.Rest(network, self.whole, self.first)
        logits, answers = [], []
        for numbers in stages.by_length(self.held_out.rows, 64):
            state = stages.collate([self.held_out.rows[number] for number in numbers], self.process.device)
            with torch.autocast(self.process.device.type, torch.bfloat16, enabled=self.half):
                logits.append(rest(*state).float().cpu())
            answers.append(self.held_out.classes[numbers])
        said, wanted = torch.cat(logits), torch.cat(answers)  # (N, C), (N,)
        loss = F.cross_entropy(said, wanted).item()
        return {"loss": loss, "accuracy": (said.argmax(1) == wanted).double().mean().item()}


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told how a fine-tuning goes, and may end it."""

    planned: Callable[[Plan], None] = lambda plan: None
    progress: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False


def tune(
    tuner: Tuner[M],
    folder: Path,
    data: Data,
    recipe: Recipe,
    out: Path,
    *,
    original: Sequence[Example] = (),
    listener: Listener | None = None,
    process: Process | None = None,
    state: Path | None = None,
) -> Result:
    """Fine-tune the checkpoint in `folder` on `data`, and write the new one, with metrics.json, to `out`.

    `original` are examples of what the checkpoint was trained for, with its own labels; without, those that the demo
    brings, or what the checkpoint itself said of the examples held out. With `state` it goes on where it was killed.
    Raises `InputError` for data or settings that do not fit, and `TrainingError`.
    """
    listener, process = listener or Listener(), process or Process()
    check(data)
    had = tuner.labels(folder)
    labels = ordered(data.labels, had)
    classes = torch.tensor([labels.index(example.label) for example in data.examples])  # (N,)
    kept, left = evaluation.split(classes, recipe.held_out, recipe.seed)
    learned, held_out = ([data.examples[n] for n in numbers.tolist()] for numbers in (kept, left))
    torch.manual_seed(recipe.seed)
    base = tuner.load(folder)
    model = tuner.prepared(base, learned)
    network = begin(tuner, model, had, labels, scratch=recipe.strategy == "scratch").to(process.device)
    parts = (_Part(tuner.encode(model, learned), classes[kept]), _Part(tuner.encode(model, held_out), classes[left]))
    asked = _asked(tuner, base, had, labels, original, held_out)

    started = time.perf_counter()
    _set_dropout(network, recipe.dropout, process.device)
    plan = plan_of(tuner, network, recipe, new_head=labels != had)
    network.to(process.device)  # LoRA has added to it
    listener.planned(plan)
    half = processes.in_half(recipe.precision, network, process)
    read = Stage(lambda *state: tuner.read(model, state), ())
    feed = _Feed(network, read, parts, recipe, process, half)

    def model_of(epoch: int) -> nn.Module:
        if recipe.strategy == "gradual":
            plan_of(tuner, network, recipe, new_head=True, epoch=epoch)
        return feed.cut()

    model_of(0)
    cached = feed.first
    steps = max(1, len(kept) // recipe.batch_size + (len(kept) % recipe.batch_size > 1))
    outcome = loop.train(
        network,
        [plan.optimizer()],
        lambda _: feed.batches((lambda batch: tuner.augment(model, batch)) if tuner.augments else None),
        feed.loss,
        Course(
            epochs=recipe.epochs,
            steps=steps * recipe.epochs,
            warmup=recipe.warmup,
            half=half,
            watch="accuracy",  # the loss also rises where answers only become surer of themselves
            higher=True,
            ties="loss",
            patience=recipe.patience,
            seed=recipe.seed,
        ),
        evaluate=feed.measure,
        model=model_of,
        state=state,
        settings=json.dumps([asdict(recipe), str(folder), labels, len(kept)]),
        progress=listener.progress,
        stop=_until(listener.stop, recipe.minutes),
        process=process,
    )
    seconds = time.perf_counter() - started
    plans.merge(network)
    tuned = tuner.with_network(model, network.cpu())
    if process.first:
        tuner.save(tuned, out)
    said = tuner.predict(tuner.load(out) if process.first else tuned, held_out)  # as it is on disk
    result = Result(
        strategy=recipe.strategy,
        labels=labels,
        **evaluation.scores(said.argmax(1), classes[left], labels),
        forgetting=_forgotten(tuner, model, had, labels, network, asked, recipe),
        trained=plan.trained if recipe.strategy != "gradual" else plan.parameters,
        parameters=sum(p.numel() for p in network.parameters()),
        seconds=round(seconds, 2),
        seconds_per_epoch=round(outcome.seconds / max(1, outcome.epochs), 3),
        epochs=outcome.epochs,
        steps=outcome.steps,
        best_epoch=_best_epoch(outcome),
        ended=outcome.ended,
        examples=len(kept),
        held_out=len(left),
        cached=cached,
        plan=plan.table(),
    )
    if process.first:
        (out / "metrics.json").write_text(json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return result


def _set_dropout(network: nn.Module, probability: float, device: torch.device) -> None:
    for module in network.modules() if probability >= 0 else ():
        if isinstance(module, nn.Dropout):
            module.p = probability
        if isinstance(module, MultiHeadAttention):
            module.dropout = probability
    if device.type == "cpu":
        dropout.use_byte_dropout(network)


def _until(stop: Callable[[], bool], minutes: float) -> Callable[[], bool]:
    end = time.monotonic() + 60 * minutes if minutes else None
    return lambda: stop() or (end is not None and time.monotonic() > end)


def _best_epoch(outcome: Outcome) -> int:
    ranks = [(found["accuracy"], -found["loss"]) for found in outcome.measured]
    return ranks.index(max(ranks)) + 1 if ranks else 0


@dataclass(frozen=True)
class _Asked:
    """Examples of the task that the checkpoint was trained for, and what it makes of them."""

    examples: Sequence[Example]
    wanted: Tensor  # (N,) classes of the checkpoint
    said: Tensor  # (N,)
    of: str


def _asked(
    tuner: Tuner[M],
    model: M,
    had: tuple[str, ...],
    labels: tuple[str, ...],
    original: Sequence[Example],
    held_out: Sequence[Example],
) -> _Asked | None:
    """Examples with the checkpoint's own labels; where there are none, its own answers to what is held out."""
    known = [example for example in original or tuner.original(model) if example.label in had]
    if original and not known:
        written = list(dict.fromkeys(example.label for example in original))
        own, theirs = (", ".join(short(label) for label in some[:5]) for some in (had, written))
        raise InputError(
            f"None of the examples of the original task has a class of the checkpoint ({own}; theirs: {theirs}); "
            "name some that do."
        )
    if known:
        wanted = torch.tensor([had.index(example.label) for example in known])
        return _Asked(known, wanted, tuner.predict(model, known).argmax(1), "labelled examples of its own task")
    if labels == had or len(had) < 2:
        return None
    said = tuner.predict(model, held_out).argmax(1)
    return _Asked(held_out, said, said, "its own answers to the examples held out")


def _forgotten(
    tuner: Tuner[M],
    model: M,
    had: tuple[str, ...],
    labels: tuple[str, ...],
    network: nn.Module,
    asked: _Asked | None,
    recipe: Recipe,
) -> Forgetting | None:
    """How its own head answers on top of what was learned; where the classes are the same, the tuned head."""
    if asked is None or recipe.strategy == "scratch":
        return None
    now = tuner.with_network(model, network) if labels == had else with_old_head(tuner, model, had, network)
    said = tuner.predict(now, asked.examples).argmax(1)
    shares = [(answers == asked.wanted).double().mean().item() for answers in (asked.said, said)]
    return Forgetting(before=round(shares[0], 4), after=round(shares[1], 4), examples=len(said), of=asked.of)
