"""What `explain` saw, as safe HTML: numbers and records in, strings for a `gr.HTML` out. No torch and no gradio.

    gr.HTML(html, css_template=pictures.style(), js_on_load=pictures.script(), apply_default_css=False)

As in `demo_app.viz`, whose pieces and colours these are: every text went through `escape`, every number through a
format, colour is never alone, and each picture has words.
"""

# L layers, H heads, S tokens shown, P positions of the lens

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from demo_app import viz
from demo_app.viz import escape
from demo_app_decoder_generator.explain import MARKS, SHOWN, Candidate, Look, Piece, Surprise, Timing

STRONGEST = 6  # pieces that are named as the most surprising
BEFORE = 24  # characters before such a piece
SINK = 0.3  # attention on the first token from which it is said so

# A chosen candidate triggers the component's `click`; its gr.EventData has `token`, the id
CHOICE = """
element.addEventListener("click", (event) => {
  const row = event.target.closest("button[data-token]");
  if (!row) return;
  for (const other of row.closest("ul").querySelectorAll("button[data-token]"))
    other.setAttribute("aria-pressed", String(other === row));
  trigger("click", {token: Number(row.dataset.token)});
});
"""


def style() -> str:
    """The `css_template` of a `gr.HTML` that shows one of these."""
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def script() -> str:
    """The `js_on_load` of a `gr.HTML` that shows candidates or heads.

    A candidate's `click` has `token` in its `gr.EventData`; a head's has `layer` and `head`, from 0.
    """
    return viz.script() + CHOICE


def candidates_picture(candidates: Sequence[Candidate], chosen_id: int | None = None) -> str:
    """Each candidate a button with two bars: the network's probability, and the one it is drawn with."""
    if not candidates:
        return viz.note("No token yet.", kind="hint")
    shares = [(_share(c.before), _share(c.after)) for c in candidates]
    full = max(max(pair) for pair in shares) or 1.0
    rows = []
    for candidate, (before, after) in zip(candidates, shares, strict=True):
        text, kind = escape(candidate.text), "gen-row" if candidate.kept else "gen-row gen-out"
        says = f"{text}: {_percent(before)} by the network, {_percent(after) if candidate.kept else 'never'} drawn"
        chosen = candidate.id == chosen_id
        rows.append(
            f'<li><button type="button" class="{kind}" data-token="{int(candidate.id)}" '
            f'aria-pressed="{"true" if chosen else "false"}" aria-label="{says}" title="{says}">'
            f'<span class="gen-name" dir="auto">{text}</span>{_two(before / full, after / full)}'
            f'<span class="gen-number gen-quiet">{_percent(before)}</span>'
            f'<span class="gen-number">{_percent(after) if candidate.kept else "–"}</span></button></li>'
        )
    rest = [max(0.0, 1 - sum(values)) for values in zip(*shares, strict=True)]
    rows.append(
        f'<li class="gen-row gen-rest"><span class="gen-name">all others</span>'
        f"{_two(min(1.0, rest[0] / full), min(1.0, rest[1] / full))}"
        f'<span class="gen-number">{_percent(rest[0])}</span><span class="gen-number">{_percent(rest[1])}</span></li>'
    )
    label = "What may come next: choose one, and the text goes on with it"
    return (
        f'<figure class="viz"><figcaption>{label}<span class="gen-keys" aria-hidden="true">'
        '<span class="gen-key"><i class="gen-swatch gen-before"></i>by the network</span>'
        '<span class="gen-key"><i class="gen-swatch gen-after"></i>as it is drawn</span></span></figcaption>'
        f'<ul class="gen-candidates" aria-label="{label}">{"".join(rows)}</ul></figure>'
    )


def surprise_strip(surprise: Surprise) -> str:
    """The text as it stands, each piece on a ground as strong as its -log p; a blind guess has the full colour."""
    if not surprise.pieces:
        return viz.note("There is nothing that the network can read.", kind="hint")
    full = math.log(max(2, surprise.vocabulary))
    spans = [_piece(piece, full) for piece in surprise.pieces]
    strongest = _strongest(surprise)
    spoken = "; ".join(f"{surprise.pieces[i].text} after {_before(surprise, i)}" for i in strongest[:3])
    label = "How much each piece surprised"
    strip = (
        f'<figure class="viz"><figcaption>{label}<span class="viz-legend" aria-hidden="true">foreseen'
        f'<i class="gen-ramp"></i>as if guessed blindly</span></figcaption>'
        f'<div class="gen-text" dir="auto" role="group" aria-label="{escape(f"{label}. Most: {spoken}")}">'
        f"{''.join(spans)}</div></figure>"
    )
    return strip + viz.note(_measures(surprise), kind="card") + _most_surprising(surprise, strongest)


