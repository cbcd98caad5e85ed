"""What `viz` draws is well-formed, whatever it is given."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from demo_app import viz
from demo_app.testing.markup import faults

TEXTS = ["", " ", "word", "a < b & c > d", "\"quoted\" 'twice'", "<b>bold</b>", "</div>", "<!-- x", "&amp;", "&", "]]>"]
TEXTS += ["中文，标点。", "עברית", "\u202e\u200b\x00\x1b", "line\nbreak", "👩‍👩‍👧", "{{x}} ${y} `z`", "x" * 300]
NUMBERS = [0.0, 1.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"), 0.00049, 12345.678]
COUNTS = (0, 1, 2, 3, 7)
Draw = Callable[[random.Random], str]


def texts(rng: random.Random, count: int) -> list[str]:
    return [rng.choice(TEXTS) for _ in range(count)]


def numbers(rng: random.Random, *shape: int) -> Any:
    return np.array([rng.choice(NUMBERS) for _ in range(int(np.prod(shape)))], np.float64).reshape(shape)


def strip(rng: random.Random) -> str:
    n = rng.choice(COUNTS)
    flags = [[rng.random() < 0.5 for _ in range(n)] for _ in range(2)]
    options = {"joined": flags[0], "special": flags[1], "diverging": rng.random() < 0.5}
    return viz.token_strip(texts(rng, n), numbers(rng, n), label=rng.choice(TEXTS), **options)


def buttons(rng: random.Random) -> str:
    n = rng.choice(COUNTS)
    return viz.token_buttons(texts(rng, n), numbers(rng, n), label=rng.choice(TEXTS), selected=rng.choice((None, 0)))


def bars(rng: random.Random) -> str:
    n = rng.choice(COUNTS)
    options = {"notes": texts(rng, n), "diverging": rng.random() < 0.5, "percent": rng.random() < 0.5}
    return viz.bars(texts(rng, n), numbers(rng, n), label=rng.choice(TEXTS), **options)


def heat_map(rng: random.Random) -> str:
    rows, columns = rng.choice(COUNTS[1:]), rng.choice(COUNTS[1:])
    axes = {"row_axis": rng.choice(TEXTS), "column_axis": rng.choice(TEXTS)}
    weights = numbers(rng, rows, columns)
    return viz.heat_map(weights, texts(rng, rows), texts(rng, columns), label=rng.choice(TEXTS), **axes)


def heads(rng: random.Random) -> str:
    return viz.heads_grid(numbers(rng, 2, 3, 2, 2), label=rng.choice(TEXTS), selected=rng.choice((None, (1, 2))))


def tiles(rng: random.Random) -> str:
    n = rng.choice(COUNTS[1:])
    return viz.tiles(numbers(rng, n, 3, 3), label=rng.choice(TEXTS), names=texts(rng, n), shared=rng.random() < 0.5)


def lines(rng: random.Random) -> str:
    points = {text: [(float(x), rng.choice(NUMBERS)) for x in range(rng.choice(COUNTS))] for text in texts(rng, 2)}
    return viz.lines(points, label=rng.choice(TEXTS), axis=rng.choice(TEXTS), percent=rng.random() < 0.5)


def confusion(rng: random.Random) -> str:
    n = rng.choice(COUNTS[1:])
    counts = np.array([rng.randrange(5) for _ in range(n * n)]).reshape(n, n)
    axes = {"row_axis": rng.choice(TEXTS), "column_axis": rng.choice(TEXTS)}
    return viz.confusion(counts, texts(rng, n), label=rng.choice(TEXTS), **axes)


def table(rng: random.Random) -> str:
    n = rng.choice(COUNTS[1:])
    rows = [texts(rng, n) for _ in range(rng.choice(COUNTS))]
    return viz.table(texts(rng, n), rows, label=rng.choice(TEXTS), data=rng.random() < 0.5)


def progress(rng: random.Random) -> str:
    return viz.progress(rng.choice(COUNTS), rng.choice(COUNTS), label=rng.choice(TEXTS))


def note(rng: random.Random) -> str:
    return viz.note(rng.choice(TEXTS), kind=rng.choice(("small", "hint", "lesson", "card", "alert")))


def side(rng: random.Random) -> str:
    return viz.side_by_side(bars(rng), table(rng))


@pytest.mark.parametrize(
    "draw",
    [strip, buttons, bars, heat_map, heads, tiles, lines, confusion, table, progress, note, side],
    ids=lambda draw: draw.__name__,
)
def test_a_drawing_is_well_formed_whatever_is_in_it(draw: Draw) -> None:
    for seed in range(100):
        drawn = draw(random.Random(seed))

        assert faults(drawn) == [], f"seed {seed}: {drawn}"


def test_every_drawing_function_is_tried_here() -> None:
    """A new function of `viz` that returns HTML gets its line above."""
    tried = {"token_strip", "token_buttons", "bars", "heat_map", "heads_grid", "tiles", "lines", "confusion", "table"}
    tried |= {"progress", "note", "side_by_side"}
    public = {
        name
        for name, value in vars(viz).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "").startswith("demo_app.viz")
    }

    assert public - {"escape", "script", "style"} == tried


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<p>a", "<p> is never closed"),
        ("a</div>", "</div> closes what nothing opened"),
        ("<div><i></div></i>", "</div> comes before </i>"),
        ("<p>1 < 2</p>", "a bare <"),
        ("<p>a & b</p>", "a bare &"),
        ("<i/>", "<i/> closes nothing"),
        ("<br></br>", "</br>, which has no end"),
        ("<p><div></div></p>", "<div> in <p>"),
        ("<div><li></li></div>", "<li> in <div>"),
        ('<p class="a" class="b"></p>', "the attribute class twice"),
        ('<p title="a"b"></p>', "a quotation mark is missing"),
        ("<p <b>x</b></p>", "a quotation mark is missing"),
        ("<p>x</p><b", "an unfinished tag"),
        ("<!-- x --><p></p>", "a comment"),
    ],
)
def test_what_a_browser_would_repair_is_a_fault(html: str, fault: str) -> None:
    assert any(fault in found for found in faults(html)), faults(html)


def test_good_html_has_no_fault() -> None:
    good = (
        '<figure class="viz"><svg viewBox="0 0 1 1"><path d="M0,0"/><g><rect></rect></g></svg><br><p>&lt; 中 &amp;</p>'
    )
    assert faults(good + "<ul><li>a</li></ul><table><tbody><tr><td>1</td></tr></tbody></table></figure>") == []
