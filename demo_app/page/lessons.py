"""Lessons: examples that each make a point, as plain data. Imports no gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from demo_app.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """An example to try, and what to notice in it. A demo subclasses it to add the inputs of its tab."""

    title: str  # of the button
    lesson: str  # what to notice


L = TypeVar("L")


def pick(lessons: Sequence[L], number: Any) -> L:
    """The lesson of that number, from 0. Raises `InputError` if there is none."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(lessons):
        raise InputError(
            "There is no example {number}; choose one from 0 to {last}.", number=number, last=len(lessons) - 1
        )
    return lessons[number]
