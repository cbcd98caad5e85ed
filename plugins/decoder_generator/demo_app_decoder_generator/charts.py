"""The surprise of a text, the cost of a token, and the masks of two families. HTML out, no torch, no gradio.

The rules of `views` hold here too, and so does its style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from demo_app import viz
from demo_app.i18n import say
from demo_app.viz import escape
from demo_app_decoder_generator.explain import MARKS, Piece, Surprise, Timing
from demo_app_decoder_generator.views import percent, share_of

STRONGEST = 6  # pieces that are named as the most surprising
BEFORE = 24  # characters that are quoted before such a piece


def surprise_view(surprise: Surprise) -> str:
    """The text as it stands, each piece on a ground as strong as its -log p; a blind guess has the full colour."""
    if not surprise.pieces:
        return viz.note("There is nothing that the network can read.", kind="hint")
    full = math.log(max(2, surprise.vocabulary))
    spans = [_piece(piece, full) for piece in surprise.pieces]
    strongest = _strongest(surprise)
    label = say("How much each piece surprised")
    named = "; ".join(f"{surprise.pieces[i].text} {say('after')} {_before(surprise, i)}" for i in strongest[:3])
    spoken = f"{label}. {say('Most:')} {named}"
    strip = (
        f'<figure class="viz"><figcaption>{escape(label)}<span class="viz-legend" aria-hidden="true">'
        f'{escape(say("foreseen"))}<i class="gen-ramp"></i>{escape(say("as if guessed blindly"))}</span></figcaption>'
        f'<div class="gen-text" dir="auto" translate="no" role="group" '
        f'aria-label="{escape(spoken)}">{"".join(spans)}</div></figure>'
    )
    return strip + viz.note(_measures(surprise), kind="card") + _most_surprising(surprise, strongest)


def timing_view(timing: Timing) -> str:
    """Milliseconds a token over the length of the text, with the cache and without."""
    if not timing.lengths:
        return viz.note("Nothing measured yet.", kind="hint")
    first, last = timing.lengths[0], timing.lengths[-1]
    most = [float(np.percentile(series, 95)) for series in (timing.cached, timing.uncached)]  # one hiccup sets no scale
    top = _round_up(max(*most, 1e-3) * 1.1)
    lines = "".join(
        f'<path class="{kind}" d="{_path(timing.lengths, series, top)}"/>'
        for kind, series in (("gen-uncached", timing.uncached), ("gen-cached", timing.cached))
    )
    grid = "".join(f'<path class="gen-grid" d="M0 {y}H100"/>' for y in (0, 25, 50, 75, 100))
    cached, uncached = (float(np.median(series[-5:])) for series in (timing.cached, timing.uncached))
    values = {"count": last, "cached": f"{cached:.1f}", "uncached": f"{uncached:.1f}"}
    if uncached > cached:
        result = say(
            "At {count} tokens: {cached} ms with the cache, {uncached} ms without, {times} times as long.",
            times=f"{uncached / max(cached, 1e-6):.1f}",
            **values,
        )
    else:
        result = say("At {count} tokens: {cached} ms with the cache, {uncached} ms without.", **values)
    label = escape(say("What one more token costs"))
    marks = [top, 0.75 * top, 0.5 * top, 0.25 * top, 0.0]
    along = [first, (first + last) // 2] if last - first > 3 else [first] if first != last else []
    return (
        f'<figure class="viz"><figcaption>{label}<span class="gen-keys">'
        f"{_key('gen-cached', say('with the cache: one token is read'))}"
        f"{_key('gen-uncached', say('without: all tokens are read again'))}</span></figcaption>"
        f'<div class="gen-plot"><span>{escape(say("ms per token"))}</span><span></span>'
        f'<div class="gen-y" aria-hidden="true">{"".join(f"<span>{mark:g}</span>" for mark in marks)}</div>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}. {escape(result)}">{grid}{lines}</svg>'
        f'<div class="gen-x">{"".join(f"<span>{mark}</span>" for mark in along)}'
        f"<span>{escape(say('{count} tokens', count=last))}</span></div></div></figure>"
        + viz.note(result)
        + (_lesson() if timing.done else "")
    )


def decoder_only_view() -> str:
    """The causal mask beside an encoder-decoder's three, and what follows from it."""
    decoder = _mask("PPPAAA", "PPPAAA", causal=True)
    encoder, own, cross = _mask("PPP", "PPP"), _mask("AAA", "AAA", causal=True), _mask("AAA", "PPP")
    points = (
        "One stack, one pass: prompt (P) and answer (A) are one sequence, so every weight serves reading and writing, "
        "and one task, the next token, trains on all of it.",
        "No token looks ahead. What was computed for a token never changes, so its keys and values can be kept: the "
        "cache. A new token costs one row of the triangle, not the whole triangle again.",
        "The price: a word of the prompt does not see the words after it. An encoder lets them see each other, once, "
        "before the answer begins, and keeps its own weights for it. That suits tasks with a fixed input, such as "
        "translation, and each answer token then reads from two places.",
        "A conversation grows at its end only: a decoder goes on where it stopped, an encoder would read all again.",
    )
    return (
        '<figure class="viz"><figcaption>Who may look at whom: a row looks at the filled cells</figcaption>'
        '<div class="gen-family"><section><h4>Decoder only</h4><div class="gen-masks">'
        f"<div>{decoder}one mask: itself and before</div></div></section>"
        '<section><h4>Encoder and decoder</h4><div class="gen-masks">'
        f"<div>{encoder}encoder:<br>all prompt</div><div>{own}decoder:<br>itself and before</div>"
        f"<div>{cross}decoder looks<br>at the encoder</div></div></section></div>"
        f'<ul class="gen-points">{"".join(f"<li>{escape(point)}</li>" for point in points)}</ul></figure>'
    )


