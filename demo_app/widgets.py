"""Pieces of tabs: a card for a drawing, a picker of layers or heads. Imports gradio."""

from __future__ import annotations

import gradio as gr

from demo_app.api import InputError

AVERAGE = "average"


def drawing(label: str, value: str, js_on_load: str | None = None) -> gr.HTML:
    """A card for what `viz` draws; the label is what clients call it."""
    return gr.HTML(value, label=label, js_on_load=js_on_load, container=True, apply_default_css=False)


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
