"""Token strips, bars and heat maps: arrays in, safe HTML out. Imports neither gradio nor torch.

Each function returns one string for a `gr.HTML` with its default template: every text in it went through `escape`,
every number through `float`, and it holds no script. Never paste it, or anything a visitor wrote, into an
`html_template`: that is evaluated in the page. Colours and sizes are in `static/viz.css`, which the host serves; they
follow the theme, light or dark, and tell sign by hue *and* by place (blue above or right of the line, orange below or
left), so that nobody needs to see hue. Each picture has a text alternative: the `label` and its largest values.

A picture of many numbers (`heat_map`, `heads_grid`, `tiles`) carries them as one small PNG that only masks a theme
colour: 64 x 64 weights are 3 kB, not 4,096 elements. `script()` is the JavaScript (`js_on_load`) that lets a mouse or
the arrow keys read a weight, and a click or Enter on a thumbnail open it.

    gr.HTML(viz.token_strip(["not", "bad"], [0.4, -0.9], label="What spoke for 'positive'", diverging=True))
"""

from __future__ import annotations

import html
import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo_app.i18n import say

Array = NDArray[np.float32]

_STATIC = Path(__file__).parent / "static"


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
    return (_STATIC / "viz.js").read_text(encoding="utf-8")


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
    values = _finite(scores, (len(tokens),))
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
        f'<figure class="viz">{_caption(label, ends, diverging=diverging)}'
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
    values = _finite(scores, (len(tokens),)).clip(min=0)
    shares = (values / (float(values.max(initial=0.0)) or 1.0)).tolist()
    buttons = "".join(
        f'<button type="button" class="viz-token" data-tile="{i}" style="--v:{share:.3f}" title="{value:.3f}" '
        f'aria-pressed="{"true" if i == selected else "false"}">{escape(token) or "␣"}</button>'
        for i, (token, share, value) in enumerate(zip(tokens, shares, values.tolist(), strict=True))
    )
    return (
        f'<figure class="viz">{_caption(label, ends)}'
        f'<div class="viz-strip viz-words" dir="auto" translate="no" role="group" '
        f'aria-label="{escape(say(label))}">{buttons}</div>'
        "</figure>"
    )


def bars(
    names: Sequence[str],
    values: ArrayLike,
    *,
    label: str,
    notes: Sequence[str] = (),
    diverging: bool = False,
    percent: bool = True,
    full: float | None = None,
) -> str:
    """One horizontal bar a name; with `diverging`, to the right or to the left of a line in the middle.

    Args:
        names: N texts.
        values: (N,) numbers, shown in percent (`diverging`: percentage points) or, without `percent`, as they are.
        label: what is measured; caption and name of the list.
        notes: N short texts behind the numbers.
        full: the value of a full bar; without it the largest magnitude.
    """
    numbers = _finite(values, (len(names),))
    full = float(full if full is not None else np.abs(numbers).max(initial=0.0)) or 1.0
    digits, unit = (1, " pp" if diverging else " %") if percent else (3, "")
    shown = f"{{:{'+' if diverging else ''}.{digits}f}}{unit}"
    rows = []
    for i, (name, value) in enumerate(zip(names, numbers.tolist(), strict=True)):
        number = shown.format(round(100 * value if percent else value, digits) + 0.0)  # + 0.0: no "-0.0"
        side = (" viz-up" if value > 0 else " viz-down") if diverging else ""
        note = f'<span class="viz-note">{escape(say(notes[i]))}</span>' if i < len(notes) and notes[i] else ""
        share = min(1.0, abs(value) / full)
        rows.append(
            f'<li><span class="viz-name" dir="auto">{escape(name)}</span>'
            f'<span class="viz-bar{side}" style="--v:{share:.3f}" aria-hidden="true"><i></i></span>'
            f'<span class="viz-number">{number}</span>{note}</li>'
        )
    kind = "viz-bars viz-diverging" if diverging else "viz-bars"
    return (
        f'<figure class="viz"><figcaption>{escape(say(label))}</figcaption>'
        f'<ul class="{kind}" aria-label="{escape(say(label))}">{"".join(rows)}</ul></figure>'
    )


def progress(done: int, total: int, *, label: str, unit: str = "rows") -> str:
    """A bar of how far something is: "128 of 500 rows".

    Args:
        done: so far.
        total: in all.
        label: what is under way; caption and name of the bar.
        unit: what is counted, in the plural.
    """
    share = done / total if total else 1.0
    name = say(f"{{done}} of {{total}} {unit}", done=f"{done:,}", total=f"{total:,}")
    return bars([name], [share], label=label, full=1.0)