def _piece(piece: Piece, full: float) -> str:
    kind, value = "viz-token", min(1.0, max(0.0, (piece.nats or 0.0) / full))
    if not piece.known:
        kind, title = kind + " gen-unknown", say("no token is for this; it was left out")
    elif piece.nats is None:
        kind, title = kind + " gen-none", say("nothing is before it")
    else:
        nats = say("{count} nats", count=f"{piece.nats:.2f}")
        title = f"p = {percent(math.exp(-piece.nats))}, {nats}; {_expected(piece)}"
    shown = escape(piece.text).replace("\n", '<span class="gen-mark" aria-hidden="true">↵</span>\n')
    return f'<span class="{kind}" style="--v:{value:.3f}" title="{escape(title)}">{shown}</span>'


def _expected(piece: Piece) -> str:
    return f"{say('likeliest:')} {piece.expected} {percent(share_of(piece.share))}"


def _most_surprising(surprise: Surprise, strongest: Sequence[int]) -> str:
    """The pieces that surprised most, each with the text before it and the token that the network expected."""
    if not strongest:
        return ""
    label = escape(say("The most surprising, in nats (-log p)"))
    full = max(surprise.pieces[i].nats or 0.0 for i in strongest) or 1.0
    rows = []
    for i in strongest:
        piece = surprise.pieces[i]
        nats = piece.nats or 0.0
        rows.append(
            f'<li><span class="gen-name" dir="auto" translate="no">{escape(piece.text.translate(MARKS))}</span>'
            f'<span class="viz-bar" style="--v:{min(1.0, max(0.0, nats / full)):.3f}" aria-hidden="true"><i></i></span>'
            f'<span class="gen-number">{nats:.2f}</span>'
            f'<span class="gen-why" dir="auto">{escape(say("after"))} “{escape(_before(surprise, i))}”; '
            f"{escape(_expected(piece))}</span></li>"
        )
    return (
        f'<figure class="viz"><figcaption>{label}</figcaption>'
        f'<ul class="gen-strongest" aria-label="{label}">{"".join(rows)}</ul></figure>'
    )


