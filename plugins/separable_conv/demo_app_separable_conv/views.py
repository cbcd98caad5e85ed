"""How it looks: arrays and numbers in, pictures and HTML out. No torch and no gradio."""

# C channels in, O channels out, H x W places, P pixels of a side

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from demo_app import viz
from demo_app.api import display_name
from demo_app.viz.overlay import framed, heat
from demo_app_separable_conv.explain import Array, Inside, Seen, Sum
from demo_app_separable_conv.twins import metrics

if TYPE_CHECKING:
    from demo_app_separable_conv.batch import Answer, Confusion
    from demo_app_separable_conv.costs import Cost, Measured
    from demo_app_separable_conv.twins import Twin

TILES = 64  # channels that are drawn
TERMS = 6  # of a sum that are spelled out


def attention_picture(picture: NDArray[np.uint8], weights: Array, row: int, column: int) -> NDArray[np.uint8]:
    """The picture with the attention (H, W) of one place, which is framed."""
    return framed(heat(picture, weights / weights.max()), row, column, (weights.shape[0], weights.shape[1]))


def attention_view(weights: Array, row: int, column: int) -> str:
    """What the picture of one place's attention shows, in words. weights (H, W, H, W)."""
    mine = weights[row, column]
    top, left = divmod(int(mine.argmax()), mine.shape[1])
    even = 1 / mine.size
    return (
        viz.note(
            f"Row {row}, column {column} (framed) looks most at row {top}, column {left}: {mine.max():.1%} of its "
            f"attention, {mine.max() / even:.1f} times an even share. To itself it gives {mine[row, column]:.1%}.",
            kind="lesson",
        )
        + viz.heat_map(
            mine,
            [str(i) for i in range(mine.shape[0])],
            [str(i) for i in range(mine.shape[1])],
            label="Attention of the framed place; all add up to 1",
            row_axis="row",
            column_axis="column",
        )
        + gamma_view()
    )


def gamma_view() -> str:
    """What training made of the attention: its weight, and the accuracy that it brought."""
    plain, attended = metrics("cifar10"), metrics("cifar10_attention")
    gained = 100 * (attended["accuracy"] - plain["accuracy"])
    error = 100 * (plain["accuracy"] * (1 - plain["accuracy"]) / plain["examples"]) ** 0.5
    said = "more than chance would give" if abs(gained) > 2 * error else "within what chance gives"
    return viz.note(
        f"γ began at 0 and ended at {attended['gamma']:+.3f}: what attention fetches is multiplied by it and added. It "
        f"moved the accuracy on {int(plain['examples']):,} held-out pictures by {gained:+.1f} points, from "
        f"{plain['accuracy']:.1%} to {attended['accuracy']:.1%}: {said} (one standard error is {error:.1f})."
    )


def label_data(seen: Seen) -> dict[str, Any]:
    """What `gr.Label` sends to the page."""
    best = seen.best()
    return {"label": best[0][0], "confidences": [{"label": label, "confidence": share} for label, share in best]}


def card(seen: Seen) -> str:
    """One line on the model and what it did."""
    side = seen.pixels.shape[0]
    parts = [
        display_name(seen.checkpoint),
        f"{seen.parameters / 1e6:.2f} M parameters",
        f"forward pass {seen.milliseconds:.1f} ms",
        f"it sees {side} × {side} pixels",
    ]
    if seen.probabilities.max() < 0.5:
        parts.append("not sure of anything")
    return viz.note(" · ".join(parts), kind="card")


def filters_view(inside: Inside | None) -> str:
    """The depthwise filters, and what each makes of its channel."""
    if inside is None:
        return viz.note(
            "This block has a standard convolution: a filter for every pair of channels. Choose a separable checkpoint "
            "to see depthwise filters.",
            kind="hint",
        )
    count = len(inside.filters)
    shown = slice(0, TILES)
    names = [f"channel {c}" for c in range(count)][shown]
    size = f"{inside.filters.shape[1]} × {inside.filters.shape[2]}"
    places = f"{inside.filtered.shape[1]} × {inside.filtered.shape[2]}"
    filters = viz.tiles(inside.filters[shown], names=names, label=f"Depthwise filters, {size}: one a channel")
    maps = viz.tiles(inside.filtered[shown], names=names, label=f"What they make of this picture, {places} places")
    rest = viz.note(f"The first {TILES} of {count} channels are drawn.") if count > TILES else ""
    return viz.side_by_side(filters, maps) + rest


