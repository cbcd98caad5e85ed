"""How results look: arrays and numbers in, pictures and HTML out. Imports neither torch nor gradio."""

# h x w patches

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo_app import viz
from demo_app.api import display_name
from demo_app.i18n import say
from demo_app.viz.overlay import framed, heat
from demo_app_image_text_fusion.explain import ROLLOUT, Array, Seen, matrix, patches_of, words_of

if TYPE_CHECKING:
    from demo_app_image_text_fusion.many import Row
    from demo_app_image_text_fusion.video import Moment

SHOWN = 384  # pixels of the longer side at which a picture is shown
CAVEAT = "Attention shows what was fetched from where, not why the answer came out. The experiment: blind and deaf."


# The picture, the question, the answer


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at the size at which it is shown; small pictures keep their pixels' edges."""
    scale = SHOWN / max(picture.shape[:2])
    how = Image.Resampling.NEAREST if scale > 3 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize(shown_size(picture), how))


def shown_size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height at which a picture is shown."""
    scale = SHOWN / max(picture.shape[:2])
    return round(picture.shape[1] * scale), round(picture.shape[0] * scale)


def scene_note(answer: str, *, right: bool, lesson: str = "") -> str:
    """The right answer to a scene's question, after what the lesson says to notice."""
    known = (
        say("The scene's own answer: {answer}. The network is right.", answer=answer)
        if right
        else say("The scene's own answer: {answer}. The network is wrong.", answer=answer)
    )
    return (viz.note(lesson, kind="lesson") if lesson else "") + viz.note(known, kind="lesson")


def card(seen: Seen) -> str:
    """One line on the model and what it read; then what it could not read."""
    parts = [
        display_name(seen.checkpoint),
        say("{count} M parameters, {precision}", count=f"{seen.parameters / 1e6:.1f}", precision=seen.precision),
        say("forward pass {count} ms", count=f"{seen.milliseconds:.1f}"),
        say(
            "{words} words and {patches} patches of {side} pixels",
            words=len(seen.tokens),
            patches=seen.grid[0] * seen.grid[1],
            side=f"{seen.picture.shape[1]} × {seen.picture.shape[0]}",
        ),
    ]
    notes = viz.note(" · ".join(parts), kind="card")
    if seen.truncated:
        notes += viz.note(
            say("The question is longer than {count} tokens; the rest was not read.", count=len(seen.tokens))
        )
    if seen.unknown:
        notes += viz.note(say("It does not know: {words}.", words=", ".join(seen.unknown[:8])))
    return notes


# Attention


def from_word(seen: Seen, layer: int | str | None, head: int | None, token: int) -> tuple[Any, str]:
    """What a word looks at: the picture with its patches lit, and the words with that one chosen."""
    weights = matrix(seen, layer, head)
    picture = heat(enlarged(seen.picture), patches_of(seen, weights, token))
    among = weights[token, : len(seen.tokens)]
    label = say(
        "“{word}” looks at these patches, and at these words ({where})",
        word=seen.tokens[token],
        where=which(layer, head),
    )
    return picture, viz.token_buttons(seen.tokens, among, label=label, selected=token) + viz.note(CAVEAT)


def from_patch(seen: Seen, layer: int | str | None, head: int | None, row: int, column: int) -> tuple[Any, str]:
    """What a patch looks at: the words lit, and the picture with that patch framed."""
    weights = matrix(seen, layer, head)
    first = len(seen.tokens) + seen.extra
    among = weights[first + row * seen.grid[1] + column, first:].reshape(seen.grid)
    picture = heat(enlarged(seen.picture), among / max(float(among.max()), 1e-12))
    label = say(
        "The framed patch ({place}) looks at these words, and at these patches ({where})",
        place=say("row {row}, column {column}", row=row, column=column),
        where=which(layer, head),
    )
    words = viz.token_buttons(seen.tokens, words_of(seen, weights, row, column), label=label)
    return framed(picture, row, column, seen.grid), words + viz.note(CAVEAT)


def which(layer: int | str | None, head: int | None) -> str:
    """'rollout, all heads', 'layer 2, head 3', 'all layers, all heads'."""
    if layer == ROLLOUT:
        return say("rollout, all heads") if head is None else say("rollout, head {head}", head=head + 1)
    if layer is None:
        return say("all layers, all heads") if head is None else say("all layers, head {head}", head=head + 1)
    if head is None:
        return say("layer {layer}, all heads", layer=int(layer) + 1)
    return say("layer {layer}, head {head}", layer=int(layer) + 1, head=head + 1)


