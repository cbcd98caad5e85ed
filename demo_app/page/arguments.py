"""What a client may send for a component: checked before Gradio reads it, so that no handler meets a wrong type.

Gradio itself takes a list of strings for a text, a list for a `gr.Dropdown` of one choice, and a number for a
`gr.Checkbox`; where it does refuse, it prints a traceback with all that it was sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from demo_app.errors import InputError
from demo_app.gradio_internals import Listener
from demo_app.i18n import say
from demo_app.inputs.text import clean

TEXTS = (gr.Textbox, gr.Code, gr.Markdown, gr.HTML, gr.ColorPicker)
FILES = (gr.File, gr.UploadButton, gr.Image, gr.ImageEditor, gr.Audio, gr.Video, gr.Gallery, gr.Model3D)
HUGE = 1e300  # larger numbers are refused: JSON has whole numbers that no float holds, and NaN
MOST_CHOICES = 1000  # in one argument, where any text is a choice
SHOWN = 12  # choices that a refusal lists


def checked(listener: Listener, inputs: Sequence[Any], parts: Sequence[Any]) -> list[Any]:
    """The arguments of an event, checked against its components. Raises `InputError` that names the first wrong one.

    For `null` the handler gets an empty text, or the choice that the component begins with: a program that leaves an
    argument out gets the same. Half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a question mark.

    Args:
        listener: whose arguments they are. With `preprocess=False` its handler checks numbers and choices itself.
        inputs: a value for each component, as a client sent them.
        parts: the components, as they are in the client's session.
    """
    if len(inputs) < len(parts):
        raise InputError(
            "{action} takes {count} values and was sent {given}; send one for each of: {names}.",
            action=listener.name,
            count=len(parts),
            given=len(inputs),
            names=", ".join(_name(listener, number, part) for number, part in enumerate(parts)),
        )
    arguments = list(inputs)
    for number, (part, value) in enumerate(zip(parts, inputs, strict=False)):
        if part.stateful:
            continue
        if value is None:
            arguments[number] = _left_out(part, strict=not listener.checks_itself)
        else:
            arguments[number] = value = clean(value) if isinstance(value, str) else value
            _check_one(part, value, _name(listener, number, part), strict=not listener.checks_itself)
    return arguments


def _left_out(part: Any, *, strict: bool) -> Any:
    """What the handler gets for `null`."""
    if isinstance(part, TEXTS):
        return ""
    if strict and isinstance(part, gr.Dropdown | gr.Radio) and not callable(part.value):
        return part.value
    return None


def unreadable(listener: Listener, number: int) -> InputError:
    """The refusal of an argument that Gradio cannot read."""
    part = listener.inputs[number]
    name = _name(listener, number, part)
    if isinstance(part, FILES):
        return InputError(
            "{name} takes a file that was uploaded, and this one is not here; upload it again.", name=name
        )
    return InputError("{name} was sent something that it does not take; the page's API lists what it takes.", name=name)


def no_event(listener: Listener) -> InputError:
    """The refusal of an event that does not say what was clicked on."""
    return InputError("{action} answers a click on a part of the page; click on one.", action=listener.name)


def _check_one(part: Any, value: Any, name: str, *, strict: bool) -> None:
    if isinstance(part, TEXTS):
        if not isinstance(value, str):
            raise InputError("{name} takes a text; send a string.", name=name)
    elif isinstance(part, FILES):
        if not isinstance(value, dict | list) and not (isinstance(value, str) and not strict):
            raise InputError("{name} takes a file; upload one.", name=name)
    elif isinstance(part, gr.Checkbox):
        if not isinstance(value, bool):
            raise InputError("{name} takes true or false; send one of them.", name=name)
    elif isinstance(part, gr.Number | gr.Slider):
        _check_number(part, value, name, strict=strict)
    elif isinstance(part, gr.Dropdown | gr.Radio | gr.CheckboxGroup):
        _check_choice(part, value, name, strict=strict)


def _check_number(part: gr.Number | gr.Slider, value: Any, name: str, *, strict: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (abs(value) < HUGE if number else not strict):
        raise InputError("{name} takes a number; send one.", name=name)
    if not strict:
        return
    least, most = part.minimum, part.maximum
    bounds = {
        "name": name,
        "least": f"{least:g}" if least is not None else "",
        "most": f"{most:g}" if most is not None else "",
    }
    if least is not None and most is not None and not least <= value <= most:
        raise InputError("{name} takes a number from {least} to {most}; choose one.", **bounds)
    if least is not None and value < least:
        raise InputError("{name} takes a number from {least} up; choose one.", **bounds)
    if most is not None and value > most:
        raise InputError("{name} takes a number up to {most}; choose one.", **bounds)


def _check_choice(part: Any, value: Any, name: str, *, strict: bool) -> None:
    """A choice is one of the component's, of the same type; in Python `True` is in `[1]`."""
    many = isinstance(part, gr.CheckboxGroup) or bool(getattr(part, "multiselect", False))
    if many and not isinstance(value, list) and strict:
        raise InputError("{name} takes a list of choices; send one.", name=name)
    chosen = value if isinstance(value, list) and many else [value]
    free = bool(getattr(part, "allow_custom_value", False)) or not strict
    known = [choice for _, choice in part.choices or ()]
    for one in chosen:
        if not isinstance(one, str | int | float) or (isinstance(one, float) and not math.isfinite(one)):
            raise InputError("{name} takes one of its choices: {known}.", name=name, known=_listed(known))
        fits = any(one == choice and isinstance(one, bool) == isinstance(choice, bool) for choice in known)
        if not fits and not (free and isinstance(one, str) and one == clean(one)):
            raise InputError("{name} takes one of its choices: {known}.", name=name, known=_listed(known))
    if len(chosen) > MOST_CHOICES:
        raise InputError("{name} takes {count} choices at most; send fewer.", name=name, count=MOST_CHOICES)


def _listed(known: Sequence[Any]) -> str:
    return ", ".join(str(choice) for choice in known[:SHOWN]) + (" …" if len(known) > SHOWN else "")


def _name(listener: Listener, number: int, part: Any) -> str:
    """What the page calls the argument, and what a program does."""
    label, parameter = getattr(part, "label", None) or "", listener.parameter(number)
    if not label or label.lower() == parameter.lower():
        return parameter or label or say("Argument {number}", number=number + 1)
    return f"{say(label)} ({parameter})" if parameter else say(label)
