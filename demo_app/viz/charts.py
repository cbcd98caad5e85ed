"""Bars, lines, confusion matrices and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from demo_app.i18n import say
from demo_app.viz.html import escape, finite


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
    numbers = finite(values, (len(names),))
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
    """A progress bar: "128 of 500 rows".

    Args:
        done: how many are done.
        total: how many there are.
        label: what is under way; caption and name of the bar.
        unit: what is counted, in the plural. Translations have the template, such as "{done} of {total} rows".
    """
    share = done / total if total else 1.0
    name = say(f"{{done}} of {{total}} {unit}", done=f"{done:,}", total=f"{total:,}")
    return bars([name], [share], label=label, full=1.0)


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
    matrix = finite(counts, (len(names), len(names)))
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

    Cells are translated where the visitor's language knows them as texts.

    Args:
        head: the names of the columns.
        rows: a text for each column.
        label: what the table shows; its caption.
        data: the cells are a visitor's or a model's own words, which are never translated.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row has {len(row)} cells, but the head has {len(head)}.")
    top = "".join(f'<th scope="col">{escape(say(cell))}</th>' for cell in head)
    shown = rows if data else [[say(cell) for cell in row] for row in rows]
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in shown
    )
    return (
        f'<figure class="viz"><figcaption>{escape(say(label))}</figcaption><div class="viz-scroll">'
        f'<table class="viz-table"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div></figure>'
    )
