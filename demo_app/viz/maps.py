"""Matrices as heat maps, grids of attention heads, and tiles."""

from __future__ import annotations

import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo_app.i18n import say
from demo_app.viz.html import Array, caption, escape, finite


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
    matrix = finite(weights, (len(rows), len(columns)))
    levels, largest = _levels(matrix)
    cell = max(11, min(26, 520 // max(len(rows), len(columns), 1)))
    top = "".join(f"<span>{escape(name)}</span>" for name in columns)
    left = "".join(f"<span>{escape(name)}</span>" for name in rows)
    return (
        f'<figure class="viz">{caption(label, ("0", f"{largest:.2f}"))}'
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
            name = escape(say("Layer {layer}, head {head}", layer=layer + 1, head=head + 1))
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
        f'<figure class="viz">{caption(label, ends, diverging=True)}'
        f'<div class="viz-tiles" role="group" aria-label="{escape(say(label))}" '
        f'style="--columns:{columns};--rows:{rows};--up:url({up});--down:url({down})">{"".join(buttons)}</div></figure>'
    )


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


def _spoken_cells(label: str, matrix: Array, rows: Sequence[str], columns: Sequence[str]) -> str:
    strongest: list[Any] = np.argsort(-matrix, axis=None, kind="stable")[:3].tolist()
    cells = (divmod(i, max(len(columns), 1)) for i in strongest)
    told = ", ".join(f"{rows[r]} to {columns[c]} {float(matrix[r, c]):.2f}" for r, c in cells)
    return f"{say(label)}. {say('Largest:')} {told}."
