"""How results look: arrays and numbers in, pictures and HTML out. Imports neither torch nor gradio."""

# C channels in, O channels out, H x W places, P pixels of a side

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from demo_app import viz
from demo_app.api import display_name
from demo_app.i18n import say
from demo_app.viz.overlay import framed, heat
from demo_app_separable_conv.explain import Inside, Sum
from demo_app_separable_conv.seen import Array, Seen
from demo_app_separable_conv.twins import metrics

if TYPE_CHECKING:
    from demo_app_separable_conv.batch import Answer, Confusion
    from demo_app_separable_conv.costs import Cost, Measured
    from demo_app_separable_conv.twins import Twin

TILES = 64  # channels that are drawn
TERMS = 6  # of a sum that are written out


# The answer


def label_data(seen: Seen) -> dict[str, Any]:
    """The value of the `gr.Label`, as the page receives it."""
    best = seen.best()
    return {"label": best[0][0], "confidences": [{"label": label, "confidence": share} for label, share in best]}


def card(seen: Seen) -> str:
    """One line on the model and what it did."""
    side = seen.pixels.shape[0]
    parts = [
        display_name(seen.checkpoint),
        say("{count} M parameters", count=f"{seen.parameters / 1e6:.2f}"),
        say("forward pass {count} ms", count=f"{seen.milliseconds:.1f}"),
        say("it sees {side} × {side} pixels", side=side),
    ]
    if seen.probabilities.max() < 0.5:
        parts.append(say("not sure of anything"))
    return viz.note(" · ".join(parts), kind="card")


def numbered(widths: Sequence[int]) -> list[tuple[str, str]]:
    """The choices of a picker of blocks: what it shows, and what it sends to a handler, the number from 1."""
    return [
        (say("{number}: {channels} channels", number=number, channels=channels), str(number))
        for number, channels in enumerate(widths, start=1)
    ]


# Attention


def attention_picture(picture: NDArray[np.uint8], weights: Array, row: int, column: int) -> NDArray[np.uint8]:
    """The picture with the attention (H, W) of one place, which is framed."""
    return framed(heat(picture, weights / weights.max()), row, column, (weights.shape[0], weights.shape[1]))


