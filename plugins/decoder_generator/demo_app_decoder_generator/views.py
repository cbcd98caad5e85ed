"""What a step shows: the text so far, the candidates, the attention and the logit lens. HTML out, no torch, no gradio.

As in `demo_app.viz`, whose pieces and colours these are: every text went through `escape`, every number through a
format, colour is never alone, and each picture has words. `views.css` is the style sheet of these views and of those in
`charts`.
"""

# L layers, H heads, S tokens shown, P positions of the lens

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo_app import viz
from demo_app.i18n import say
from demo_app.viz import escape
from demo_app_decoder_generator.explain import SHOWN, Candidate, Look

if TYPE_CHECKING:
    from demo_app_decoder_generator.walk import Walk

SINK = 0.3  # attention on the first token from which a note explains it

# A click on a candidate triggers the component's `click`; its gr.EventData has `token`, the id
CHOICE = """
element.addEventListener("click", (event) => {
  const row = event.target.closest("button[data-token]");
  if (!row) return;
  for (const other of row.closest("ul").querySelectorAll("button[data-token]"))
    other.setAttribute("aria-pressed", String(other === row));
  trigger("click", {token: Number(row.dataset.token)});
});
"""


@cache
def style() -> str:
    """The `css_template` of every component that shows one of this package's views."""
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def script() -> str:
    """The `js_on_load` of a component that shows candidates or heads.

    A candidate's `click` has `token` in its `gr.EventData`; a head's has `layer` and `head`, from 0.
    """
    return viz.script() + CHOICE


def walk_view(walk: Walk) -> str:
    """The prompt, and the tokens that were taken after it."""
    return (
        f'<pre class="viz gen-walk" dir="auto" translate="no"><span>{escape(walk.prompt.shown)}</span>'
        f"<mark>{escape(walk.written)}</mark></pre>"
    )


def candidates_view(candidates: Sequence[Candidate], chosen_id: int | None = None) -> str:
    """Each candidate a button with two bars: the network's probability, and the one it is drawn with."""
    if not candidates:
        return viz.note("No token yet.", kind="hint")
    shares = [(share_of(c.before), share_of(c.after)) for c in candidates]
    full = max(max(pair) for pair in shares) or 1.0
    rows = []
    for candidate, (before, after) in zip(candidates, shares, strict=True):
        text, kind = escape(candidate.text), "gen-row" if candidate.kept else "gen-row gen-out"
        drawn = "{before} by the network, {after} drawn" if candidate.kept else "{before} by the network, never drawn"
        spoken = f"{text}: {escape(say(drawn, before=percent(before), after=percent(after)))}"
        rows.append(
            f'<li><button type="button" class="{kind}" data-token="{int(candidate.id)}" '
            f'aria-pressed="{"true" if candidate.id == chosen_id else "false"}" aria-label="{spoken}" '
            f'title="{spoken}">'
            f'<span class="gen-name" dir="auto" translate="no">{text}</span>{_bars(before / full, after / full)}'
            f'<span class="gen-number gen-quiet">{escape(percent(before))}</span>'
            f'<span class="gen-number">{escape(percent(after)) if candidate.kept else "–"}</span></button></li>'
        )
    rest = [max(0.0, 1 - sum(values)) for values in zip(*shares, strict=True)]
    rows.append(
        f'<li class="gen-row gen-rest"><span class="gen-name">{escape(say("all others"))}</span>'
        f"{_bars(min(1.0, rest[0] / full), min(1.0, rest[1] / full))}"
        f'<span class="gen-number">{escape(percent(rest[0]))}</span>'
        f'<span class="gen-number">{escape(percent(rest[1]))}</span></li>'
    )
    label = escape(say("What may come next: choose one, and the text goes on with it"))
    return (
        f'<figure class="viz"><figcaption>{label}<span class="gen-keys" aria-hidden="true">'
        f'<span class="gen-key"><i class="gen-swatch gen-before"></i>{escape(say("by the network"))}</span>'
        f'<span class="gen-key"><i class="gen-swatch gen-after"></i>{escape(say("as it is drawn"))}</span></span>'
        f'</figcaption><ul class="gen-candidates" aria-label="{label}">{"".join(rows)}</ul></figure>'
    )