# Below the answer: a hint before the first click, then results


def senses_hint() -> str:
    return viz.note("What is left of the answer when one of the two is missing?", kind="hint")


def senses_view(labels: Sequence[str], scores: Mapping[str, Array], answer: str) -> str:
    """The same question with both, without the picture, without the question.

    Args:
        labels: the C answers.
        scores: (C,) by which senses the network had.
        answer: the one whose score is compared.
    """
    place = list(labels).index(answer)
    names = [say(name) for name in scores]
    rows, shares = [], []
    for name, found in zip(names, scores.values(), strict=True):
        best = int(found.argmax())
        rows.append([name, labels[best], f"{float(found[best]):.1%}", f"{float(found[place]):.1%}"])
        shares.append(float(found[place]))
    head = ["", "says", "with", say("gives “{answer}”", answer=answer)]
    table = viz.table(head, rows, label="What is left of the answer")
    bars = viz.bars(names, shares, label=say("Score of “{answer}”", answer=answer), full=1.0)
    return viz.side_by_side(table, bars)


def tags_hint() -> str:
    return viz.note("No tags yet.", kind="hint")


def tags_view(tags: Sequence[tuple[str, str, float]]) -> str:
    """The name of each tag, its answer and the answer's score."""
    rows = [[name, answer, f"{score:.1%}"] for name, answer, score in tags]
    return viz.table(["", "answer", "score"], rows, label="Tags")


def ranking_hint() -> str:
    return viz.note("Nothing is ranked yet.", kind="hint")


def ranking(names: Sequence[str], scores: Sequence[float], label: str) -> str:
    """The best first."""
    order = sorted(range(len(names)), key=lambda i: -scores[i])
    return viz.bars([names[i] for i in order], [scores[i] for i in order], label=label, full=1.0)


def frames_hint() -> str:
    return viz.note("The circle goes past the square: when does the answer change?", kind="hint")


def over_time(labels: Sequence[str], moments: Sequence[Moment], count: int = 3) -> dict[str, list[Any]]:
    """Columns second, score and answer: the clip's best answers, in every frame."""
    mean = np.mean([moment.scores for moment in moments], axis=0)
    best = np.argsort(-mean, kind="stable")[:count].tolist()
    pairs = [(moment, i) for i in best for moment in moments]
    return {
        "second": [round(moment.seconds, 2) for moment, _ in pairs],
        "score": [float(moment.scores[i]) for moment, i in pairs],
        "answer": [labels[i] for _, i in pairs],
    }


def frames_view(labels: Sequence[str], moments: Sequence[Moment], most: int) -> str:
    """The answer to each frame."""
    rows = []
    for moment in moments:
        best = int(moment.scores.argmax())
        rows.append([clock(moment.seconds), labels[best], f"{float(moment.scores[best]):.1%}"])
    label = say("Frame by frame ({count} of at most {most} frames)", count=len(moments), most=most)
    return viz.table(["time", "answer", "score"], rows, label=label)


def clock(seconds: float) -> str:
    """
    >>> clock(62.5)
    '1:02.5'
    """
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def rows_hint() -> str:
    return viz.note("No table yet.", kind="hint")


def progress_view(done: int, total: int) -> str:
    return viz.progress(done, total, label="Reading your table")


def rows_view(rows: Sequence[Row]) -> str:
    """How many rows were answered, the frequent answers, and the first problems."""
    answered = [row for row in rows if row.problem is None]
    counts = Counter(row.answer for row in answered).most_common(10)
    summary = say("{count} of {all} rows were answered.", count=f"{len(answered):,}", all=f"{len(rows):,}")
    notes = viz.note(summary, kind="lesson")
    for row in [row for row in rows if row.problem is not None][:5]:
        notes += viz.note(say("Row {number}: {problem}", number=row.number, problem=row.problem_text()))
    if counts:
        names, numbers = zip(*counts, strict=True)
        shares = [number / len(answered) for number in numbers]
        notes += viz.bars(names, shares, label="Answers", notes=[f"{number:,}" for number in numbers], full=1.0)
    return notes
