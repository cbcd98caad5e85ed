"""What the tab shows, as safe HTML: an alignment of words, a tree of beams, two designs. Imports no gradio, no torch.

    drawing("Alignment", alignment_lines(*alignment(seen, None, None)), css=style())

The rules are those of `demo_app.viz`, whose colours these drawings share: every text goes through `escape`, every
number through a format, colour is never the only cue, and each drawing has a text alternative. In an SVG, words of
the source and the translation carry `translate="no"`; all other words are translated with the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demo_app import viz
from demo_app.api import display_name
from demo_app.i18n import say
from demo_app.viz import escape
from demo_app_translator.explain import END, Array, Forced, Node, Seen

ROW = 26  # px of a word in the alignment
GAP = 150  # px between the two columns of words
COLUMN = 130  # px of a column
FAINT = 0.08  # attention below this share draws no line
STEP, NODE = 100, 44  # px of a step of the tree, and of a beam
MARGIN = 44  # px to the left of the first step
BOX = STEP - 22  # px of a node's width
MAX_LETTERS = 11  # of a token that fit into a node
MAX_DIFFERENCES = 8  # rows of the table of differing tokens


def style() -> str:
    """The style sheet of these drawings."""
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def about(seen: Sequence[Seen]) -> str:
    """One line about the model, its time, and its log-probability."""
    tokens = sum(len(one.target) for one in seen)
    total = sum(one.log_probability for one in seen)
    beams = seen[0].beams
    facts = [
        display_name(seen[0].checkpoint),
        say("greedy") if beams == 1 else say("{count} beams", count=beams),
        say("{count} tokens in {time} ms", count=tokens, time=f"{sum(one.milliseconds for one in seen):.0f}"),
        say("log-probability {value} a token", value=f"{total / max(1, tokens):.2f}"),
    ]
    return viz.note(" · ".join(facts), kind="card")


def time_is_over(done: int, count: int, seconds: float) -> str:
    """That not all sentences were translated, or the last one not to its end."""
    text = say(
        "The {seconds} seconds for one translation are over: {done} of {count} sentences were translated, the last one "
        "perhaps in part; shorten the text.",
        seconds=f"{seconds:.0f}",
        done=done,
        count=count,
    )
    return viz.note(text, kind="alert")


def alignment_lines(source: Sequence[str], target: Sequence[str], weights: Array) -> str:
    """Two columns of words, with lines as strong as the attention of a target word to a source word.

    Pointing at a target word shows its lines alone. weights (V, W): a row for each target word.
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
            f'<line x1="{COLUMN + 6}" y1="{left[w]:.1f}" x2="{COLUMN + GAP - 6}" y2="{right[v]:.1f}" '
            f'style="--v:{min(1.0, float(weight)):.3f}"/>'
            for w, weight in enumerate(weights[v])
            if weight >= FAINT or w == strongest
        )
        title = escape(
            say(
                "“{word}” looked at “{source}” most: {share}",
                word=word,
                source=source[strongest],
                share=f"{weights[v, strongest]:.0%}",
            )
        )
        groups.append(
            f'<g class="tra-word" tabindex="0" role="img" aria-label="{title}"><title>{title}</title>'
            f'<rect x="{COLUMN + GAP - 4}" y="{right[v] - ROW / 2:.1f}" width="{COLUMN}" height="{ROW}"/>{lines}'
            f'<text translate="no" x="{COLUMN + GAP}" y="{right[v]:.1f}">{escape(_short(word))}</text></g>'
        )
    texts = "".join(
        f'<text translate="no" class="{"tra-source tra-end" if word == END else "tra-source"}" x="{COLUMN}" '
        f'y="{y:.1f}">{escape(_short(word))}</text>'
        for word, y in zip(source, left, strict=True)
    )
    label = escape(say("Which words did each word of the translation look at?"))
    return (
        f'<figure class="viz"><figcaption>{label}<span class="viz-legend" aria-hidden="true">{escape(say("little"))}'
        f'<i class="viz-ramp"></i>{escape(say("much"))}</span></figcaption>'
        f'<svg class="tra-lines" role="group" aria-label="{label}" '
        f'viewBox="0 0 {2 * COLUMN + GAP} {rows * ROW}">{texts}{"".join(groups)}</svg></figure>'
        + viz.note("Point at a word on the right, or tap it.")
    )


