"""What `explain` saw, as safe HTML: an alignment of words, a tree of beams, two designs. No torch and no gradio.

    gr.HTML(html, css_template=pictures.style(), apply_default_css=False)

As in `demo_app.viz`, whose colours these are: every text went through `escape`, every number through a format, colour
is never alone, and each picture has words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demo_app import viz
from demo_app.i18n import say
from demo_app.viz import escape
from demo_app_translator.explain import END, Array, Forced, Node, Seen

ROW = 26  # px of a word in the alignment
SPAN = 150  # px between the two columns of words
SIDE = 130  # px of a column
FAINT = 0.08  # attention below this share draws no line
STEP, NODE = 100, 44  # px of a step of the tree, and of a beam
LENGTH = 11  # letters of a token that fit a node


def style() -> str:
    """The `css_template` of a `gr.HTML` that shows one of these."""
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def alignment_lines(source: Sequence[str], target: Sequence[str], weights: Array) -> str:
    """Two columns of words; a line is as strong as a target word's attention to a source word. Point at one to see it.

    weights (V, W): rows are target words.
    """
    if not target:
        return viz.note("The translation is empty.", kind="hint")
    rows = max(len(source), len(target))
    left, right = (
        [ROW * (rows - len(words)) / 2 + ROW * (n + 0.5) for n in range(len(words))] for words in (source, target)
    )
    groups = []
    for v, word in enumerate(target):
        strongest = int(weights[v].argmax())
        lines = "".join(
            f'<line x1="{SIDE + 6}" y1="{left[w]:.1f}" x2="{SIDE + SPAN - 6}" y2="{right[v]:.1f}" '
            f'style="--v:{min(1.0, float(weight)):.3f}"/>'
            for w, weight in enumerate(weights[v])
            if weight >= FAINT or w == strongest
        )
        said = f"{word} looked at {source[strongest]} most: {weights[v, strongest]:.0%}"
        groups.append(
            f'<g class="tra-word" tabindex="0" role="img" aria-label="{escape(said)}"><title>{escape(said)}</title>'
            f'<rect x="{SIDE + SPAN - 4}" y="{right[v] - ROW / 2:.1f}" width="{SIDE}" height="{ROW}"/>{lines}'
            f'<text x="{SIDE + SPAN}" y="{right[v]:.1f}">{escape(_short(word))}</text></g>'
        )
    texts = "".join(
        f'<text class="{"tra-source tra-end" if word == END else "tra-source"}" x="{SIDE}" y="{y:.1f}">'
        f"{escape(_short(word))}</text>"
        for word, y in zip(source, left, strict=True)
    )
    label = escape(say("Which words did each word of the translation look at?"))
    return (
        f'<figure class="viz"><figcaption>{label}<span class="viz-legend" aria-hidden="true">{say("little")}'
        f'<i class="viz-ramp"></i>{say("much")}</span></figcaption>'
        f'<svg class="tra-lines" translate="no" role="group" aria-label="{label}" '
        f'viewBox="0 0 {2 * SIDE + SPAN} {rows * ROW}">{texts}{"".join(groups)}</svg></figure>'
        + viz.note("Point at a word on the right, or tap it.")
    )


def alignment_map(source: Sequence[str], target: Sequence[str], weights: Array) -> str:
    return viz.heat_map(
        weights, target, source, label="The same as a map: rows write, columns are read", row_axis="from"
    )


def beam_tree(seen: Seen) -> str:
    """The beginnings that were kept, from left to right; the way to the translation is drawn strong."""
    steps = max((node.step for node in seen.nodes), default=0) + 1
    ended: dict[int, int] = {}  # step -> how many ended there: they stand below the beams
    places: dict[int, tuple[int, float]] = {}  # id of node -> step, row
    for node in seen.nodes:
        row = float(node.beam) if node.beam is not None else seen.beams + ended.get(node.step, 0)
        if node.beam is None:
            ended[node.step] = ended.get(node.step, 0) + 1
        places[id(node)] = node.step, row
    rows = seen.beams + max(ended.values(), default=0)
    at = {(node.step, node.beam): node for node in seen.nodes if node.beam is not None}
    edges, boxes = [], []
    for node in sorted(seen.nodes, key=lambda node: node.chosen):  # the chosen ones are drawn last, on top
        step, row = places[id(node)]
        x, y = step * STEP + 44, row * NODE + NODE / 2
        kind = " tra-chosen" if node.chosen else ""
        if step == 0:
            from_x, from_y = 8.0, seen.beams * NODE / 2
        else:
            parent = at[step - 1, node.parent]
            from_x, from_y = (step - 1) * STEP + 44 + STEP - 22, places[id(parent)][1] * NODE + NODE / 2
        middle = (from_x + x) / 2
        curve = f"M{from_x:.0f} {from_y:.0f}C{middle:.0f} {from_y:.0f} {middle:.0f} {y:.0f} {x:.0f} {y:.0f}"
        edges.append(f'<path class="tra-edge{kind}" d="{curve}"/>')
        boxes.append(_box(node, seen, x, y, kind))
    height, width = rows * NODE + 4, steps * STEP + 44
    label = escape(say(f"The beam search, {seen.beams} beam{'s' if seen.beams > 1 else ''}, step by step"))
    spoken = f"{label}. Chosen: {escape(seen.text)}, log-probability {seen.log_probability:.2f}."
    return (
        f'<figure class="viz"><figcaption>{label}</figcaption><div class="viz-scroll tra-scroll" tabindex="0">'
        f'<svg class="tra-tree" translate="no" role="img" aria-label="{spoken}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><circle cx="6" cy="{seen.beams * NODE / 2:.0f}" r="4"/>'
        f"{''.join(edges)}{''.join(boxes)}</svg></div></figure>"
        + viz.note(
            "Each box: a token, its probability, and below it the log-probability of all tokens so far. A box with a "
            "thick frame ends a translation; its score is that sum over (length ^ length penalty)."
        )
    )


def _box(node: Node, seen: Seen, x: float, y: float, kind: str) -> str:
    text = "end" if node.text == END else node.text.replace(" ", "·")
    score = node.total / (node.step + 1) ** seen.length_penalty
    below = f"score {score:.2f}" if node.text == END else f"{node.total:.2f}"
    chance = f"{node.probability:.0%}"
    said = f"{node.text}: probability {node.probability:.1%}, sum of log-probabilities {node.total:.2f}"
    said += f", score {score:.3f}" if node.text == END else ""
    ends = " tra-ends" if node.text == END else ""
    return (
        f'<g class="tra-node{kind}{ends}"><title>{escape(said)}</title><rect x="{x:.0f}" y="{y - 18:.0f}" '
        f'width="{STEP - 22}" height="36" rx="5"/><text x="{x + 6:.0f}" y="{y - 7:.0f}">{escape(_short(text, LENGTH))}'
        f'</text><text class="tra-score" x="{x + 6:.0f}" y="{y + 10:.0f}">{below}</text>'
        f'<text class="tra-score tra-right" x="{x + STEP - 28:.0f}" y="{y + (-7 if node.text == END else 10):.0f}">'
        f"{chance}</text></g>"
    )


def two_designs(seen: Seen) -> str:
    """What is looked at in an encoder-decoder, and what could be in a decoder-only network, and what each costs."""
    S, T = len(seen.source), len(seen.target)
    names = [*(piece.strip() or "␣" for piece in seen.source), *(piece.strip() or "␣" for piece in seen.target)]
    split = np.zeros((S + T, S + T), np.float32)
    split[:S, :S] = seen.encoder.mean(axis=(0, 1))
    split[S:, :S] = seen.cross.mean(axis=(0, 1))
    split[S:, S:] = seen.decoder.mean(axis=(0, 1))
    only = np.tril(np.ones((S + T, S + T), np.float32))
    maps = viz.side_by_side(
        viz.heat_map(split, names, names, label="Encoder-decoder: where this network looked (mean of all heads)"),
        viz.heat_map(only, names, names, label="Decoder-only: where one could look"),
    )
    D, L = seen.width, seen.cross.shape[0]
    head = ["for this sentence", "encoder-decoder", "decoder-only of as many layers"]
    rows = [
        ["a source word looks at", f"all {S} source tokens", "itself and what came before"],
        ["a target word looks at", "all source tokens (cross-attention) and the target so far", "all that came before"],
        ["source and target share weights", "no: two stacks", "yes: one stack"],
        ["learns from", "the target's tokens", "every token, source too"],
        ["numbers kept while it writes", f"{2 * L * D * (S + T):,} (keys and values)", f"{2 * L * D * (S + T):,}"],
    ]
    return maps + viz.table(head, rows, label="What differs")


def forced_strip(forced: Forced) -> str:
    """The given translation, each token on a ground as strong as its surprise, -log p."""
    surprise = [-float(np.log(max(p, 1e-9))) for p in forced.probabilities]
    strip = viz.token_strip(
        [piece.strip() or "␣" for piece in forced.pieces],
        surprise,
        label="How much each token of your translation surprised the network",
        joined=[not piece.startswith(" ") for piece in forced.pieces],
        special=[piece == END for piece in forced.pieces],
        ends=("expected", "surprising"),
    )
    differing = [
        [mine.strip() or "␣", f"{p:.1%}", theirs.strip() or "␣"]
        for mine, p, theirs in zip(forced.pieces, forced.probabilities, forced.likeliest, strict=True)
        if mine != theirs
    ][:8]
    total = -sum(surprise)
    note = viz.note(f"Log-probability of the whole: {total:.2f}, {total / len(surprise):.2f} a token.", kind="card")
    table = viz.table(["yours", "its probability", "the network's choice there"], differing, label="Where it differs")
    return strip + note + (table if differing else viz.note("It would have written the same.", kind="lesson"))


def _short(text: str, length: int = 15) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