def mixed_view(inside: Inside | None, chosen: int) -> str:
    """What the pointwise convolution mixes of them; each is a button."""
    if inside is None:
        return ""
    names = [f"channel {c}" for c in range(len(inside.mixed))][:TILES]
    return viz.tiles(
        inside.mixed[:TILES],
        names=names,
        selected=chosen,
        label="What the pointwise convolution mixes of them: choose one to see its sum",
    )


def sum_view(inside: Inside | None, written: Sum | None) -> str:
    """One mixed channel as pictures that add up, and as numbers at one place."""
    if inside is None or written is None:
        return ""
    first = list(written.order[:TERMS])
    weighted = written.weights[:TERMS, None, None] * inside.filtered[first]  # (TERMS, H, W)
    total = inside.mixed[written.channel]
    rest = total - weighted.sum(axis=0)
    maps = np.stack([*weighted, rest, total])
    terms = [f"{w:+.2f} × channel {c}" for c, w in zip(first, written.weights, strict=False)]
    others = len(written.order) - len(first)
    pictures = viz.tiles(
        maps,
        names=[*terms, f"the other {others} and the shift", f"their sum: channel {written.channel}"],
        label=f"Channel {written.channel} is the sum of these: the {len(first)} strongest, the rest, the sum",
        shared=True,
    )
    products = written.products
    rows = [
        [f"channel {c}", f"{w:+.3f}", f"{v:+.3f}", f"{p:+.3f}"]
        for c, w, v, p in zip(first, written.weights, written.values, products, strict=False)
    ]
    if others:
        rows.append([f"the other {others}", "", "", f"{products[len(first) :].sum():+.3f}"])
    rows += [["shift", "", "", f"{written.shift:+.3f}"], ["sum", "", "", f"{written.total:+.3f}"]]
    where = f"row {written.row}, column {written.column}"
    numbers = viz.table(["reads", "weight", "× value there", "= adds"], rows, label=f"The same at {where}, in numbers")
    return (
        viz.note(formula(written), kind="lesson")
        + viz.side_by_side(pictures, numbers)
        + viz.note(
            f"The network computed {written.network:+.5f} there, the sum above is {written.total:+.5f}. BatchNorm is "
            "folded into weights and shift."
        )
    )


def formula(written: Sum) -> str:
    """The sum as one writes it: the strongest terms, the rest, the shift, the result."""
    pairs = zip(written.weights[:TERMS].tolist(), written.values[:TERMS].tolist(), strict=True)
    terms = [f"{signed(weight)} · {signed(value).removeprefix('+ ')}" for weight, value in pairs]
    terms = [term if "· −" not in term else term.replace("· − ", "· (−") + ")" for term in terms]
    if len(written.order) > TERMS:
        terms.append(f"{signed(float(written.products[TERMS:].sum()))} ({len(written.order) - TERMS} more)")
    terms.append(f"{signed(written.shift)} (shift)")
    left = f"channel {written.channel} at ({written.row}, {written.column})"
    return f"{left} = {' '.join(terms).removeprefix('+ ')} = {signed(written.total).removeprefix('+ ')}"


def signed(number: float) -> str:
    """
    >>> signed(0.5), signed(-0.25)
    ('+ 0.50', '− 0.25')
    """
    return f"{'−' if number < 0 else '+'} {abs(number):.2f}"


def cost_view(dense: Cost, separable: Cost, kernel: int, out: int) -> str:
    """Counted: standard beside separable."""
    ratio = separable.multiply_adds / dense.multiply_adds
    rows = [
        ["multiply-adds", count(dense.multiply_adds), count(separable.multiply_adds), f"{ratio:.3f}"],
        ["parameters", count(dense.parameters), count(separable.parameters), f"{ratio:.3f}"],
    ]
    return viz.table(["", "standard", "separable", "ratio"], rows, label="Counted") + viz.note(
        f"1 / C_out + 1 / K² = 1 / {out} + 1 / {kernel * kernel} = {1 / out + 1 / kernel**2:.3f}", kind="lesson"
    )


