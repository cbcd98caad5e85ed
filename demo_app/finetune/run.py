"""One fine-tuning: from a checkpoint and examples to a new checkpoint and its metrics. Imports torch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from demo_app.finetune.data import Data, Example, check
from demo_app.finetune.feed import EncodedExamples, Feed
from demo_app.finetune.forgetting import OriginalTask, ask_original_task, measure_forgetting
from demo_app.finetune.plans import Plan, merge
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.result import Result
from demo_app.finetune.strategies import in_checkpoint_order, make_plan
from demo_app.finetune.tuner import Tuner, start_network
from demo_app.nn import dropout
from demo_app.nn.attention import MultiHeadAttention
from demo_app.nn.stages import Stage
from demo_app.training import evaluation
from demo_app.training.precision import use_bfloat16
from demo_app.training.processes import Process
from demo_app.training.progress import TrainingProgress
from demo_app.training.schedule import Schedule
from demo_app.training.state import StateFile
from demo_app.training.trainer import Outcome, Trainer

M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Callbacks of a fine-tuning."""

    planned: Callable[[Plan], None] = lambda plan: None
    progress: Callable[[TrainingProgress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False  # whether to end now, with the best weights so far


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
    """Fine-tune the checkpoint in `folder` on `data`; write the new one, with metrics.json, to `out`.

    Args:
        tuner: the demo's.
        folder: of the checkpoint to start from.
        data: as `read_data` returns it.
        recipe: strategy and hyperparameters.
        out: folder of the new checkpoint.
        original: examples of what the checkpoint was trained for, with its own labels, to measure forgetting; see
            `ask_original_task` for the default.
        listener: callbacks.
        process: one of `process_group()`; default: a single process on the CPU.
        state: a file to resume from after a kill.

    Raises `InputError` for data or settings that do not fit, and `TrainingError`.
    """
    check(data)
    job = _FineTuning(tuner, folder, data, recipe, process or Process())
    task = ask_original_task(tuner, job.base, job.old_labels, job.labels, original, job.held_out.examples)
    job.train(listener or Listener(), state)
    result = job.finish(out, task)
    if job.process.first:
        (out / "metrics.json").write_text(json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return result


@dataclass(frozen=True)
class _Part:
    """Examples that are trained on, or held out, and their classes."""

    examples: Sequence[Example]
    classes: Tensor  # (N,) int64


class _FineTuning(Generic[M]):
    """A network on its way from one checkpoint to the next. Random numbers are drawn in the order of the methods."""

    outcome: Outcome
    plan: Plan

    def __init__(self, tuner: Tuner[M], folder: Path, data: Data, recipe: Recipe, process: Process) -> None:
        """Split the data, load the checkpoint, and make its network fit the new classes."""
        self.tuner, self.folder, self.recipe, self.process = tuner, folder, recipe, process
        self.old_labels = tuner.labels(folder)
        self.labels = in_checkpoint_order(data.labels, self.old_labels)
        classes = torch.tensor([self.labels.index(example.label) for example in data.examples])  # (N,)
        parts = evaluation.split(classes, recipe.held_out, recipe.seed)
        self.train_part, self.held_out = (
            _Part([data.examples[row] for row in rows.tolist()], classes[rows]) for rows in parts
        )
        torch.manual_seed(recipe.seed)
        self.base = tuner.load(folder)
        self.model = tuner.prepare(self.base, self.train_part.examples)
        scratch = recipe.strategy == "scratch"
        self.network = start_network(tuner, self.model, self.old_labels, self.labels, scratch=scratch)
        self.network.to(process.device)
        self.encoded = [self._encoded(part) for part in (self.train_part, self.held_out)]
        self.cached = 0  # frozen stages that were computed once, at the start
        self.seconds = 0.0

    def _encoded(self, part: _Part) -> EncodedExamples:
        return EncodedExamples(self.tuner.encode(self.model, part.examples), part.classes)

    @property
    def new_head(self) -> bool:
        return self.labels != self.old_labels

    def train(self, listener: Listener, state: Path | None) -> None:
        """Train the network by the recipe; it ends with the weights of the best epoch, LoRA merged, on the CPU."""
        started = time.perf_counter()
        _set_dropout(self.network, self.recipe.dropout, self.process.device)
        self.plan = make_plan(self.tuner, self.network, self.recipe, new_head=self.new_head)
        self.network.to(self.process.device)  # LoRA has added to it
        listener.planned(self.plan)
        bfloat16 = use_bfloat16(self.recipe.precision, self.network, self.process)
        feed = self._feed(bfloat16)
        feed.trained_part()
        self.cached = feed.cached
        trainer = Trainer(
            self.network,
            [self.plan.optimizer()],
            self._schedule(bfloat16),
            process=self.process,
            state_file=None if state is None else StateFile(path=state, settings=self._settings()),
            progress=listener.progress,
            stop=_until(listener.stop, self.recipe.minutes),
        )
        self.outcome = trainer.fit(
            lambda _: feed.batches(self._augment if self.tuner.augments else None),
            feed.loss,
            evaluate=feed.evaluate,
            model=lambda epoch: self._model_of(epoch, feed),
        )
        self.seconds = time.perf_counter() - started
        merge(self.network)
        self.network.cpu()

    def _feed(self, bfloat16: bool) -> Feed:
        return Feed(
            self.network,
            Stage(lambda *tensors: self.tuner.preprocess(self.model, tensors), ()),
            *self.encoded,
            batch_size=self.recipe.batch_size,
            process=self.process,
            bfloat16=bfloat16,
        )

    def _augment(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.tuner.augment(self.model, tensors)

    def _model_of(self, epoch: int, feed: Feed) -> nn.Module:
        """What is computed at each step of an epoch; `gradual` unfreezes one more layer first."""
        if self.recipe.strategy == "gradual":
            make_plan(self.tuner, self.network, self.recipe, new_head=True, epoch=epoch)
        return feed.trained_part()

    def _schedule(self, bfloat16: bool) -> Schedule:
        recipe, examples = self.recipe, len(self.train_part.examples)
        steps = max(1, examples // recipe.batch_size + (examples % recipe.batch_size > 1))
        return Schedule(
            epochs=recipe.epochs,
            steps=steps * recipe.epochs,
            warmup=recipe.warmup,
            bfloat16=bfloat16,
            monitor="accuracy",  # the loss also rises where predictions only become more confident
            higher_is_better=True,
            tie_breaker="loss",
            patience=recipe.patience,
            seed=recipe.seed,
        )

    def _settings(self) -> str:
        return json.dumps([asdict(self.recipe), str(self.folder), self.labels, len(self.train_part.examples)])

    def finish(self, out: Path, task: OriginalTask | None) -> Result:
        """Save the checkpoint, and measure it as it is on disk."""
        tuned = self.tuner.with_network(self.model, self.network)
        if self.process.first:
            self.tuner.save(tuned, out)
            tuned = self.tuner.load(out)
        predicted = self.tuner.predict(tuned, self.held_out.examples).argmax(1)
        forgetting = None
        if task is not None and self.recipe.strategy != "scratch":
            forgetting = measure_forgetting(self.tuner, self.model, self.old_labels, self.labels, self.network, task)
        return Result(
            strategy=self.recipe.strategy,
            labels=self.labels,
            **evaluation.scores(predicted, self.held_out.classes, self.labels),
            forgetting=forgetting,
            trained=self.plan.trained if self.recipe.strategy != "gradual" else self.plan.parameters,
            parameters=sum(p.numel() for p in self.network.parameters()),
            seconds=round(self.seconds, 2),
            seconds_per_epoch=round(self.outcome.seconds / max(1, self.outcome.epochs), 3),
            epochs=self.outcome.epochs,
            steps=self.outcome.steps,
            best_epoch=_best_epoch(self.outcome),
            ended=self.outcome.ended,
            examples=len(self.train_part.examples),
            held_out=len(self.held_out.examples),
            cached=self.cached,
            plan=self.plan.table(),
        )


def _set_dropout(network: nn.Module, probability: float, device: torch.device) -> None:
    """Replace the network's dropout probabilities, unless negative; on a CPU use the faster kind of dropout."""
    for module in network.modules() if probability >= 0 else ():
        if isinstance(module, nn.Dropout):
            module.p = probability
        if isinstance(module, MultiHeadAttention):
            module.dropout = probability
    if device.type == "cpu":
        dropout.use_byte_dropout(network)


def _until(stop: Callable[[], bool], minutes: float) -> Callable[[], bool]:
    """`stop`, or that many minutes from now; 0: no limit."""
    end = time.monotonic() + 60 * minutes if minutes else None
    return lambda: stop() or (end is not None and time.monotonic() > end)


def _best_epoch(outcome: Outcome) -> int:
    ranks: list[Any] = [(found["accuracy"], -found["loss"]) for found in outcome.measured]
    return ranks.index(max(ranks)) + 1 if ranks else 0
