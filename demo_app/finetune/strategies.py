"""From a recipe to a plan: what each strategy trains in a demo's network, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from demo_app.finetune import plans
from demo_app.finetune.plans import Plan
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.tuner import Tuner, is_head


def default_learning_rate(tuner: Tuner[Any], network: nn.Module, strategy: str) -> float:
    """A learning rate for small data: 0.004 at a width of 256, less at larger widths.

    It falls with the square of the width, so that at 3,072 it is 3e-5, as is usual for BERT-like networks; for LoRA
    with the width. Found at 256 and tried at 1,536 on the published weights of all-MiniLM-L6-v2: three times as much
    gained nothing there, and LoRA was better by 8 points than with the square. If the head alone learns, the width is
    that of the head.
    """
    widths = {name: m.in_features for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    width = max((w for name, w in widths.items() if strategy != "freeze" or is_head(tuner, name)), default=256)
    return 0.004 * (256 / width) ** (1 if strategy == "lora" else 2) * (0.25 if strategy == "scratch" else 1.0)


def make_plan(tuner: Tuner[Any], network: nn.Module, recipe: Recipe, *, new_head: bool, epoch: int = 0) -> Plan:
    """Apply the recipe's strategy to the network; a new head is trained in any case.

    `epoch` matters for `gradual` alone, which changes what is trained. Raises `InputError` as `plans` does.
    """
    base_lr = recipe.learning_rate or default_learning_rate(tuner, network, recipe.strategy)
    common: dict[str, Any] = {"base_lr": base_lr, "weight_decay": recipe.weight_decay}
    names = [layer.name for layer in plans.full(network).layers]
    head = [name for name in names if is_head(tuner, name)]  # the part of `tuner.head` that this network has
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
            return plans.lora(network, recipe.rank, patterns=recipe.patterns or None, also=head, base_lr=base_lr)
        case _:
            return plans.full(network, **common)


def preview(tuner: Tuner[Any], folder: Path, labels: tuple[str, ...], recipe: Recipe) -> Plan:
    """The plan from the checkpoint's config alone: no weights are loaded, nothing is computed."""
    old_labels = tuner.labels(folder)
    labels = in_checkpoint_order(labels, old_labels)
    return make_plan(tuner, tuner.outline(folder, labels), recipe, new_head=labels != old_labels)


def in_checkpoint_order(labels: tuple[str, ...], old_labels: tuple[str, ...]) -> tuple[str, ...]:
    """The classes in the checkpoint's order if it has the same ones."""
    return old_labels if set(labels) == set(old_labels) else labels