def heat_map(
    weights: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    row_axis: str = "from",
    column_axis: str = "to",
) -> str:
    """A matrix of weights >= 0 with its row and column names; the largest weight gets the full colour.

    Args:
        weights: (R, C), e.g. the attention of one head: row = query, column = key.
        rows: R texts at the left.
        columns: C texts at the top.
        label: what it shows; caption and text alternative.
        row_axis: what a read-out says before the row's name: "from not to bad: 0.41".
        column_axis: what it says between the two names.
    """
    matrix = _finite(weights, (len(rows), len(columns)))
    levels, largest = _levels(matrix)
    cell = max(11, min(26, 520 // max(len(rows), len(columns), 1)))
    top = "".join(f"<span>{escape(name)}</span>" for name in columns)
    left = "".join(f"<span>{escape(name)}</span>" for name in rows)
    return (
        f'<figure class="viz">{_caption(label, ("0", f"{largest:.2f}"))}'
        f'<div class="viz-scroll"><div class="viz-map" tabindex="0" role="img" '
        f'style="--rows:{len(rows)};--columns:{len(columns)};--cell:{cell}px" '
        f'aria-label="{escape(_spoken_cells(label, matrix, rows, columns))}">'
        f'<div class="viz-top" aria-hidden="true" translate="no">{top}</div>'
        f'<div class="viz-left" aria-hidden="true" translate="no">{left}</div>'
        f'<div class="viz-cells" data-levels="{levels.tobytes().hex()}" data-largest="{largest:.6f}" '
        f'data-axes="{escape(say(row_axis))}|{escape(say(column_axis))}" '
        f'style="--mask:url({_mask(levels)})"><i></i><b></b></div>'
        f'</div></div><p class="viz-read" aria-live="polite">'
        f"{escape(say('Point at a cell, or move with the arrow keys, to read its weight.'))}</p></figure>"
    )


def heads_grid(attention: ArrayLike, *, label: str, selected: tuple[int, int] | None = None) -> str:
    """Every head of every layer as a thumbnail that is a button.

    Args:
        attention: (L, H, Q, K) weights >= 0; each thumbnail is scaled to its own largest weight.
        label: names the group.
        selected: layer and head, from 0, that is open.
    """
    weights = np.asarray(attention, dtype=np.float32)
    if weights.ndim != 4:
        raise ValueError(f"attention has shape {weights.shape}; it must be (layers, heads, queries, keys).")
    weights = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    L, H, Q, K = weights.shape
    largest = weights.max(axis=(2, 3), keepdims=True, initial=0.0)
    levels = np.rint(np.clip(weights / np.where(largest > 0, largest, 1), 0, 1) * 255).astype(np.uint8)
    sprite = levels.transpose(0, 2, 1, 3).reshape(L * Q, H * K)
    cells = []
    for layer in range(L):
        cells.append(f'<span class="viz-layer">{layer + 1}</span>')
        for head in range(H):
            x, y = 100 * head / max(H - 1, 1), 100 * layer / max(L - 1, 1)
            name = escape(say(f"Layer {layer + 1}, head {head + 1}"))
            cells.append(
                f'<button type="button" data-layer="{layer}" data-head="{head}" title="{name}" aria-label="{name}" '
                f'aria-pressed="{"true" if selected == (layer, head) else "false"}">'
                f'<i style="--x:{x:.3f}%;--y:{y:.3f}%"></i></button>'
            )
    heads = "".join(f'<span class="viz-head">{head + 1}</span>' for head in range(H))
    corner = say("layer \\ head")
    return (
        f'<figure class="viz"><figcaption>{escape(say(label))}</figcaption><div class="viz-scroll">'
        f'<div class="viz-heads" role="group" aria-label="{escape(say(label))}" '
        f'style="--layers:{L};--heads:{H};--mask:url({_mask(sprite)})">'
        f'<span class="viz-corner">{escape(corner)}</span>{heads}{"".join(cells)}</div></div></figure>'
    )


def tiles(
    maps: ArrayLike,
    *,
    label: str,
    names: Sequence[str],
    selected: int | None = None,
    shared: bool = False,
    ends: tuple[str, str] = ("negative", "positive"),
) -> str:
    """Small pictures of signed numbers, each a button: filters, channels.

    A chosen one triggers the component's `click` event; its `gr.EventData` has `tile`, from 0.

    Args:
        maps: (N, H, W) numbers; the largest magnitude of each gets the full colour.
        label: what they show; caption and name of the group.
        names: N texts, what each is called.
        selected: the one that is open.
        shared: colours mean the same in all of them: the largest magnitude of all gets the full colour.
        ends: what the legend calls the two colours.
    """
    values = np.asarray(maps, dtype=np.float32)
    if values.ndim != 3 or len(values) != len(names):
        raise ValueError(f"maps have shape {values.shape}, but their {len(names)} names ask for (N, H, W).")
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    N, H, W = values.shape
    largest = np.abs(values).max(axis=None if shared else (1, 2), keepdims=True, initial=0.0)
    scale = np.where(largest > 0, largest, 1).astype(np.float32)
    values = values / scale
    columns = max(1, math.ceil(math.sqrt(N)))
    rows = max(1, -(-N // columns))
    sheet = np.zeros((rows * columns, H, W), dtype=np.float32)
    sheet[:N] = values
    sheet = sheet.reshape(rows, columns, H, W).swapaxes(1, 2).reshape(rows * H, columns * W)
    up, down = (_mask(np.rint(255 * np.clip(side, 0, 1)).astype(np.uint8)) for side in (sheet, -sheet))
    buttons = []
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        x, y = 100 * column / max(columns - 1, 1), 100 * row / max(rows - 1, 1)
        shown = escape(name)
        buttons.append(
            f'<button type="button" data-tile="{i}" title="{shown}" aria-label="{shown}" '
            f'aria-pressed="{"true" if i == selected else "false"}" style="--x:{x:.3f}%;--y:{y:.3f}%">'
            f'<i class="viz-up"></i><i class="viz-down"></i></button>'
        )
    return (
        f'<figure class="viz">{_caption(label, ends, diverging=True)}'
        f'<div class="viz-tiles" role="group" aria-label="{escape(say(label))}" '
        f'style="--columns:{columns};--rows:{rows};--up:url({up});--down:url({down})">{"".join(buttons)}</div></figure>'
    )


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    label: str,
    axis: str,
    percent: bool = False,
    full: float = 0,
) -> str:
    """Curves over one axis: the first in blue, the second in orange and with a dot at each of its points.

    One without points is left out; the other keeps its colour.

    Args:
        series: what each is called, and its points (x, y) from left to right.
        label: what is measured; caption and text alternative, beside the last value of each.
        axis: what runs from left to right.
        percent: the values are shares.
        full: the least that the upper end stands for.
    """
    points = {name: [(float(x), float(y)) for x, y in of if math.isfinite(x + y)] for name, of in series.items()}
    everything = [point for of in points.values() for point in of]
    right = max((x for x, _ in everything), default=0.0) or 1.0
    top = max([y for _, y in everything] + [full]) or 1.0

    def number(value: float) -> str:
        return f"{100 * value:.0f} %" if percent else f"{value:.{2 if value >= 0.1 else 3}f}"

    curves, legend, told = [], [], []
    for place, (name, of) in enumerate(points.items()):
        if not of:
            continue
        kind = "viz-second" if place else "viz-first"
        path = " ".join(f"{1000 * x / right:.1f},{1000 - 1000 * y / top:.1f}" for x, y in of)
        curves.append(f'<polyline class="{kind}" points="{path}"/>')
        if place:
            curves += [
                f'<path class="{kind} viz-dot" d="M{1000 * x / right:.1f},{1000 - 1000 * y / top:.1f}h0"/>'
                for x, y in of
            ]
        last = f" {number(of[-1][1])}"
        legend.append(f'<span class="viz-key {kind}"><i></i>{escape(say(name))}<b translate="no">{last}</b></span>')
        told.append(f"{say(name)}{last}")
    spoken = f"{say(label)}. {', '.join(told)}."
    return (
        f'<figure class="viz"><figcaption>{escape(say(label))}<span class="viz-legend" aria-hidden="true">'
        f'{"".join(legend)}</span></figcaption><div class="viz-plot" role="img" aria-label="{escape(spoken)}">'
        f'<span class="viz-most" translate="no">{number(top)}</span>'
        f'<span class="viz-least" translate="no">{number(0)}</span>'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{"".join(curves)}</svg>'
        f'<span class="viz-start" translate="no">0</span><span class="viz-axis">{escape(say(axis))}</span>'
        f'<span class="viz-end" translate="no">{right:.3g}</span></div></figure>'
    )


def confusion(counts: ArrayLike, names: Sequence[str], *, label: str, row_axis: str, column_axis: str) -> str:
    """What things are (row) and what they were taken for (column), as numbers on a ground as strong as the share.

    Right answers are in blue, the others in orange; a number tells them too.

    Args:
        counts: (C, C) whole numbers.
        names: C texts.
        label: caption and text alternative.
        row_axis: what rows are.
        column_axis: what columns are.
    """
    matrix = _finite(counts, (len(names), len(names)))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    top = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    body = []
    for row, name in enumerate(names):
        cells = "".join(
            f'<td class="{"viz-up" if row == column else "viz-down"}" style="--v:{float(shares[row, column]):.3f}">'
            f"{int(matrix[row, column]) or '·'}</td>"
            for column in range(len(names))
        )
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'<figure class="viz"><figcaption>{escape(say(label))}</figcaption><div class="viz-scroll">'
        f'<table class="viz-confusion" translate="no"><thead><tr><th class="viz-corner">{escape(say(row_axis))} \\ '
        f"{escape(say(column_axis))}</th>{top}</tr></thead><tbody>{''.join(body)}</tbody></table></div></figure>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, data: bool = False) -> str:
    """A table whose first column names the rows; the others are numbers or short texts, set to the right.

    Args:
        head: what each column is.
        rows: a text for each column.
        label: what the table shows; its caption.
        data: the first column is a visitor's or a model's own words, which stay as they are.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row has {len(row)} cells, but the head has {len(head)}.")
    top = "".join(f'<th scope="col">{escape(say(cell))}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0] if data else say(row[0]))}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return (
        f'<figure class="viz"><figcaption>{escape(say(label))}</figcaption><div class="viz-scroll">'
        f'<table class="viz-table"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div></figure>'
    )


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


def _finite(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """The values as an array of that shape, with nan and infinities as 0: a picture shall not break over them."""
    array = np.asarray(values, dtype=np.float32)
    if array.shape != shape:
        raise ValueError(f"values have shape {array.shape}, but their names ask for {shape}.")
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)


def _levels(matrix: Array) -> tuple[NDArray[np.uint8], float]:
    """The matrix on a scale of 0 to 255, and the value of 255."""
    largest = float(matrix.max(initial=0.0))
    return np.rint(np.clip(matrix / (largest or 1.0), 0, 1) * 255).astype(np.uint8), largest


def _mask(levels: NDArray[np.uint8]) -> str:
    """A data URI of a PNG (grey + alpha) whose opacity is the levels."""
    height, width = levels.shape
    lines = np.zeros((height, 1 + 2 * width), dtype=np.uint8)  # each line: filter 0, then (grey, alpha) pairs
    lines[:, 2::2] = levels
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">2I5B", width, height, 8, 4, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines.tobytes(), 1)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + b64encode(data).decode("ascii")


def _caption(label: str, ends: tuple[str, str], *, diverging: bool = False) -> str:
    ramp = "viz-ramp viz-two" if diverging else "viz-ramp"
    return (
        f'<figcaption>{escape(say(label))}<span class="viz-legend" aria-hidden="true">{escape(say(ends[0]))}'
        f'<i class="{ramp}"></i>{escape(say(ends[1]))}</span></figcaption>'
    )


def _spoken(label: str, tokens: Sequence[str], values: Array) -> str:
    """The text alternative: the label and the three largest."""
    strongest = np.argsort(-np.abs(values), kind="stable")[:3].tolist()
    told = ", ".join(f"{tokens[i]} {float(values[i]):.2f}" for i in strongest)
    return f"{say(label)}. {say('Strongest:')} {told}."


def _spoken_cells(label: str, matrix: Array, rows: Sequence[str], columns: Sequence[str]) -> str:
    strongest: list[Any] = np.argsort(-matrix, axis=None, kind="stable")[:3].tolist()
    cells = (divmod(i, max(len(columns), 1)) for i in strongest)
    told = ", ".join(f"{rows[r]} to {columns[c]} {float(matrix[r, c]):.2f}" for r, c in cells)
    return f"{say(label)}. {say('Largest:')} {told}."