def _before(surprise: Surprise, index: int) -> str:
    """The end of the text before a piece."""
    text = "".join(piece.text for piece in surprise.pieces[max(0, index - BEFORE) : index])
    return ("…" + text[-BEFORE:] if len(text) > BEFORE else text).replace("\n", "↵")


def _strongest(surprise: Surprise) -> list[int]:
    scored = [i for i, piece in enumerate(surprise.pieces) if piece.nats is not None]
    return sorted(scored, key=lambda i: -(surprise.pieces[i].nats or 0.0))[:STRONGEST]


def _measures(surprise: Surprise) -> str:
    """One line of numbers on the whole text."""
    if not surprise.tokens:
        return "One token alone has nothing before it; write more."
    facts = [
        say("{count} tokens scored", count=f"{surprise.tokens:,}"),
        say("{count} nats", count=f"{surprise.nats:,.1f}"),
        say("{count} nats per token", count=f"{surprise.nats / surprise.tokens:.3f}"),
        say("perplexity {value}", value=f"{surprise.perplexity:,.2f}"),
        say("{count} bits per character", count=f"{surprise.bits_per_character:.3f}"),
        f"{surprise.milliseconds:,.0f} ms",
    ]
    if surprise.truncated:
        facts.append(say("the rest of the text was not read"))
    if surprise.unknown:
        facts.append(f"{say('no token for:')} {surprise.unknown}")
    return " · ".join(facts)


def _path(lengths: Sequence[int], series: Iterable[float], top: float) -> str:
    """An SVG path in a box of 100 x 100, y downwards."""
    span = max(1, lengths[-1] - lengths[0])
    points = [
        f"{100 * (x - lengths[0]) / span:.2f} {100 - 100 * min(1.0, max(0.0, y / top)):.2f}"
        for x, y in zip(lengths, series, strict=True)
    ]
    return "M" + "L".join(points if len(points) > 1 else points * 2)


def _round_up(value: float) -> float:
    """The next 1, 2, 4, 6 or 8 times a power of ten: quarters of it are short numbers.

    >>> _round_up(3.1), _round_up(45), _round_up(0.09)
    (4.0, 60.0, 0.1)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next(round(step * power, 9) for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def _key(kind: str, text: str) -> str:
    line = f'<svg width="24" height="8" aria-hidden="true"><path class="{kind}" d="M0 4H24"/></svg>'
    return f'<span class="gen-key">{line}{escape(text)}</span>'


def _lesson() -> str:
    return viz.note(
        "No token looks ahead, so what was computed for the tokens before never changes: the cache keeps their keys "
        "and values, and a step reads one token. Without it each step reads the whole text again.",
        kind="lesson",
    )


def _mask(rows: str, columns: str, *, causal: bool = False) -> str:
    """Who (row) looks at whom (column), P of the prompt and A of the answer, as a small SVG."""
    size, gap = 18, 16
    cells = []
    for y, _ in enumerate(rows):
        for x, column in enumerate(columns):
            seen = x <= y or not causal
            kind = (' class="gen-prompt"' if column == "P" else ' class="gen-answer"') if seen else ""
            cells.append(f'<rect x="{gap + x * size}" y="{gap + y * size}" width="{size}" height="{size}"{kind}/>')
    names = [f'<text x="{gap + (x + 0.5) * size:g}" y="{gap / 2:g}">{name}</text>' for x, name in enumerate(columns)]
    names += [f'<text x="{gap / 2:g}" y="{gap + (y + 0.5) * size:g}">{name}</text>' for y, name in enumerate(rows)]
    width, height = gap + size * len(columns) + 1, gap + size * len(rows) + 1
    template = "{rows} x {columns}, a triangle: nobody looks ahead" if causal else "{rows} x {columns}, all filled"
    label = escape(say(template, rows=len(rows), columns=len(columns)))
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">{"".join(cells + names)}</svg>'
