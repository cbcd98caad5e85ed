"""What the tab shows, as HTML made by `demo_app.viz`. Imports neither gradio nor torch."""

from __future__ import annotations

from collections.abc import Sequence

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.i18n import say
from demo_app_text_classifier.data import class_ids
from demo_app_text_classifier.explain import MAX_TOKENS_SHOWN, MAX_WORDS, Occlusion, Seen, choose, received

MOST_BARS = 8  # words that the bars of an occlusion show

CAVEATS = {
    "attention": "Attention shows where the model looked, not why it decided: other attentions can give the same "
    "answer (Jain and Wallace 2019), though they are not mere noise (Wiegreffe and Pinter 2019). "
    "Check with 'Take a word away'.",
    "gradient": "Gradient × input is a first-order estimate: what the answer's score would lose if the token faded "
    "into the text's average token. It is exact only for a linear model. Check with 'Take a word away'.",
}


def words_view(seen: Seen, method: str, layer: int | None, head: int | None) -> str:
    """The tokens coloured by one method of `CAVEATS`, its caveat, and the model's card.

    `layer` and `head` count from 0, `None` is the average; only the attention depends on them.
    """
    if method == "attention":
        strip = viz.token_strip(
            seen.tokens,
            received(choose(seen.attention, layer, head), seen.pooling),
            label=say("Attention received, {where}", where=head_name(layer, head)),
            joined=seen.joined,
            special=seen.special,
        )
    else:
        strip = _saliency_strip(seen, say("What speaks for “{answer}”", answer=seen.answer))
    return strip + viz.note(CAVEATS[method]) + viz.note(card(seen), kind="card")


def _saliency_strip(seen: Seen, label: str) -> str:
    return viz.token_strip(
        seen.tokens,
        seen.saliency,
        label=label,
        joined=seen.joined,
        special=seen.special,
        diverging=True,
        ends=("against", "for"),
    )


def card(seen: Seen) -> str:
    """One line about the model and what it read."""
    facts = [
        display_name(seen.checkpoint),
        say("{count} M parameters", count=f"{seen.parameters / 1e6:.2f}"),
        say("forward pass {count} ms", count=f"{seen.milliseconds:.1f}"),
        say("{count} tokens", count=seen.length),
    ]
    if seen.truncated:
        facts.append(say("the rest of the text was not read"))
    if seen.length > MAX_TOKENS_SHOWN:
        facts.append(say("the first {count} are drawn", count=MAX_TOKENS_SHOWN))
    if seen.unknown:
        facts.append(say("{count} not in its vocabulary", count=seen.unknown))
    if seen.unknown and seen.unknown == seen.length - sum(seen.special):
        facts.append(say("so the answer is a guess"))
    return " · ".join(facts)


def head_name(layer: int | None, head: int | None) -> str:
    """What the page calls a head, or an average of heads; layers and heads count from 0 here, from 1 there."""
    if layer is None and head is None:
        return say("all layers, all heads, averaged")
    if layer is None:
        return say("all layers, head {head}, averaged", head=(head or 0) + 1)
    if head is None:
        return say("layer {layer}, all heads, averaged", layer=layer + 1)
    return say("layer {layer}, head {head}", layer=layer + 1, head=head + 1)


def heads_view(seen: Seen, layer: int | None, head: int | None) -> str:
    """All heads as thumbnails, and the chosen one large."""
    selected = None if layer is None or head is None else (layer, head)
    thumbnails = viz.heads_grid(seen.attention, label="All heads: choose one", selected=selected)
    names = [token if token.strip() else "␣" for token in seen.tokens]
    large = viz.heat_map(
        choose(seen.attention, layer, head),
        names,
        names,
        label=say("Who looks (row) at whom (column): {where}", where=head_name(layer, head)),
        row_axis="",
        column_axis="looks at",
    )
    return viz.side_by_side(thumbnails, large)


def occlusion_view(occlusion: Occlusion) -> str:
    """The words coloured by their effect, and the strongest as bars."""
    effect, answer = occlusion.effect, occlusion.answer
    strongest = sorted(range(len(effect)), key=lambda i: -abs(float(effect[i])))[:MOST_BARS]
    strip = viz.token_strip(
        occlusion.words,
        effect,
        label=say("What each word adds to “{answer}” ({share})", answer=answer, share=f"{occlusion.probability:.1%}"),
        joined=occlusion.joined,
        diverging=True,
        ends=("takes away", "adds"),
    )
    bars = viz.bars(
        [occlusion.words[i] for i in strongest],
        [float(effect[i]) for i in strongest],
        label=say("The strongest, in points of the probability of “{answer}”", answer=answer),
        notes=[_flip(occlusion.answers[i], answer) for i in strongest],
        diverging=True,
    )
    capped = len(occlusion.words) == MAX_WORDS
    note = viz.note(say("The first {count} words were tried.", count=MAX_WORDS)) if capped else ""
    return viz.side_by_side(strip, bars) + note


def _flip(without: str, answer: str) -> str:
    """The answer without a word, if it is another one."""
    return say("without it: {answer}", answer=without) if without != answer else ""


def difference_view(a: Seen, b: Seen) -> str:
    """B's probabilities minus A's, and the tokens of both."""
    bars = viz.bars(
        a.labels,
        b.probabilities - a.probabilities,
        label="B less A, in points of probability",
        diverging=True,
        full=1.0,
    )
    strips = (
        _saliency_strip(seen, say("{name}: what speaks for “{answer}”", name=name, answer=seen.answer))
        for name, seen in (("A", a), ("B", b))
    )
    return bars + viz.side_by_side(*strips) + viz.note(CAVEATS["gradient"])


def file_view(answers: Sequence[tuple[str, float]], given: Sequence[str] | None, labels: Sequence[str]) -> str:
    """How many rows got which label, and how many of the labels in the file agree.

    Args:
        answers: the label and its probability for each row.
        given: the labels in the file, names or numbers; `None` if it has none.
        labels: the model's classes.
    """
    counts = [sum(label == answer for answer, _ in answers) for label in labels]
    shares = [count / len(answers) for count in counts]
    bars = viz.bars(labels, shares, label="Answers", notes=[_rows(count) for count in counts], full=1.0)
    return bars + (viz.note(_agreement(answers, given, labels)) if given is not None else "")


def _agreement(answers: Sequence[tuple[str, float]], given: Sequence[str], labels: Sequence[str]) -> str:
    try:
        expected = [labels[i] for i in class_ids(given, labels)]
    except InputError as error:
        return say("Not compared with the file's labels: {reason}", reason=say(error.text, **error.values))
    same = sum(answer == label for (answer, _), label in zip(answers, expected, strict=True))
    return say("{share} of the rows have the label that the file gives.", share=f"{same / len(answers):.1%}")


def _rows(count: int) -> str:
    return say("1 row") if count == 1 else say("{count} rows", count=f"{count:,}")