def alignment_map(source: Sequence[str], target: Sequence[str], weights: Array) -> str:
    """The same as a heat map. weights (V, W): a row for each target word."""
    return viz.heat_map(
        weights, target, source, label="The same as a map: rows write, columns are read", row_axis="from"
    )


def beam_tree(seen: Seen) -> str:
    """The partial translations that were kept, from left to right, with a strong line to the translation."""
    steps = max((node.step for node in seen.nodes), default=0) + 1
    places, rows = _rows(seen)
    parents = {(node.step, node.beam): node for node in seen.nodes if node.beam is not None}
    edges, boxes = [], []
    for node in sorted(seen.nodes, key=lambda node: node.chosen):  # the chosen ones last, on top of the others
        x, y = node.step * STEP + MARGIN, places[id(node)] * NODE + NODE / 2
        if node.step == 0:
            from_x, from_y = 8.0, seen.beams * NODE / 2
        else:
            parent = parents[node.step - 1, node.parent]
            from_x, from_y = (node.step - 1) * STEP + MARGIN + BOX, places[id(parent)] * NODE + NODE / 2
        middle = (from_x + x) / 2
        curve = f"M{from_x:.0f} {from_y:.0f}C{middle:.0f} {from_y:.0f} {middle:.0f} {y:.0f} {x:.0f} {y:.0f}"
        edges.append(f'<path class="tra-edge{" tra-chosen" if node.chosen else ""}" d="{curve}"/>')
        boxes.append(_box(node, seen, x, y))
    height, width = rows * NODE + 4, steps * STEP + MARGIN
    label = (
        say("The beam search, 1 beam, step by step")
        if seen.beams == 1
        else say("The beam search, {count} beams, step by step", count=seen.beams)
    )
    chosen = say("Chosen: “{text}”, log-probability {value}.", text=seen.text, value=f"{seen.log_probability:.2f}")
    return (
        f'<figure class="viz"><figcaption>{escape(label)}</figcaption><div class="viz-scroll tra-scroll" tabindex="0">'
        f'<svg class="tra-tree" role="img" aria-label="{escape(f"{label}. {chosen}")}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}"><circle cx="6" cy="{seen.beams * NODE / 2:.0f}" r="4"/>'
        f"{''.join(edges)}{''.join(boxes)}</svg></div></figure>"
        + viz.note(
            "Each box: a token, its probability, and below it the log-probability of all tokens so far. A box with a "
            "thick frame ends a translation; its score is that sum over (length ^ length penalty)."
        )
    )


def _rows(seen: Seen) -> tuple[dict[int, int], int]:
    """The row of each node, by its `id`, and the number of rows. Nodes that end a translation stand below the beams."""
    places: dict[int, int] = {}
    ended: dict[int, int] = {}  # step -> translations that ended there
    for node in seen.nodes:
        if node.beam is not None:
            places[id(node)] = node.beam
        else:
            places[id(node)] = seen.beams + ended.get(node.step, 0)
            ended[node.step] = ended.get(node.step, 0) + 1
    return places, seen.beams + max(ended.values(), default=0)