def attention_view(look: Look, layer: int | None = None, head: int | None = None) -> str:
    """Where the last token looks: one head, or an average (`None`); and all heads as stripes that are buttons."""
    weights = look.attention.astype(np.float32)  # (L, H, S)
    chosen = weights.mean(axis=0) if layer is None else weights[layer]  # (H, S)
    scores = chosen.mean(axis=0) if head is None else chosen[head]  # (S,)
    scores = np.clip(np.nan_to_num(scores, nan=0.0), 0, 1)
    sink = look.length == len(look.tokens) > 2 and float(scores[0]) > SINK
    full = float(scores[1:].max() if sink else scores.max(initial=0.0)) or 1.0
    spans = [
        f'<span class="viz-token" style="--v:{min(1.0, score / full):.3f}" '
        f'title="{escape(token)}  {score:.3f}">{escape(token)}</span>'
        for token, score in zip(look.tokens, scores.tolist(), strict=True)
    ]
    label = fill(
        "Where “{token}” looks before the next token: {layer}, {head}",
        token=look.tokens[-1],
        layer=say("all layers") if layer is None else say("layer {number}", number=layer + 1),
        head=say("all heads") if head is None else say("head {number}", number=head + 1),
    )
    strongest = np.argsort(-scores, kind="stable")[:3].tolist()
    values = ", ".join(f"{look.tokens[i]} {float(scores[i]):.2f}" for i in strongest)
    spoken = f"{label}. {say('Strongest:')} {values}"
    strip = (
        f'<figure class="viz"><figcaption>{escape(label)}<span class="viz-legend" aria-hidden="true">0'
        f'<i class="gen-ramp"></i>{full:.2f}</span></figcaption>'
        f'<div class="viz-strip" dir="auto" translate="no" role="img" '
        f'aria-label="{escape(spoken)}">{"".join(spans)}</div></figure>'
    )
    notes = []
    if sink:
        notes.append(
            say(
                "{share} rests on the first token, where heads look that have nothing to look for (an attention sink: "
                "Xiao et al. 2023). The colours are scaled to the others.",
                share=f"{float(scores[0]):.0%}",
            )
        )
    if look.length > len(look.tokens):
        notes.append(
            say(
                "The last {shown} of {count} tokens are drawn; {share} rests on them.",
                shown=SHOWN,
                count=f"{look.length:,}",
                share=f"{float(scores.sum()):.0%}",
            )
        )
    grid = viz.heads_grid(
        weights[:, :, None, :],
        label="All heads, each a row of stripes from the first token to the last: choose one",
        selected=None if layer is None or head is None else (layer, head),
    )
    return f'{strip}{"".join(map(viz.note, notes))}<div class="gen-stripes">{grid}</div>'


def lens_view(look: Look) -> str:
    """Layers x positions: the token that each layer would write next, on a ground as strong as its probability.

    The token that the text really has next is underlined wherever a layer predicts it.
    """
    layers, positions, _ = look.lens_ids.shape
    columns = look.tokens[-positions:]
    following = [*look.ids[-positions:][1:].tolist(), None]  # after each position; unknown after the last
    top = "".join(f'<th scope="col" title="{escape(name)}">{escape(name)}</th>' for name in columns)
    rows = []
    for layer in reversed(range(layers)):  # the last layer on top, as in textbooks
        row = say("embedding") if layer == 0 else say("layer {number}", number=layer)
        cells = []
        for place, name in enumerate(columns):
            texts, shares = look.lens_tokens[layer][place], [share_of(p) for p in look.lens[layer, place].tolist()]
            guesses = ", ".join(f"{text} {percent(p)}" for text, p in zip(texts, shares, strict=True))
            title = f"{fill('{layer}, after {token}:', layer=row, token=name)} {guesses}"
            hit = following[place] == int(look.lens_ids[layer, place, 0])
            cells.append(
                f'<td{" class=gen-hit" if hit else ""} style="--v:{shares[0]:.2f}" title="{escape(title)}">'
                f"{escape(texts[0])}</td>"
            )
        rows.append(f'<tr><th scope="row">{escape(row) if layer == 0 else layer}</th>{"".join(cells)}</tr>')
    label = say("What each layer would say next, at the last {count} tokens", count=positions)
    last = ", ".join(look.lens_tokens[layer][-1][0] for layer in range(layers))
    spoken = f"{label}. {say('After the last token, from the embedding to the last layer:')} {last}"
    legend = escape(say("certain · underlined: what really came"))
    return (
        f'<figure class="viz"><figcaption>{escape(label)}<span class="viz-legend" aria-hidden="true">0'
        f'<i class="gen-ramp"></i>{legend}</span></figcaption>'
        f'<div class="gen-lens" tabindex="0" role="region" aria-label="{escape(spoken)}"><table translate="no">'
        f'<thead><tr><th scope="col">{escape(say("after"))}</th>{top}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div></figure>"
        + viz.note(
            "The logit lens (nostalgebraist 2020) reads each layer's output as if it were the last one's. The "
            "embedding mostly says its own token again; the answer comes together on the way up."
        )
    )


def fill(template: str, **data: str) -> str:
    """The template in the visitor's language, filled with data. Unlike a value of `say`, data is not translated.

    A token may well be called as some text of the page is.
    """
    return say(template).format(**data)


def share_of(value: float) -> float:
    """A probability from 0 to 1, also for nan and infinities."""
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0


def percent(share: float) -> str:
    """
    >>> percent(0.1234), percent(0.00001), percent(0.0)
    ('12.3 %', '< 0.1 %', '0 %')
    """
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share else "0 %"


def _bars(before: float, after: float) -> str:
    return (
        f'<span class="gen-two" aria-hidden="true"><i class="gen-before" style="--v:{before:.3f}"></i>'
        f'<i class="gen-after" style="--v:{after:.3f}"></i></span>'
    )