def measured_view(measured: Measured, sentence: str) -> str:
    """Measured just now, beside what was counted."""
    bars = viz.bars(
        ["standard", "separable"],
        [measured.dense_ms, measured.separable_ms],
        label="Milliseconds on this machine, just now",
        percent=False,
    )
    ratios = viz.bars(
        ["counted", "measured"],
        [measured.counted, measured.ratio],
        label="Separable as a share of standard",
        percent=False,
    )
    return viz.side_by_side(bars, ratios) + viz.note(sentence, kind="lesson")


def count(number: int) -> str:
    """A number as one says it.

    >>> count(950), count(36_864), count(115_605_504)
    ('950', '36.9 k', '115.6 M')
    """
    for unit, size in ((" G", 10**9), (" M", 10**6), (" k", 10**3)):
        if number >= size:
            return f"{number / size:,.1f}{unit}"
    return f"{number:,}"


def progress_view(done: int, total: int) -> str:
    return viz.bars([f"{done:,} of {total:,} pictures"], [done / total], label="Reading your pictures", full=1.0)


def answers_view(answers: Sequence[Answer], counts: Sequence[tuple[str, int]], confusion: Confusion | None) -> str:
    """How many pictures got which label, which could not be read, and how folders and answers agree."""
    read = [answer for answer in answers if not answer.problem]
    parts = []
    if read:
        labels, numbers = zip(*counts[:10], strict=True)
        shares = [number / len(read) for number in numbers]
        notes = [f"{number:,}" for number in numbers]
        parts.append(viz.bars(labels, shares, label=f"Answers to {len(read):,} pictures", notes=notes, full=1.0))
    if confusion is not None:
        shares = confusion.counts / np.maximum(confusion.counts.sum(axis=1, keepdims=True), 1)
        grid = viz.heat_map(
            shares,
            confusion.labels,
            confusion.labels,
            label="Folder (row) and answer (column), as a share of the folder",
            row_axis="",
            column_axis="called",
        )
        parts.append(grid)
    said = ""
    if confusion is not None:
        said += viz.note(
            f"{confusion.accuracy:.1%} of {confusion.compared:,} pictures lie in a folder called as the answer.",
            kind="lesson",
        )
    for answer in [answer for answer in answers if answer.problem][:5]:
        said += viz.note(f"{answer.name}: {answer.problem}")
    missed = len(answers) - len(read)
    if missed > 5:
        said += viz.note(f"{missed - 5:,} more could not be read; the CSV says why.")
    return said + viz.side_by_side(*parts)


def twins_view(twins: Sequence[Twin]) -> str:
    """The networks beside each other: what they say, and what each costs."""
    rows = [
        ["says", *(twin.seen.answer for twin in twins)],
        ["probability", *(f"{float(twin.seen.probabilities.max()):.1%}" for twin in twins)],
        ["accuracy, held out", *(f"{twin.accuracy:.1%}" for twin in twins)],
        ["parameters", *(count(twin.seen.parameters) for twin in twins)],
        ["multiply-adds", *(count(twin.multiply_adds) for twin in twins)],
        ["file", *(f"{twin.bytes / 1e6:.2f} MB" for twin in twins)],
        ["one picture, now", *(f"{twin.milliseconds:.2f} ms" for twin in twins)],
    ]
    head = ["", *(display_name(twin.seen.checkpoint) for twin in twins)]
    separable, dense = twins[0], twins[1]
    adds, time = separable.multiply_adds / dense.multiply_adds, separable.milliseconds / dense.milliseconds
    return viz.table(head, rows, label="The same picture, the same training, the same widths") + viz.note(
        f"The separable network needs {adds:.0%} of its twin's multiply-adds, and just now {time:.0%} of its time. "
        f"Accuracy is that on {separable.examples:,} pictures which none of them was trained on.",
        kind="lesson",
    )
