"""The generator's views: no token becomes markup, every view has words, no odd number breaks one."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from demo_app_decoder_generator import cards, charts, views
from demo_app_decoder_generator.explain import Candidate, Look, Piece, Surprise, Timing
from demo_app_decoder_generator.prompts import Prompt
from demo_app_decoder_generator.walk import Walk
from demo_app_decoder_generator.writing import Progress
from demo_app_decoder_generator.zh_cn import ZH_CN

from demo_app import i18n

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "${alert(1)}`{{alert(1)}}",
    "</style><svg/onload=alert(1)>",
]
TAGS = {"figure", "figcaption", "div", "span", "i", "p", "ul", "li", "button", "br", "section", "h4"}
TAGS |= {"pre", "mark", "table", "thead", "tbody", "tr", "th", "td", "svg", "path", "rect", "text"}
ATTRIBUTES = {
    "class",
    "style",
    "title",
    "role",
    "dir",
    "tabindex",
    "type",
    "scope",
    "aria-label",
    "aria-hidden",
    "translate",
}
ATTRIBUTES |= {"aria-pressed", "data-layer", "data-head", "data-token"}
ATTRIBUTES |= {"viewbox", "preserveaspectratio", "width", "height", "d", "x", "y"}


class Page(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.tags if name in attributes.get("class", "").split()]


def candidate(**changes: Any) -> Candidate:
    return replace(Candidate(id=7, text="·the", before=0.4, after=0.6, kept=True), **changes)


def look(text: str = "·the", length: int = 3) -> Look:
    """Two layers of three heads that look at three tokens."""
    return Look(
        logits=np.zeros(5, np.float32),
        ids=np.array([1, 2, 3]),
        tokens=("a", text, "c"),
        attention=np.tile(np.array([0.7, 0.2, 0.1], np.float16), (2, 3, 1)),
        lens_ids=np.array([[[1, 0], [2, 0], [3, 0]], [[4, 0], [4, 0], [0, 3]], [[4, 0], [3, 0], [0, 3]]]),
        lens_tokens=((("a", "x"), (text, "x"), ("c", "x")),) * 2 + ((("d", "x"), ("c", "x"), (text, "c")),),
        lens=np.full((3, 3, 2), 0.25, np.float16),
        length=length,
        truncated=False,
        milliseconds=1.0,
    )


def surprise(*pieces: Piece, **changes: Any) -> Surprise:
    scored = [piece for piece in pieces if piece.nats is not None]
    return replace(
        Surprise(
            pieces=pieces,
            tokens=len(scored),
            characters=sum(len(piece.text) for piece in scored),
            nats=sum(piece.nats or 0.0 for piece in scored),
            vocabulary=65,
            unknown="",
            truncated=False,
            milliseconds=3.0,
        ),
        **changes,
    )


def piece(text: str, nats: float | None, expected: str = "e") -> Piece:
    return Piece(text=text, nats=nats, expected=expected, share=0.5)


def walk(text: str) -> Walk:
    prompt = Prompt(ids=(1, 2), shown=text, max_tokens=9)
    return Walk(checkpoint="tiny", prompt=prompt, taken=(3,), written=text, look=look(text))


TIMING = Timing(lengths=(5, 6, 7, 8, 9), cached=(1, 1, 1, 1, 1), uncached=(2, 4, 6, 8, 10), done=True)


def everything(text: str) -> list[str]:
    return [
        views.candidates_view([candidate(text=text), candidate(text=text, id=8, kept=False)], 7),
        charts.surprise_view(
            surprise(piece(text, None), piece(text, 1.0, text), Piece(text=text, known=False), unknown=text)
        ),
        views.lens_view(look(text)),
        views.attention_view(look(text), 1, 2),
        views.walk_view(walk(text)),
    ]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_token_becomes_markup(attack: str) -> None:
    for html in everything(attack):
        page = Page(html)
        assert {tag for tag, _ in page.tags} <= TAGS
        assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
        assert attack in page.text


def test_the_text_so_far_is_one_element_with_what_was_taken_marked() -> None:
    html = views.walk_view(walk("O night"))
    page = Page(html)  # fails at a tag that is closed twice
    assert [tag for tag, _ in page.tags] == ["pre", "span", "mark"]
    assert "viz" in page.all("pre")[0]["class"].split()  # which has the colours of `mark`


def test_views_without_tokens_are_sound_markup_too() -> None:
    notes = cards.notes_view(["seed 3"])
    for html in (charts.timing_view(TIMING), charts.decoder_only_view(), cards.opening_view(), notes):
        page = Page(html)
        assert {tag for tag, _ in page.tags} <= TAGS
        assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30, -1.0, 0.0])
def test_no_number_breaks_a_picture(number: float) -> None:
    with np.errstate(over="ignore"):  # half precision has no 1e30
        odd = replace(look(), attention=np.full((2, 3, 3), number, np.float16), lens=np.full((3, 3, 2), number, "e"))
    for html in (
        views.candidates_view([candidate(before=number, after=number), candidate(id=8)]),
        charts.surprise_view(surprise(piece("a", None), piece("b", number), piece("c", 1.0))),
        views.lens_view(odd),
        views.attention_view(odd),
    ):
        Page(html)
        assert all(0 <= float(share) <= 1 for share in re.findall(r"--v:([^;\"]+)", html))


def test_nothing_to_show_says_so() -> None:
    assert "No token yet" in views.candidates_view([])
    assert "nothing that the network can read" in charts.surprise_view(surprise())
    assert "write more" in charts.surprise_view(surprise(piece("a", None)))
    assert "Nothing measured" in charts.timing_view(Timing(lengths=(), cached=(), uncached=(), done=False))


def test_each_candidate_is_a_button_that_carries_its_id() -> None:
    html = views.candidates_view(
        [candidate(), candidate(id=9, text="·a", before=0.1, after=0.0, kept=False)], chosen_id=9
    )
    first, second = Page(html).all("button")
    assert (first["data-token"], second["data-token"]) == ("7", "9")
    assert (first["aria-pressed"], second["aria-pressed"]) == ("false", "true")
    assert first["aria-label"] == "·the: 40.0 % by the network, 60.0 % drawn"
    assert second["aria-label"] == "·a: 10.0 % by the network, never drawn"
    assert "gen-out" in second["class"]
    assert "trigger" in views.script()
    assert "data-token" in views.script()


def test_bars_have_the_candidates_shares_and_the_rest_has_what_remains() -> None:
    page = Page(views.candidates_view([candidate(before=0.4, after=0.8), candidate(id=8, before=0.2, after=0.1)]))
    shares = [float(i["style"].removeprefix("--v:")) for i in page.all("i") if "style" in i]
    assert shares == pytest.approx([0.5, 1.0, 0.25, 0.125, 0.5, 0.125], abs=1e-3)
    assert "all others40.0 %10.0 %" in page.text


def test_the_surprise_keeps_the_text_and_its_lines() -> None:
    said = surprise(piece("It ", None), piece("was\n", 0.5), piece("\n", 0.1), piece("  the", 2.0))
    page = Page(charts.surprise_view(said))
    assert "It was↵\n↵\n  the" in page.text
    assert [span["style"] for span in page.of_class("viz-token")] == [
        f"--v:{nats / math.log(65):.3f}" for nats in (0, 0.5, 0.1, 2.0)
    ]
    assert page.of_class("viz-token")[3]["title"] == "p = 13.5 %, 2.00 nats; likeliest: e 50.0 %"
    assert "3 tokens scored · 2.6 nats · 0.867 nats per token · perplexity 2.38 · 0.375 bits per character" in page.text


def test_the_most_surprising_come_first_with_what_was_before_them() -> None:
    said = surprise(piece("the", None), piece(" cat", 1.0), piece(" sang", 4.0, "·sat"), piece(".", 0.1))
    page = Page(charts.surprise_view(said))
    assert "·sang4.00after “the cat”; likeliest: ·sat 50.0 %·cat1.00" in page.text
    assert "Most:  sang after the cat" in page.of_class("gen-text")[0]["aria-label"]


def test_the_surprise_says_what_it_did_not_read() -> None:
    said = surprise(piece("a", None), piece("b", 1.0), Piece(text="€", known=False), unknown="€", truncated=True)
    page = Page(charts.surprise_view(said))
    assert "the rest of the text was not read · no token for: €" in page.text
    assert page.of_class("gen-unknown")[0]["title"] == "no token is for this; it was left out"


def test_the_lens_has_a_row_for_each_layer_with_the_last_on_top() -> None:
    page = Page(views.lens_view(look()))
    assert "aftera·thec2d" in page.text  # the column names, then layer 2
    assert page.text.index("embedding") > page.text.index("2d")
    cells = page.all("td")
    assert len(cells) == 9
    assert cells[0]["title"] == "layer 2, after a: d 25.0 %, x 25.0 %"
    assert cells[0]["style"] == "--v:0.25"
    assert [i for i, cell in enumerate(cells) if cell.get("class") == "gen-hit"] == [1]  # layer 2 foresaw the c
    box = page.of_class("gen-lens")[0]
    assert box["tabindex"] == "0"  # scrolls by keyboard
    assert box["aria-label"].endswith("from the embedding to the last layer: c, c, ·the")


def test_attention_is_scaled_to_what_is_no_sink() -> None:
    page = Page(views.attention_view(look(), 1, 2))
    assert [span["style"] for span in page.of_class("viz-token")] == ["--v:1.000", "--v:1.000", "--v:0.500"]
    assert "70% rests on the first token" in page.text
    assert "layer 2, head 3" in page.text
    assert [b["aria-label"] for b in page.all("button") if b["aria-pressed"] == "true"] == ["Layer 2, head 3"]
    assert len(page.all("button")) == 6


def test_the_attention_of_a_long_text_says_how_much_of_it_is_drawn() -> None:
    page = Page(views.attention_view(look(length=900)))
    assert "of 900 tokens are drawn; 100% rests on them" in page.text
    assert page.of_class("viz-token")[0]["style"] == "--v:1.000"  # no first token, so no sink
    assert "all layers, all heads" in page.text
    assert "rests on the first token" not in page.text


def test_the_plot_has_both_lines_axes_and_words() -> None:
    html = charts.timing_view(TIMING)
    page = Page(html)
    plot = next(svg for svg in page.all("svg") if svg.get("role") == "img")
    said = "At 9 tokens: 1.0 ms with the cache, 6.0 ms without, 6.0 times as long."  # medians of the last five
    assert plot["aria-label"] == f"What one more token costs. {said}"
    assert said in page.text
    assert "ms per token" in page.text
    assert "579 tokens" in page.text  # the marks 5, 7 and 9
    cached, uncached = (
        next(p["d"] for p in page.all("path") if p["class"] == kind and p["d"] != "M0 4H24")
        for kind in ("gen-cached", "gen-uncached")
    )
    points = [tuple(map(float, point.split())) for point in uncached[1:].split("L")]
    assert [x for x, _ in points] == [0, 25, 50, 75, 100]
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)  # it rises
    assert len({point.split()[1] for point in cached[1:].split("L")}) == 1
    assert "never changes" in page.text


def test_one_hiccup_does_not_flatten_the_plot() -> None:
    slow = replace(TIMING, lengths=tuple(range(60)), cached=(1.0,) * 60, uncached=(5.0,) * 59 + (900.0,), done=False)
    html = charts.timing_view(slow)
    marks = re.search(r'gen-y" aria-hidden="true"><span>([\d.]+)', html)
    assert marks is not None
    assert float(marks[1]) < 10
    assert "never changes" not in Page(html).text  # the lesson comes at the end


def test_the_panel_draws_one_triangle_beside_three_masks() -> None:
    page = Page(charts.decoder_only_view())
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert labels == [
        "6 x 6, a triangle: nobody looks ahead",
        "3 x 3, all filled",
        "3 x 3, a triangle: nobody looks ahead",
        "3 x 3, all filled",
    ]
    filled = [rect for rect in page.all("rect") if rect.get("class")]
    assert len(filled) == 21 + 9 + 6 + 9


def test_the_style_sheet_is_safe_in_a_template_and_needs_nothing_from_elsewhere() -> None:
    sheet = views.style()
    assert not re.search(r"`|\$\{|\{\{|http|@import", sheet)  # Gradio evaluates it as a template of both kinds
    assert sheet.count("{") == sheet.count("}")
    used = {
        name
        for html in [*everything("x"), charts.timing_view(TIMING), charts.decoder_only_view()]
        for name in re.findall(r"gen-[a-z]+", html)
    }
    assert {name for name in used if name not in sheet} == set()


def test_all_words_of_the_views_are_there_in_chinese() -> None:
    catalog = i18n.Catalog({"zh-CN": ZH_CN})
    with i18n.speaking(catalog, "zh-CN"):
        html = "".join(
            [
                *everything("Free"),
                charts.surprise_view(surprise(piece("Free", 1.0, "Free"), truncated=True, unknown="Free")),
                charts.surprise_view(surprise(piece("Free", None))),
                views.attention_view(look("Free", length=900)),
                charts.timing_view(TIMING),
                charts.timing_view(replace(TIMING, uncached=(0.5,) * 5)),
                cards.opening_view(),
                cards.notes_view(cards.speed(Progress("Free", 20, 0.1, 1.0))),
            ]
        )
    attributes = re.findall(r'(?:title|aria-label)="([^"]*)"', html)
    words = set(re.findall(r"[A-Za-z]{3,}", " ".join([re.sub(r"<[^>]*>", " ", html), *attributes])))
    words -= {"Free", "shakespeare"}  # data
    words -= {"token", "nat", "log", "Logit", "lens", "nostalgebraist", "attention", "sink", "Xiao"}  # as papers say
    assert words <= {"Layer", "layer", "head", "Strongest"}  # the host's, which it translates
    assert "不限" not in html  # a token that is called as a button is not translated


def test_views_stay_small() -> None:
    rng = np.random.default_rng(0)
    large = replace(
        look(),
        ids=np.arange(64),
        tokens=("token",) * 64,
        attention=rng.dirichlet(np.ones(64), size=(30, 9)).astype(np.float16),
        lens_ids=rng.integers(0, 9, (31, 13, 3)),
        lens_tokens=(((("token",) * 3),) * 13,) * 31,
        lens=np.full((31, 13, 3), 0.1, np.float16),
    )
    assert len(views.attention_view(large)) < 100_000
    assert len(views.lens_view(large)) < 60_000
    assert len(charts.surprise_view(surprise(*[piece("e", 1.0)] * 2000))) < 260_000
