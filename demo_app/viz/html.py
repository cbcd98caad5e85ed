"""What all drawings are made of: escaped text, captions, notes; and the style sheet and script of the page."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo_app.i18n import say

Array = NDArray[np.float32]

_HERE = Path(__file__).parent


def escape(text: str) -> str:
    """Text that may stand in an element or in a quoted attribute. What cannot be printed is named: `U+200B`.

    >>> escape('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c.isspace() else f"U+{ord(c):04X}" for c in text)
    return html.escape(text, quote=True)


def script() -> str:
    """The `js_on_load` of a `gr.HTML` that shows a `heat_map`, a `heads_grid`, `tiles` or `token_buttons`.

    A chosen thumbnail triggers the `click` event; its `gr.EventData` has `layer` and `head`, or `tile`, from 0.
    """
    return (_HERE / "viz.js").read_text(encoding="utf-8")


def stylesheet() -> str:
    """The style sheet of all drawings; the host puts it on the page."""
    return (_HERE / "viz.css").read_text(encoding="utf-8")


def note(text: str, *, kind: Literal["small", "hint", "lesson", "card", "alert"] = "small") -> str:
    """A line of text.

    Args:
        text: any text.
        kind: "small" print; "hint" where a picture will come; "lesson", what to notice; "card", facts on a model;
            "alert", what is wrong.
    """
    role = ' role="alert"' if kind == "alert" else ""
    return f'<p class="viz viz-{escape(kind)}" dir="auto"{role}>{escape(say(text))}</p>'


def side_by_side(*pictures: str) -> str:
    """Pictures made by this module next to each other, or below each other where there is no room."""
    return f'<div class="viz-side">{"".join(pictures)}</div>'


def finite(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """The values as an array of that shape, with nan and infinities as 0: a picture shall not break over them."""
    array = np.asarray(values, dtype=np.float32)
    if array.shape != shape:
        raise ValueError(f"values have shape {array.shape}, but their names ask for {shape}.")
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)


def caption(label: str, ends: tuple[str, str], *, diverging: bool = False) -> str:
    ramp = "viz-ramp viz-two" if diverging else "viz-ramp"
    return (
        f'<figcaption>{escape(say(label))}<span class="viz-legend" aria-hidden="true">{escape(say(ends[0]))}'
        f'<i class="{ramp}"></i>{escape(say(ends[1]))}</span></figcaption>'
    )
