"""How much of its original task a checkpoint forgets when it is fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from demo_app.errors import InputError
from demo_app.finetune.data import Example
from demo_app.finetune.result import Forgetting
from demo_app.finetune.tuner import Tuner, with_old_head
from demo_app.inputs.text import short

M = TypeVar("M")


@dataclass(frozen=True)
class OriginalTask:
    """Examples of the task that a checkpoint was trained for, and its answers before fine-tuning."""

    examples: Sequence[Example]
    classes: Tensor  # (N,) the true ones, of the checkpoint's own classes
    answers: Tensor  # (N,)
    of: str  # what was asked


def ask_original_task(
    tuner: Tuner[M],
    model: M,
    old_labels: tuple[str, ...],
    labels: tuple[str, ...],
    original: Sequence[Example],
    held_out: Sequence[Example],
) -> OriginalTask | None:
    """Ask the checkpoint before fine-tuning.

    The examples are `original`, or those that the demo brings, as far as their labels are classes of the checkpoint.
    Without any, its own answers to the held-out examples count as true; `None` if it has the same classes, or fewer
    than two. Raises `InputError` if none of the `original` examples has a class of the checkpoint.
    """
    known = [example for example in original or tuner.original_examples(model) if example.label in old_labels]
    if original and not known:
        given = list(dict.fromkeys(example.label for example in original))
        own, theirs = (", ".join(short(label) for label in some[:5]) for some in (old_labels, given))
        raise InputError(
            "None of the examples of the original task has a class of the checkpoint ({own}; theirs: {theirs}); "
            "name some that do.",
            own=own,
            theirs=theirs,
        )
    if known:
        classes = torch.tensor([old_labels.index(example.label) for example in known])
        answers = tuner.predict(model, known).argmax(1)
        return OriginalTask(known, classes, answers, "labelled examples of its own task")
    if labels == old_labels or len(old_labels) < 2:
        return None
    answers = tuner.predict(model, held_out).argmax(1)
    return OriginalTask(held_out, answers, answers, "its own answers to the examples held out")


def measure_forgetting(
    tuner: Tuner[M],
    model: M,
    old_labels: tuple[str, ...],
    labels: tuple[str, ...],
    network: nn.Module,
    task: OriginalTask,
) -> Forgetting:
    """Ask again: the old head on top of the tuned network or, if the classes are the same, the tuned head."""
    same = labels == old_labels
    tuned = tuner.with_network(model, network) if same else with_old_head(tuner, model, old_labels, network)
    answers = tuner.predict(tuned, task.examples).argmax(1)
    before, after = ((given == task.classes).double().mean().item() for given in (task.answers, answers))
    return Forgetting(before=round(before, 4), after=round(after, 4), examples=len(answers), of=task.of)
