"""Pieces of tabs, for plugins: cards for drawings, session state, buttons of lessons, pickers of layers or heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from demo_app.errors import InputError
from demo_app.finetune.jobs import KEPT_SECONDS
from demo_app.page.lessons import Lesson

AVERAGE = "average"


def drawing(label: str, value: str, js_on_load: str | None = None, css: str | None = None) -> gr.HTML:
    """A card for a drawing.

    Args:
        label: the name of the component, for clients of the API.
        value: HTML, made by `viz` or by a demo's own views.
        js_on_load: a script for the card, such as `viz.script()`.
        css: the style sheet of a demo's own drawings; that of `viz` is on every page.
    """
    sheet = {"css_template": css} if css is not None else {}
    return gr.HTML(value, label=label, js_on_load=js_on_load, container=True, apply_default_css=False, **sheet)


def session_state(value: Any = None, **kwargs: Any) -> gr.State:
    """A `gr.State`: every session has a copy of the value, which is deleted after three hours without use."""
    return gr.State(value, time_to_live=KEPT_SECONDS, **kwargs)


def lesson_buttons(lessons: Sequence[Lesson], samples: Sequence[Sequence[Any]], **kwargs: Any) -> gr.Dataset:
    """A button for each lesson. The component's value is the number of the clicked one, from 0, for `lessons.pick`.

    Args:
        lessons: the lessons.
        samples: the inputs that each fills in, in the same order; clients of the API see them.
        kwargs: of the `gr.Dataset`.
    """
    options: dict[str, Any] = {"components": ["textbox"], "label": "Try one: each teaches something"}
    return gr.Dataset(
        samples=[list(sample) for sample in samples],
        sample_labels=[lesson.title for lesson in lessons],
        type="index",
        **options | kwargs,
    )


def numbers(count: int) -> list[str]:
    """The choices of a picker of layers or heads: the average, then each by its number, from 1."""
    return [AVERAGE, *map(str, range(1, count + 1))]


def index(choice: str, count: int) -> int | None:
    """The index that a choice of `numbers` stands for; `None` for the average, and if the model has fewer.

    Raises `InputError` for anything but a number from 1 or the average.

    >>> index("2", 6), index("average", 6), index("5", 2)
    (1, None, None)
    """
    if choice == AVERAGE:
        return None
    if not str(choice).isdecimal() or int(choice) < 1:
        raise InputError(
            "There is no {choice}; choose {average}, or a number from 1 to {count}.",
            choice=choice,
            average=AVERAGE,
            count=count,
        )
    return int(choice) - 1 if int(choice) <= count else None
