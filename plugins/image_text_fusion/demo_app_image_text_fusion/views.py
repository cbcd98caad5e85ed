"""How it looks: arrays and numbers in, pictures and HTML out. No torch and no gradio."""

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
from demo_app.viz.overlay import framed, heat
from demo_app_image_text_fusion.explain import ROLLOUT, Array, Seen, matrix, patches_of, words_of

if TYPE_CHECKING:
    from demo_app_image_text_fusion.many import Row
    from demo_app_image_text_fusion.video import Moment

SHOWN = 384  # pixels of the longer side at which a picture is shown
CAVEAT = "Attention shows what was fetched from where, not why the answer came out. The experiment: blind and deaf."


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At the size at which it is shown; small pictures keep their pixels' edges."""
    scale = SHOWN / max(picture.shape[:2])
    how = Image.Resampling.NEAREST if scale > 3 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize(shown_size(picture), how))


def shown_size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height at which a picture is shown."""
    scale = SHOWN / max(picture.shape[:2])
    return round(picture.shape[1] * scale), round(picture.shape[0] * scale)


def from_word(seen: Seen, layer: int | str | None, head: int | None, token: int) -> tuple[Any, str]:
    """What a word looks at: the picture with its patches lit, and the words with that one chosen."""
    weights = matrix(seen, layer, head)
    picture = heat(enlarged(seen.picture), patches_of(seen, weights, token))
    among = weights[token, : len(seen.tokens)]
    label = f"“{seen.tokens[token]}” looks at these patches, and at these words ({which(layer, head)})"
    return picture, viz.token_buttons(seen.tokens, among, label=label, selected=token) + viz.note(CAVEAT)


def from_patch(seen: Seen, layer: int | str | None, head: int | None, row: int, column: int) -> tuple[Any, str]:
    """What a patch looks at: the words lit, and the picture with that patch framed."""
    weights = matrix(seen, layer, head)
    first = len(seen.tokens) + seen.extra
    among = weights[first + row * seen.grid[1] + column, first:].reshape(seen.grid)
    picture = heat(enlarged(seen.picture), among / max(float(among.max()), 1e-12))
    where = f"row {row}, column {column}"
    label = f"The framed patch ({where}) looks at these words, and at these patches ({which(layer, head)})"
    words = viz.token_buttons(seen.tokens, words_of(seen, weights, row, column), label=label)
    return framed(picture, row, column, seen.grid), words + viz.note(CAVEAT)


def which(layer: int | str | None, head: int | None) -> str:
    """'rollout', 'layer 2, head 3', 'all layers, all heads'."""
    heads = "all heads" if head is None else f"head {head + 1}"
    if layer == ROLLOUT:
        return f"rollout, {heads}"
    return f"{'all layers' if layer is None else f'layer {int(layer) + 1}'}, {heads}"


def card(seen: Seen) -> str:
    """One line on the model and what it read; then what must be said."""
    side = f"{seen.picture.shape[1]} × {seen.picture.shape[0]}"
    parts = [
        display_name(seen.checkpoint),
        f"{seen.parameters / 1e6:.1f} M parameters, {seen.precision}",
        f"forward pass {seen.milliseconds:.1f} ms",
        f"{len(seen.tokens)} words and {seen.grid[0] * seen.grid[1]} patches of {side} pixels",
    ]
    said = viz.note(" · ".join(parts), kind="card")
    if seen.truncated:
        said += viz.note(f"The question is longer than {len(seen.tokens)} tokens; the rest was not read.")
    if seen.unknown:
        said += viz.note(f"It does not know: {', '.join(seen.unknown[:8])}.")
    return said


def senses_view(labels: Sequence[str], scores: Mapping[str, Array], answer: str) -> str:
    """The same question with both, without the picture, without the question."""
    place = list(labels).index(answer)
    rows, shares = [], []
    for name, found in scores.items():
        best = int(found.argmax())
        rows.append([name, labels[best], f"{float(found[best]):.1%}", f"{float(found[place]):.1%}"])
        shares.append(float(found[place]))
    table = viz.table(["", "says", "with", f"gives “{answer}”"], rows, label="What is left of the answer")
    bars = viz.bars(list(scores), shares, label=f"Score of “{answer}”", full=1.0)
    return viz.side_by_side(table, bars)


def ranking(names: Sequence[str], scores: Sequence[float], label: str) -> str:
    """The best first."""
    order = sorted(range(len(names)), key=lambda i: -scores[i])
    return viz.bars([names[i] for i in order], [scores[i] for i in order], label=label, full=1.0)


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
    """What each frame is answered."""
    rows = []
    for moment in moments:
        best = int(moment.scores.argmax())
        rows.append([clock(moment.seconds), labels[best], f"{float(moment.scores[best]):.1%}"])
    left = f"{len(moments)} of at most {most} frames"
    return viz.table(["time", "answer", "score"], rows, label=f"Frame by frame ({left})")


def clock(seconds: float) -> str:
    """'1:02.5'."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def progress_view(done: int, total: int) -> str:
    return viz.bars([f"{done:,} of {total:,} rows"], [done / total], label="Reading your table", full=1.0)


def rows_view(rows: Sequence[Row]) -> str:
    """How many rows were answered, the frequent answers, and the first problems."""
    answered = [row for row in rows if not row.problem]
    counts = Counter(row.answer for row in answered).most_common(10)
    said = viz.note(f"{len(answered):,} of {len(rows):,} rows were answered.", kind="lesson")
    for row in [row for row in rows if row.problem][:5]:
        said += viz.note(f"Row {row.number}: {row.problem}")
    if counts:
        names, numbers = zip(*counts, strict=True)
        shares = [number / len(answered) for number in numbers]
        said += viz.bars(names, shares, label="Answers", notes=[f"{number:,}" for number in numbers], full=1.0)
    return said