def _box(node: Node, seen: Seen, x: float, y: float) -> str:
    """A node of the tree at (x, y), the middle of its left edge."""
    ends = node.text == END
    score = node.total / (node.step + 1) ** seen.length_penalty
    facts = {
        "token": node.text.strip() or "␣",
        "share": f"{node.probability:.1%}",
        "total": f"{node.total:.2f}",
    }
    if ends:
        text, kept, right = say("end"), "", -7
        below = say("score {value}", value=f"{score:.2f}")
        title = say(
            "“{token}”: probability {share}, sum of log-probabilities {total}, score {score}",
            **facts,
            score=f"{score:.3f}",
        )
    else:
        text, kept, right = _short(node.text.replace(" ", "·"), MAX_LETTERS), ' translate="no"', 10
        below = f"{node.total:.2f}"
        title = say("“{token}”: probability {share}, sum of log-probabilities {total}", **facts)
    kinds = " ".join(name for name, holds in (("tra-chosen", node.chosen), ("tra-ends", ends)) if holds)
    group = f'<g class="{kinds}">' if kinds else "<g>"
    return (
        f"{group}<title>{escape(title)}</title>"
        f'<rect x="{x:.0f}" y="{y - 18:.0f}" width="{BOX}" height="36" rx="5"/>'
        f'<text{kept} x="{x + 6:.0f}" y="{y - 7:.0f}">{escape(text)}</text>'
        f'<text class="tra-score" x="{x + 6:.0f}" y="{y + 10:.0f}">{escape(below)}</text>'
        f'<text class="tra-score tra-right" x="{x + BOX - 6:.0f}" y="{y + right:.0f}">{node.probability:.0%}</text></g>'
    )


def two_designs(seen: Seen) -> str:
    """What an encoder-decoder looked at, what a decoder-only network could look at, and what each costs."""
    S, T = len(seen.source), len(seen.target)
    names = [piece.strip() or "␣" for piece in (*seen.source, *seen.target)]
    split = np.zeros((S + T, S + T), np.float32)
    split[:S, :S] = seen.encoder.mean(axis=(0, 1))
    split[S:, :S] = seen.cross.mean(axis=(0, 1))
    split[S:, S:] = seen.decoder.mean(axis=(0, 1))
    causal = np.tril(np.ones((S + T, S + T), np.float32))
    maps = viz.side_by_side(
        viz.heat_map(split, names, names, label="Encoder-decoder: where this network looked (mean of all heads)"),
        viz.heat_map(causal, names, names, label="Decoder-only: where one could look"),
    )
    numbers = f"{2 * seen.cross.shape[0] * seen.width * (S + T):,}"  # keys and values of each layer and token
    head = ["for this sentence", "encoder-decoder", "decoder-only of as many layers"]
    rows = [
        ["a source word looks at", say("all {count} source tokens", count=S), say("itself and what came before")],
        [
            "a target word looks at",
            say("all source tokens (cross-attention) and the target so far"),
            say("all that came before"),
        ],
        ["source and target share weights", say("no: two stacks"), say("yes: one stack")],
        ["learns from", say("the target's tokens"), say("every token, source too")],
        ["numbers kept while it writes", say("{count} (keys and values)", count=numbers), numbers],
    ]
    return maps + viz.table(head, rows, label="What differs")


def forced_strip(forced: Forced) -> str:
    """The given translation, each token on a ground as strong as its surprise, -log p, and what differs."""
    surprise = [-float(np.log(max(p, 1e-9))) for p in forced.probabilities]
    total = -sum(surprise)
    strip = viz.token_strip(
        [piece.strip() or "␣" for piece in forced.pieces],
        surprise,
        label="How much each token of your translation surprised the network",
        joined=[not piece.startswith(" ") for piece in forced.pieces],
        special=[piece == END for piece in forced.pieces],
        ends=("expected", "surprising"),
    )
    card = viz.note(
        say(
            "Log-probability of the whole: {total}, {each} a token.",
            total=f"{total:.2f}",
            each=f"{total / len(surprise):.2f}",
        ),
        kind="card",
    )
    differing = [
        [mine.strip() or "␣", f"{p:.1%}", likeliest.strip() or "␣"]
        for mine, p, likeliest in zip(forced.pieces, forced.probabilities, forced.likeliest, strict=True)
        if mine != likeliest
    ][:MAX_DIFFERENCES]
    if not differing:
        return strip + card + viz.note("It would have written the same.", kind="lesson")
    head = ["yours", "its probability", "the network's choice there"]
    return strip + card + viz.table(head, differing, label="Where it differs", data=True)


def _short(text: str, length: int = 15) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
