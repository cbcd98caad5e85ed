"""Tokens of a text, coloured by a number each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from demo_app.i18n import say
from demo_app.viz.html import Array, caption, escape, finite


def token_strip(
    tokens: Sequence[str],
    scores: ArrayLike,
    *,
    label: str,
    joined: Sequence[bool] = (),
    special: Sequence[bool] = (),
    diverging: bool = False,
    ends: tuple[str, str] = ("little", "much"),
) -> str:
    """The tokens in reading order, each on a ground as strong as its score.

    Args:
        tokens: T texts.
        scores: (T,) numbers; the largest magnitude gets the full colour.
        label: what the colour means; caption and text alternative.
        joined: (T,) whether the token continues the one before it, without a gap.
        special: (T,) whether the token is no part of the text, as [CLS]; shown pale.
        diverging: scores have a sign: two colours, and a mark above or below the token.
        ends: what the legend calls the lowest and the highest score.
    """
    values = finite(scores, (len(tokens),))
    strength = np.abs(values) / (float(np.abs(values).max(initial=0.0)) or 1.0)
    spans = []
    for i, (token, value, share) in enumerate(zip(tokens, values.tolist(), strength.tolist(), strict=True)):
        kind = "viz-token"
        if diverging:
            kind += " viz-up" if value > 0 else " viz-down"
        if i < len(special) and special[i]:
            kind += " viz-special"
        gap = "" if i == 0 or (i < len(joined) and joined[i]) else " "
        shown = escape(token)
        spans.append(
            f'{gap}<span class="{kind}" style="--v:{share:.3f}" title="{shown}  {value:.3f}">{shown or "␣"}</span>'
        )
    return (
        f'<figure class="viz">{caption(label, ends, diverging=diverging)}'
        f'<div class="viz-strip" dir="auto" translate="no" role="img" '
        f'aria-label="{escape(_spoken(label, tokens, values))}">'
        f"{''.join(spans)}</div></figure>"
    )


def token_buttons(
    tokens: Sequence[str],
    scores: ArrayLike,
    *,
    label: str,
    selected: int | None = None,
    ends: tuple[str, str] = ("little", "much"),
) -> str:
    """The tokens in reading order, each a button on a ground as strong as its score.

    A chosen one triggers the component's `click` event; its `gr.EventData` has `tile`, from 0.

    Args:
        tokens: T texts.
        scores: (T,) numbers >= 0; the largest gets the full colour.
        label: what the colour means; caption and name of the group.
        selected: the one that is open.
        ends: what the legend calls the lowest and the highest score.
    """
    values = finite(scores, (len(tokens),)).clip(min=0)
    shares = (values / (float(values.max(initial=0.0)) or 1.0)).tolist()
    buttons = "".join(
        f'<button type="button" class="viz-token" data-tile="{i}" style="--v:{share:.3f}" title="{value:.3f}" '
        f'aria-pressed="{"true" if i == selected else "false"}">{escape(token) or "␣"}</button>'
        for i, (token, share, value) in enumerate(zip(tokens, shares, values.tolist(), strict=True))
    )
    return (
        f'<figure class="viz">{caption(label, ends)}'
        f'<div class="viz-strip viz-words" dir="auto" translate="no" role="group" '
        f'aria-label="{escape(say(label))}">{buttons}</div>'
        "</figure>"
    )


def _spoken(label: str, tokens: Sequence[str], values: Array) -> str:
    """The text alternative: the label and the three largest."""
    strongest = np.argsort(-np.abs(values), kind="stable")[:3].tolist()
    told = ", ".join(f"{tokens[i]} {float(values[i]):.2f}" for i in strongest)
    return f"{say(label)}. {say('Strongest:')} {told}."
