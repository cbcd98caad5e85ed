"""The fields of the form: numbers, lists and patterns, read from what a visitor typed."""

from __future__ import annotations

from typing import Any

from demo_app.errors import InputError
from demo_app.finetune.data import Example
from demo_app.inputs.text import clean

MOST_PATTERNS, MAX_PATTERN = 50, 200  # of layers, and characters of each
HUGE = 1e300  # no number beyond: JSON has whole numbers that no float holds, and NaN


def example_of(text: Any) -> Example:
    written = clean(text) if isinstance(text, str) else ""
    if not written.strip():
        raise InputError("The text is empty; write a sentence, then try again.")
    return Example(label="", text=written)


def listed(given: Any) -> list[Any]:
    """What may come as a list, alone, or not at all."""
    return given if isinstance(given, list) else [given] if given else []


def globs_of(given: Any) -> list[str]:
    """Patterns of layers. Raises `InputError`, also for regular expressions: a stranger's can take for ever."""
    patterns = [str(pattern).strip() for pattern in listed(given)]
    if len(patterns) > MOST_PATTERNS or any(len(pattern) > MAX_PATTERN for pattern in patterns):
        raise InputError(
            f"Layers are named by {MOST_PATTERNS} patterns at most, of {MAX_PATTERN} characters; use fewer."
        )
    if any(part.strip().startswith("re:") for pattern in patterns for part in pattern.split(",")):
        raise InputError("Regular expressions are for the command line; name layers, or use a glob such as layers.2.*")
    return patterns


def number_of(value: Any, usual: float, least: float, most: float, name: str) -> float:
    """A number from a box that may be empty. Raises `InputError`."""
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        raise InputError(f"{name} is no number; write one from {least:g} to {most:g}.")
    if not least <= value <= most:
        raise InputError(f"{name} is {value:g}; choose from {least:g} to {most:g}.")
    return value
