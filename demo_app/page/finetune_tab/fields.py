"""The fields of the form, checked: numbers, lists and patterns as a visitor or a program sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demo_app.errors import InputError
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.inputs.text import clean

MOST_PATTERNS, MAX_PATTERN = 50, 200  # layer patterns, and characters of each
HUGE = 1e300  # larger numbers are refused: JSON has whole numbers that no float holds, and NaN


@dataclass(frozen=True, kw_only=True)
class Form:
    """The settings of a training as they were sent. Any of them may be missing or of a wrong type."""

    strategies: Any
    layers: Any
    epochs: Any
    learning_rate: Any
    decay: Any
    rank: Any

    @property
    def wants_layers(self) -> bool:
        """Whether the strategy `layers` is among the chosen ones."""
        return "layers" in as_list(self.strategies)

    def recipes(self) -> tuple[Recipe, ...]:
        """A recipe for each strategy, in the order of `STRATEGIES`. Raises `InputError` for what cannot be used."""
        default = Recipe()
        wanted = as_list(self.strategies)
        if unknown := [name for name in wanted if name not in STRATEGIES]:
            known = ", ".join(STRATEGIES)
            raise InputError("There is no strategy {name}; choose from: {known}.", name=unknown[0], known=known)
        if not wanted:
            raise InputError("No strategy is chosen; choose one or more.")
        patterns = layer_patterns(self.layers)
        return tuple(
            Recipe(
                strategy=name,
                layers=",".join(patterns) if name == "layers" else "",
                epochs=int(number_or_default(self.epochs, default.epochs, 1, 1000, "Epochs")),
                learning_rate=number_or_default(self.learning_rate, 0.0, 0.0, 1.0, "The learning rate"),
                decay=number_or_default(self.decay, default.decay, 0.01, 1.0, "Decay"),
                rank=int(number_or_default(self.rank, default.rank, 1, 256, "Rank")),
            )
            for name in STRATEGIES
            if name in wanted
        )


def checked_text(text: Any) -> str:
    """The text that the models are asked about. Raises `InputError` for an empty one, or none."""
    written = clean(text) if isinstance(text, str) else ""
    if not written.strip():
        raise InputError("The text is empty; write a sentence, then try again.")
    return written


def as_list(value: Any) -> list[Any]:
    """A list of what may be sent as a list, as a single value, or not at all."""
    return value if isinstance(value, list) else [value] if value else []


def layer_patterns(value: Any) -> Sequence[str]:
    """Names or globs of layers.

    Raises `InputError` for too many or too long ones, and for regular expressions: matching a stranger's can take
    forever.
    """
    patterns = [str(pattern).strip() for pattern in as_list(value)]
    if len(patterns) > MOST_PATTERNS or any(len(pattern) > MAX_PATTERN for pattern in patterns):
        raise InputError(
            "Layers are named by {count} patterns at most, of {length} characters; use fewer.",
            count=MOST_PATTERNS,
            length=MAX_PATTERN,
        )
    if any(part.strip().startswith("re:") for pattern in patterns for part in pattern.split(",")):
        raise InputError("Regular expressions are for the command line; name layers, or use a glob such as layers.2.*")
    return patterns


def number_or_default(value: Any, default: float, least: float, most: float, name: str) -> float:
    """The number in a box, or the default if the box is empty. Raises `InputError`, which names the bounds.

    Unlike `inputs.numbers.whole_number`, 2.5 epochs are accepted: a slider can be dragged between two steps.
    """
    if value is None:
        return default
    bounds = {"name": name, "least": f"{least:g}", "most": f"{most:g}"}
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        raise InputError("{name} is no number; write one from {least} to {most}.", **bounds)
    if not least <= value <= most:
        raise InputError("{name} is {value}; choose from {least} to {most}.", value=f"{value:g}", **bounds)
    return value