def lens_table(look: Look) -> str:
    """Layers x positions: the token that each layer would say comes next, on a ground as strong as its probability.

    What the text goes on with is underlined where a layer says it.
    """
    layers, positions, _ = look.lens_ids.shape
    columns = look.tokens[-positions:]
    comes = [*look.ids[-positions:][1:].tolist(), None]  # after each position; not known after the last
    top = "".join(f'<th scope="col" title="{escape(name)}">{escape(name)}</th>' for name in columns)
    rows = []
    for layer in reversed(range(layers)):  # as the network is drawn in books: the answer is on top
        said = "embedding" if layer == 0 else f"layer {layer}"
        cells = []
        for place, name in enumerate(columns):
            texts, shares = look.lens_tokens[layer][place], [_share(p) for p in look.lens[layer, place].tolist()]
            title = f"{said}, after {name}: " + ", ".join(
                f"{text} {_percent(p)}" for text, p in zip(texts, shares, strict=True)
            )
            hit = comes[place] == int(look.lens_ids[layer, place, 0])
            cells.append(
                f'<td{" class=gen-hit" if hit else ""} style="--v:{shares[0]:.2f}" title="{escape(title)}">'
                f"{escape(texts[0])}</td>"
            )
        rows.append(f'<tr><th scope="row">{said if layer == 0 else layer}</th>{"".join(cells)}</tr>')
    last = [look.lens_tokens[layer][-1][0] for layer in range(layers)]
    label = f"What each layer would say next, at the last {positions} tokens"
    spoken = f"{label}. After the last token, from the embedding to the last layer: {', '.join(last)}"
    return (
        f'<figure class="viz"><figcaption>{label}<span class="viz-legend" aria-hidden="true">0'
        f'<i class="gen-ramp"></i>certain · underlined: what really came</span></figcaption>'
        f'<div class="gen-lens" tabindex="0" role="region" aria-label="{escape(spoken)}"><table>'
        f'<thead><tr><th scope="col">after</th>{top}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></figure>'
        + viz.note(
            "The logit lens (nostalgebraist 2020) reads each layer's output as if it were the last one's. The "
            "embedding mostly says its own token again; the answer comes together on the way up."
        )
    )


def attention_of_last(look: Look, layer: int | None = None, head: int | None = None) -> str:
    """Where the last token looks: one head, or an average (`None`); and all heads as stripes that are buttons."""
    weights = look.attention.astype(np.float32)  # (L, H, S)
    chosen = weights.mean(axis=0) if layer is None else weights[layer]  # (H, S)
    scores = chosen.mean(axis=0) if head is None else chosen[head]  # (S,)
    scores = np.clip(np.nan_to_num(scores, nan=0.0), 0, 1)
    where = "all layers" if layer is None else f"layer {layer + 1}"
    which = "all heads" if head is None else f"head {head + 1}"
    sink = look.length == len(look.tokens) > 2 and float(scores[0]) > SINK
    full = float(scores[1:].max() if sink else scores.max(initial=0.0)) or 1.0
    spans = [
        f'<span class="viz-token" style="--v:{min(1.0, score / full):.3f}" '
        f'title="{escape(token)}  {score:.3f}">{escape(token)}</span>'
        for token, score in zip(look.tokens, scores.tolist(), strict=True)
    ]
    strongest = np.argsort(-scores, kind="stable")[:3].tolist()
    label = f"Where “{look.tokens[-1]}” looks before the next token: {where}, {which}"
    spoken = f"{label}. Strongest: " + ", ".join(f"{look.tokens[i]} {float(scores[i]):.2f}" for i in strongest)
    strip = (
        f'<figure class="viz"><figcaption>{escape(label)}<span class="viz-legend" aria-hidden="true">0'
        f'<i class="gen-ramp"></i>{full:.2f}</span></figcaption>'
        f'<div class="viz-strip" dir="auto" role="img" aria-label="{escape(spoken)}">{"".join(spans)}</div></figure>'
    )
    notes = []
    if sink:
        notes.append(
            f"{float(scores[0]):.0%} rests on the first token, where heads look that have nothing to look for (an "
            "attention sink: Xiao et al. 2023). The colours are scaled to the others."
        )
    if look.length > len(look.tokens):
        notes.append(f"The last {SHOWN} of {look.length:,} tokens are drawn; {float(scores.sum()):.0%} rests on them.")
    grid = viz.heads_grid(
        weights[:, :, None, :],
        label="All heads, each a row of stripes from the first token to the last: choose one",
        selected=None if layer is None or head is None else (layer, head),
    )
    return f'{strip}{"".join(viz.note(text) for text in notes)}<div class="gen-stripes">{grid}</div>'