def attention_view(weights: Array, row: int, column: int) -> str:
    """The attention of one place, in words and as a map. weights (H, W, H, W)."""
    mine = weights[row, column]
    top, left = divmod(int(mine.argmax()), mine.shape[1])
    even = 1 / mine.size
    most = say(
        "Row {row}, column {column} (framed) looks most at row {top}, column {left}: {share} of its attention, {times} "
        "times an even share. To itself it gives {own}.",
        row=row,
        column=column,
        top=top,
        left=left,
        share=f"{mine.max():.1%}",
        times=f"{mine.max() / even:.1f}",
        own=f"{mine[row, column]:.1%}",
    )
    return (
        viz.note(most, kind="lesson")
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
    """The weight that training gave to the attention, and its effect on the accuracy."""
    plain, attended = metrics("cifar10"), metrics("cifar10_attention")
    gained = 100 * (attended["accuracy"] - plain["accuracy"])
    error = 100 * (plain["accuracy"] * (1 - plain["accuracy"]) / plain["examples"]) ** 0.5
    verdict = "more than chance would give" if abs(gained) > 2 * error else "within what chance gives"
    return viz.note(
        say(
            "γ began at 0 and ended at {gamma}: what attention fetches is multiplied by it and added. It moved the "
            "accuracy on {count} held-out pictures by {gained} points, from {plain} to {attended}: {verdict} (one "
            "standard error is {error}).",
            gamma=f"{attended['gamma']:+.3f}",
            count=f"{int(plain['examples']):,}",
            gained=f"{gained:+.1f}",
            plain=f"{plain['accuracy']:.1%}",
            attended=f"{attended['accuracy']:.1%}",
            verdict=verdict,
            error=f"{error:.1f}",
        )
    )


# Filters and sums


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
    names = channel_names(count)
    size = f"{inside.filters.shape[1]} × {inside.filters.shape[2]}"
    places = f"{inside.filtered.shape[1]} × {inside.filtered.shape[2]}"
    filters = viz.tiles(
        inside.filters[shown], names=names, label=say("Depthwise filters, {size}: one a channel", size=size)
    )
    maps = viz.tiles(
        inside.filtered[shown],
        names=names,
        label=say("What they make of this picture, {places} places", places=places),
    )
    rest = ""
    if count > TILES:
        rest = viz.note(say("The first {shown} of {count} channels are drawn.", shown=TILES, count=count))
    return viz.side_by_side(filters, maps) + rest


def channel_names(count: int) -> list[str]:
    """Names of the channels that are drawn."""
    return [say("channel {number}", number=number) for number in range(min(count, TILES))]


def mixed_view(inside: Inside | None, chosen: int) -> str:
    """The channels that the pointwise convolution mixes of them; each is a button."""
    if inside is None:
        return ""
    return viz.tiles(
        inside.mixed[:TILES],
        names=channel_names(len(inside.mixed)),
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
    channels = [say("channel {number}", number=number) for number in first]
    terms = [f"{weight:+.2f} × {channel}" for channel, weight in zip(channels, written.weights, strict=False)]
    others = len(written.order) - len(first)
    rest_and_sum = [
        say("the other {count} and the shift", count=others),
        say("their sum: channel {number}", number=written.channel),
    ]
    pictures = viz.tiles(
        maps,
        names=[*terms, *rest_and_sum],
        label=say(
            "Channel {number} is the sum of these: the {count} strongest, the rest, the sum",
            number=written.channel,
            count=len(first),
        ),
        shared=True,
    )
    products = written.products
    rows = [
        [channel, f"{w:+.3f}", f"{v:+.3f}", f"{p:+.3f}"]
        for channel, w, v, p in zip(channels, written.weights, written.values, products, strict=False)
    ]
    if others:
        rows.append([say("the other {count}", count=others), "", "", f"{products[len(first) :].sum():+.3f}"])
    rows += [["shift", "", "", f"{written.shift:+.3f}"], ["sum", "", "", f"{written.total:+.3f}"]]
    numbers = viz.table(
        ["reads", "weight", "× value there", "= adds"],
        rows,
        label=say("The same at row {row}, column {column}, in numbers", row=written.row, column=written.column),
    )
    check = say(
        "The network computed {computed} there, the sum above is {total}. BatchNorm is folded into weights and shift.",
        computed=f"{written.network:+.5f}",
        total=f"{written.total:+.5f}",
    )
    return viz.note(formula(written), kind="lesson") + viz.side_by_side(pictures, numbers) + viz.note(check)


def formula(written: Sum) -> str:
    """The sum in one line: the strongest terms, the rest, the shift, the result."""
    pairs = zip(written.weights[:TERMS].tolist(), written.values[:TERMS].tolist(), strict=True)
    terms = [f"{signed(weight)} · {signed(value).removeprefix('+ ')}" for weight, value in pairs]
    terms = [term if "· −" not in term else term.replace("· − ", "· (−") + ")" for term in terms]
    parts = {
        "number": written.channel,
        "row": written.row,
        "column": written.column,
        "terms": " ".join(terms).removeprefix("+ "),
        "shift": signed(written.shift),
        "total": signed(written.total).removeprefix("+ "),
    }
    others = len(written.order) - len(terms)
    if not others:
        return say("channel {number} at ({row}, {column}) = {terms} {shift} (shift) = {total}", **parts)
    return say(
        "channel {number} at ({row}, {column}) = {terms} {rest} ({count} more) {shift} (shift) = {total}",
        **parts,
        rest=signed(float(written.products[TERMS:].sum())),
        count=others,
    )


def signed(number: float) -> str:
    """
    >>> signed(0.5), signed(-0.25)
    ('+ 0.50', '− 0.25')
    """
    return f"{'−' if number < 0 else '+'} {abs(number):.2f}"


# Costs


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


def measured_hint() -> str:
    return viz.note("Counted is arithmetic. How long does it take? Press Measure.", kind="hint")


def measured_view(measured: Measured, sentence: str) -> str:
    """The measurement beside the count, and a sentence on why they differ."""
    bars = viz.bars(
        [say("standard"), say("separable")],
        [measured.dense_ms, measured.separable_ms],
        label="Milliseconds on this machine, just now",
        percent=False,
    )
    ratios = viz.bars(
        [say("counted"), say("measured")],
        [measured.counted, measured.ratio],
        label="Separable as a share of standard",
        percent=False,
    )
    return viz.side_by_side(bars, ratios) + viz.note(sentence, kind="lesson")


def count(number: int) -> str:
    """A number for people.

    >>> count(950), count(36_864), count(115_605_504)
    ('950', '36.9 k', '115.6 M')
    """
    for unit, size in ((" G", 10**9), (" M", 10**6), (" k", 10**3)):
        if number >= size:
            return f"{number / size:,.1f}{unit}"
    return f"{number:,}"


# Many pictures


def files_hint() -> str:
    return viz.note("No pictures yet.", kind="hint")


def progress_view(done: int, total: int) -> str:
    return viz.progress(done, total, label="Reading your pictures", unit="pictures")


def answers_view(answers: Sequence[Answer], counts: Sequence[tuple[str, int]], confusion: Confusion | None) -> str:
    """How many pictures got each label, which could not be read, and how folders and answers agree."""
    read = [answer for answer in answers if answer.problem is None]
    parts = []
    if read:
        labels, numbers = zip(*counts[:10], strict=True)
        shares = [number / len(read) for number in numbers]
        counted = [f"{number:,}" for number in numbers]
        label = say("Answers to {count} pictures", count=f"{len(read):,}")
        parts.append(viz.bars(labels, shares, label=label, notes=counted, full=1.0))
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
    notes = ""
    if confusion is not None:
        agreement = say(
            "{share} of {count} pictures lie in a folder called as the answer.",
            share=f"{confusion.accuracy:.1%}",
            count=f"{confusion.compared:,}",
        )
        notes += viz.note(agreement, kind="lesson")
    for answer in [answer for answer in answers if answer.problem is not None][:5]:
        notes += viz.note(f"{answer.name}: {answer.problem_text()}")
    missed = len(answers) - len(read)
    if missed > 5:
        notes += viz.note(say("{count} more could not be read; the CSV says why.", count=f"{missed - 5:,}"))
    return notes + viz.side_by_side(*parts)


# Twins


def twins_hint() -> str:
    return viz.note("Is a ninth of the arithmetic a ninth as good?", kind="hint")


def twins_view(twins: Sequence[Twin]) -> str:
    """The networks side by side: their answers, and what each costs."""
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
    shares = say(
        "The separable network needs {adds} of its twin's multiply-adds, and just now {time} of its time. Accuracy is "
        "that on {count} pictures which none of them was trained on.",
        adds=f"{adds:.0%}",
        time=f"{time:.0%}",
        count=f"{separable.examples:,}",
    )
    table = viz.table(head, rows, label="The same picture, the same training, the same widths")
    return table + viz.note(shares, kind="lesson")
