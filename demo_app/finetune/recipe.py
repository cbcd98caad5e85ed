"""The settings of a fine-tuning, as the command line and the tab offer them. Imports neither gradio nor torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from demo_app.errors import InputError
from demo_app.options import option

STRATEGIES = ("freeze", "layers", "layerwise", "lora", "full", "gradual", "scratch")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to fine-tune. Each field is an option of the command line. Raises `InputError` for impossible values."""

    strategy: str = option("layerwise", f"who learns: {', '.join(STRATEGIES)}")
    layers: str = option("", "of `layers` and `lora`: names of layers by commas, globs or re:EXPRESSION")
    upto: str = option("", "of `freeze`: the last frozen layer; empty: all but the head")
    decay: float = option(0.9, "of `layerwise` and `gradual`: a layer's rate, in shares of that of the layer above")
    rank: int = option(8, "of `lora`")
    epochs: int = option(25, "times to go through the data at most")
    patience: int = option(10, "epochs without a better accuracy on what is held out after which it ends")
    batch_size: int = option(16, "examples in a step")
    learning_rate: float = option(0.0, "the highest; 0: what suits the strategy and the width of the network")
    weight_decay: float = option(0.01, "AdamW's, on matrices")
    warmup: float = option(0.1, "share of all steps in which the rates rise; then they fall as a cosine")
    dropout: float = option(-1.0, "in place of the network's own; negative: leave it")
    held_out: float = option(0.2, "share of each class that is not trained on")
    precision: str = option("auto", "of products: fp32, bf16, or auto, the faster one")
    minutes: float = option(0.0, "after which it ends with the best weights so far; 0: never")
    seed: int = option(0, "of new weights, order, dropout and of what is held out")

    def __post_init__(self) -> None:
        for name, known in (("strategy", STRATEGIES), ("precision", ("auto", "fp32", "bf16"))):
            if getattr(self, name) not in known:
                raise InputError(
                    "{name} {value} is unknown; choose one of: {known}.",
                    name=name,
                    value=repr(getattr(self, name)),
                    known=", ".join(known),
                )
        if self.strategy == "layers" and not self.patterns:
            raise InputError("the strategy `layers` wants the names of layers; give some, as in layers.2.*")
        for name in ("epochs", "batch_size", "patience", "rank"):
            if getattr(self, name) < 1:
                raise InputError("{name} {value} is too small; choose 1 or more.", name=name, value=getattr(self, name))
        if not 0 < self.held_out < 1:
            raise InputError("held_out {value} is no share; choose more than 0 and less than 1.", value=self.held_out)
        if not 0 <= self.learning_rate < math.inf:
            raise InputError(
                "learning_rate {value} is no rate; choose more than 0, or 0 for the usual one.",
                value=self.learning_rate,
            )
        for name in ("weight_decay", "minutes"):
            if not getattr(self, name) >= 0:
                raise InputError("{name} {value} is negative; choose 0 or more.", name=name, value=getattr(self, name))
        if not 0 <= self.warmup <= 1:
            raise InputError("warmup {value} is no share; choose from 0 to 1.", value=self.warmup)
        if not self.dropout < 1:
            raise InputError("dropout {value} leaves nothing; choose less than 1.", value=self.dropout)
        if not -(2**31) <= self.seed < 2**31:
            raise InputError("seed {value} is too long; choose one of nine digits at most.", value=self.seed)

    def steps(self, examples: int) -> int:
        """Optimiser steps on that many examples, unless it ends early."""
        trained = max(1, round(examples * (1 - self.held_out)))
        return self.epochs * -(-trained // self.batch_size)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The names of layers in `layers`."""
        return tuple(part.strip() for part in self.layers.split(",") if part.strip())


def check_steps(recipes: Sequence[Recipe], examples: int, most: int) -> int:
    """Steps of all recipes together on that many examples. Raises `InputError` if there are more than `most`."""
    steps = sum(recipe.steps(examples) for recipe in recipes)
    if steps > most:
        raise InputError(
            "This would take {steps} steps and the limit here is {limit}; choose fewer epochs, fewer strategies, "
            "or fewer rows.",
            steps=f"{steps:,}",
            limit=f"{most:,}",
        )
    return steps