def timing_plot(timing: Timing) -> str:
    """Milliseconds a token over the length of the text, with the cache and without."""
    if not timing.lengths:
        return viz.note("Nothing measured yet.", kind="hint")
    first, last = timing.lengths[0], timing.lengths[-1]
    most = [float(np.percentile(series, 95)) for series in (timing.cached, timing.uncached)]  # a hiccup is no scale
    top = _round_up(max(*most, 1e-3) * 1.1)
    lines = "".join(
        f'<path class="{kind}" d="{_path(timing.lengths, series, top)}"/>'
        for kind, series in (("gen-uncached", timing.uncached), ("gen-cached", timing.cached))
    )
    grid = "".join(f'<path class="gen-grid" d="M0 {y}H100"/>' for y in (0, 25, 50, 75, 100))
    ends = [float(np.median(series[-5:])) for series in (timing.cached, timing.uncached)]
    label = "What one more token costs"
    now = f"At {last} tokens: {ends[0]:.1f} ms with the cache, {ends[1]:.1f} ms without"
    more = f", {ends[1] / max(ends[0], 1e-6):.1f} times as long." if ends[1] > ends[0] else "."
    marks = [top, 0.75 * top, 0.5 * top, 0.25 * top, 0.0]
    along = [first, (first + last) // 2] if last - first > 3 else [first] if first != last else []
    return (
        f'<figure class="viz"><figcaption>{label}<span class="gen-keys">'
        f"{_key('gen-cached', 'with the cache: one token is read')}"
        f"{_key('gen-uncached', 'without: all tokens are read again')}</span></figcaption>"
        f'<div class="gen-plot"><span>ms per token</span><span></span>'
        f'<div class="gen-y" aria-hidden="true">{"".join(f"<span>{mark:g}</span>" for mark in marks)}</div>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}. {now}{more}">{grid}{lines}</svg>'
        f'<div class="gen-x">{"".join(f"<span>{mark}</span>" for mark in along)}<span>{last} tokens</span></div>'
        "</div></figure>" + viz.note(now + more) + (_lesson() if timing.done else "")
    )


def why_decoder_only() -> str:
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


def _two(before: float, after: float) -> str:
    return (
        f'<span class="gen-two" aria-hidden="true"><i class="gen-before" style="--v:{before:.3f}"></i>'
        f'<i class="gen-after" style="--v:{after:.3f}"></i></span>'
    )


def _share(value: float) -> float:
    """A probability from 0 to 1, whatever came in."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


def _percent(share: float) -> str:
    """
    >>> _percent(0.1234), _percent(0.00001), _percent(0.0)
    ('12.3 %', '< 0.1 %', '0 %')
    """
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share else "0 %"


def _piece(piece: Piece, full: float) -> str:
    kind, value = "viz-token", min(1.0, max(0.0, (piece.nats or 0.0) / full))
    if not piece.known:
        kind, title = kind + " gen-unknown", "no token is for this; it was left out"
    elif piece.nats is None:
        kind, title = kind + " gen-none", "nothing is before it"
    else:
        title = f"p = {_percent(math.exp(-piece.nats))}, {piece.nats:.2f} nats; {_expectation(piece)}"
    shown = escape(piece.text).replace("\n", '<span class="gen-mark" aria-hidden="true">↵</span>\n')
    return f'<span class="{kind}" style="--v:{value:.3f}" title="{escape(title)}">{shown}</span>'


def _expectation(piece: Piece) -> str:
    return f"likeliest: {piece.expected} {_percent(_share(piece.share))}"


def _most_surprising(surprise: Surprise, strongest: Sequence[int]) -> str:
    """The pieces that surprised most, with what was before them and what the network would rather have seen."""
    if not strongest:
        return ""
    label = "The most surprising, in nats (-log p)"
    full = max(surprise.pieces[i].nats or 0.0 for i in strongest) or 1.0
    rows = []
    for i in strongest:
        piece = surprise.pieces[i]
        nats = piece.nats or 0.0
        rows.append(
            f'<li><span class="gen-name" dir="auto">{escape(piece.text.translate(MARKS))}</span>'
            f'<span class="viz-bar" style="--v:{min(1.0, max(0.0, nats / full)):.3f}" aria-hidden="true"><i></i></span>'
            f'<span class="gen-number">{nats:.2f}</span>'
            f'<span class="gen-why" dir="auto">after “{escape(_before(surprise, i))}”; '
            f"{escape(_expectation(piece))}</span></li>"
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
    parts = [
        f"{surprise.tokens:,} tokens scored",
        f"{surprise.nats:,.1f} nats",
        f"{surprise.nats / surprise.tokens:.3f} nats per token",
        f"perplexity {surprise.perplexity:,.2f}",
        f"{surprise.bits_per_character:.3f} bits per character",
        f"{surprise.milliseconds:,.0f} ms",
    ]
    if surprise.truncated:
        parts.append("the rest of the text was not read")
    if surprise.unknown:
        parts.append(f"no token for: {surprise.unknown}")
    return " · ".join(parts)


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
    return f'<span class="gen-key">{line}{text}</span>'


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
    label = f"{len(rows)} x {len(columns)}, " + ("a triangle: nobody looks ahead" if causal else "all filled")
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">{"".join(cells + names)}</svg>'
