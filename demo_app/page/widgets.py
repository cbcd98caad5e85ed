"""Pieces of tabs: a card for a drawing, a session's memory, examples, a picker of layers or heads. Imports gradio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from demo_app.errors import InputError
from demo_app.page.lessons import Lesson

AVERAGE = "average"
KEPT_SECONDS = 3 * 3600  # a session's state is forgotten after so long without use


def drawing(label: str, value: str, js_on_load: str | None = None, css: str | None = None) -> gr.HTML:
    """A card for a drawing.

    Args:
        label: its name for clients.
        value: HTML, as `viz` or a demo's own views make it.
        js_on_load: a script for the card, such as `viz.script()`.
        css: the style sheet of a demo's own drawings; `viz`'s own is on every page.
    """
    sheet = {"css_template": css} if css is not None else {}
    return gr.HTML(value, label=label, js_on_load=js_on_load, container=True, apply_default_css=False, **sheet)


def session_state(value: Any = None, **kwargs: Any) -> gr.State:
    """What a tab remembers of a visitor's session: copied for each, forgotten after three hours without use."""
    return gr.State(value, time_to_live=KEPT_SECONDS, **kwargs)


def lesson_buttons(lessons: Sequence[Lesson], samples: Sequence[Sequence[Any]], **kwargs: Any) -> gr.Dataset:
    """A button for each lesson; a click on one gives its number, from 0, which `lessons.pick` takes.

    Args:
        lessons: the examples.
        samples: what each fills in, in the same order; shown to clients.
    """
    options: dict[str, Any] = {"components": ["textbox"], "label": "Try one: each teaches something"}
    return gr.Dataset(
        samples=[list(sample) for sample in samples],
        sample_labels=[lesson.title for lesson in lessons],
        type="index",
        **options | kwargs,
    )


def numbers(count: int) -> list[str]:
    """What a picker of layers or heads offers: the average, then each by its number from 1."""
    return [AVERAGE, *map(str, range(1, count + 1))]


def index(choice: str, count: int) -> int | None:
    """From a picker's number, from 1, to an index; `None` for the average, also where the model has fewer.

    Raises `InputError` for what is no such number.

    >>> index("2", 6), index("average", 6), index("5", 2)
    (1, None, None)
    """
    if choice == AVERAGE:
        return None
    if not str(choice).isdecimal() or int(choice) < 1:
        raise InputError(f"There is no {choice}; choose {AVERAGE}, or a number from 1 to {count}.")
    return int(choice) - 1 if int(choice) <= count else None
