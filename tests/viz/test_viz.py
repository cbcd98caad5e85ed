"""The pictures: nothing a visitor wrote becomes markup, every picture has words, nothing odd breaks one."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from demo_app import viz

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "${alert(1)}`{{alert(1)}}",
    "</style><svg/onload=alert(1)>",
]
TAGS = {"figure", "figcaption", "div", "span", "i", "b", "p", "ul", "li", "button"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td", "svg", "polyline", "path"}
ATTRIBUTES = {"class", "style", "title", "role", "dir", "tabindex", "type", "aria-label", "aria-hidden", "aria-live"}
ATTRIBUTES |= {
    "aria-pressed",
    "data-layer",
    "data-head",
    "data-tile",
    "scope",
    "translate",
    "data-levels",
    "data-largest",
    "data-axes",
    *("viewbox", "preserveaspectratio", "points", "d"),
}


class Page(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def find(self, name: str, value: str) -> list[dict[str, str]]:
        """The attributes of every element that has this one."""
        return [attributes for _, attributes in self.tags if attributes.get(name) == value]


def pictures(text: str) -> list[str]:
    names = [text, "b"]
    return [
        viz.token_strip(names, [1, -2], label=text, diverging=True, ends=(text, text)),
        viz.bars(names, [0.2, 0.8], label=text, notes=names),
        viz.heat_map([[1, 0], [0, 1]], names, names, label=text, row_axis=text, column_axis=text),
        viz.heads_grid(np.ones((1, 2, 2, 2)), label=text),
        viz.tiles(np.ones((2, 3, 3)), label=text, names=names, ends=(text, text)),
        viz.table(names, [names], label=text),
        viz.lines({text: [(0, 1), (1, 2)], "b": [(0, 1)]}, label=text, axis=text),
        viz.confusion([[1, 0], [0, 1]], names, label=text, row_axis=text, column_axis=text),
        viz.note(text, kind="hint"),
        viz.note(text, kind="alert"),
    ]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_becomes_markup(attack: str) -> None:
    for html in pictures(attack):
        page = Page(html)
        assert not page.open
        assert {tag for tag, _ in page.tags} <= TAGS
        assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
        assert attack in page.text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e30, 0.0])
def test_no_number_breaks_a_picture(number: float) -> None:
    for html in (
        viz.token_strip(["a", "b"], [number, 1.0], label="x", diverging=True),
        viz.bars(["a", "b"], [number, 0.5], label="x"),
        viz.heat_map([[number, 1.0]], ["a"], ["b", "c"], label="x"),
        viz.heads_grid([[[[number, 1.0]]]], label="x"),
        viz.tiles([[[number, 1.0]]], label="x", names=["a"]),
        viz.lines({"a": [(0, number), (1, 1.0)]}, label="x", axis="y"),
        viz.confusion([[number, 1.0], [0, 0]], ["a", "b"], label="x", row_axis="y", column_axis="z"),
    ):
        assert not re.search(r"nan|inf\b", html)
        assert all(0 <= float(share) <= 1 for share in re.findall(r"--v:([^;\"]+)", html))


def test_nothing_to_show_is_still_a_picture() -> None:
    for html in (
        viz.token_strip([], [], label="x"),
        viz.bars([], [], label="x"),
        viz.heat_map(np.zeros((0, 0)), [], [], label="x"),
        viz.heads_grid(np.zeros((0, 0, 0, 0)), label="x"),
        viz.tiles(np.zeros((0, 3, 3)), label="x", names=[]),
        viz.lines({"a": [], "b": []}, label="x", axis="y"),
        viz.confusion(np.zeros((0, 0)), [], label="x", row_axis="y", column_axis="z"),
    ):
        assert not Page(html).open


def test_numbers_that_do_not_fit_their_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        viz.token_strip(["a", "b"], [1, 2, 3], label="x")
    with pytest.raises(ValueError, match="shape"):
        viz.heat_map(np.ones((2, 3)), ["a"], ["b"], label="x")
    with pytest.raises(ValueError, match="layers, heads, queries, keys"):
        viz.heads_grid(np.ones((2, 3)), label="x")
    with pytest.raises(ValueError, match="2 names"):
        viz.tiles(np.ones((3, 2, 2)), label="x", names=["a", "b"])
    with pytest.raises(ValueError, match="2 cells"):
        viz.table(["a", "b", "c"], [["d", "e"]], label="x")


def test_every_picture_has_a_text_alternative() -> None:
    strip = Page(viz.token_strip(["not", "bad"], [0.4, -0.9], label="What counts", diverging=True))
    assert strip.find("role", "img")[0]["aria-label"] == "What counts. Strongest: bad -0.90, not 0.40."
    heat = Page(viz.heat_map([[0.1, 0.9], [0.5, 0.5]], ["a", "b"], ["c", "d"], label="Who looks"))
    assert heat.find("role", "img")[0]["aria-label"].startswith("Who looks. Largest: a to d 0.90, ")
    grid = Page(viz.heads_grid(np.ones((2, 3, 4, 4)), label="Heads"))
    assert grid.find("role", "group")[0]["aria-label"] == "Heads"
    assert [a["aria-label"] for tag, a in grid.tags if tag == "button"][-1] == "Layer 2, head 3"
    curves = Page(viz.lines({"a": [(0, 3), (1, 0.5)], "b": [(1, 0.75)]}, label="Loss", axis="epoch"))
    assert curves.find("role", "img")[0]["aria-label"] == "Loss. a 0.50, b 0.75."
    assert Page(viz.bars(["a"], [1], label="Shares")).tags[2] == ("ul", {"class": "viz-bars", "aria-label": "Shares"})


def test_the_sign_is_told_without_colour() -> None:
    page = Page(viz.token_strip(["up", "down"], [1, -1], label="x", diverging=True))
    assert [a["class"] for _, a in page.tags if "viz-token" in a.get("class", "")] == [
        "viz-token viz-up",
        "viz-token viz-down",
    ]
    assert "-50.0 pp" in viz.bars(["a"], [-0.5], label="x", diverging=True)
    assert "+0.0 pp" in viz.bars(["a"], [-0.0001], label="x", diverging=True)


def test_curves_reach_from_corner_to_corner_and_keep_their_colours() -> None:
    page = Page(viz.lines({"a": [(0, 0), (2, 4)], "b": [(1, 1)]}, label="x", axis="y"))
    assert [a["points"] for tag, a in page.tags if tag == "polyline"] == ["0.0,1000.0 1000.0,0.0", "500.0,750.0"]
    alone = viz.lines({"a": [], "b": [(1, 1)]}, label="x", axis="y")
    assert "viz-first" not in alone
    assert "viz-second" in alone


def test_confusions_are_whole_numbers_on_their_share_of_the_row() -> None:
    page = Page(viz.confusion([[3, 1], [0, 2]], ["a", "b"], label="x", row_axis="is", column_axis="said"))
    cells = [attributes for tag, attributes in page.tags if tag == "td"]
    assert [cell["style"] for cell in cells] == ["--v:0.750", "--v:0.250", "--v:0.000", "--v:1.000"]
    assert [cell["class"] for cell in cells] == ["viz-up", "viz-down", "viz-down", "viz-up"]
    assert page.text == "xis \\ saidaba31b·2"


def test_tokens_keep_their_gaps() -> None:
    page = Page(viz.token_strip(["un", "likely", "."], [1, 1, 1], label="", joined=[False, True, False]))
    assert page.text.endswith("unlikely .")


@pytest.mark.parametrize(
    ("text", "shown"), [("\u200b", "U+200B"), ("\x00", "U+0000"), ("\ud800", "U+D800"), ("é", "é")]
)
def test_what_cannot_be_seen_is_named(text: str, shown: str) -> None:
    assert viz.escape(text) == shown
    assert shown in viz.token_strip([text], [1], label="x").encode().decode()


def test_a_heat_map_carries_its_weights_as_opacity() -> None:
    weights = np.array([[0.0, 0.25], [0.5, 1.0]])
    html = viz.heat_map(weights * 0.3, ["a", "b"], ["c", "d"], label="x")
    image = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^)]+)\)", html)[1])))
    assert np.asarray(image)[..., 1].tolist() == [[0, 64], [128, 255]]
    assert 'data-levels="004080ff"' in html
    assert 'data-largest="0.300000"' in html


def test_thumbnails_come_from_one_picture_each_scaled_to_its_own_largest_weight() -> None:
    attention = np.zeros((2, 3, 4, 4))
    attention[1, 2] = np.eye(4) * 0.1
    html = viz.heads_grid(attention, label="x", selected=(1, 2))
    image = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^)]+)\)", html)[1])))
    opacity = np.asarray(image)[..., 1]
    assert opacity.shape == (8, 12)
    assert opacity[4:, 8:].tolist() == (np.eye(4) * 255).tolist()
    assert opacity.sum() == 4 * 255
    assert [a["aria-label"] for a in Page(html).find("aria-pressed", "true")] == ["Layer 2, head 3"]


def test_tiles_show_each_sign_in_a_colour_of_its_own() -> None:
    maps = np.zeros((3, 2, 2))
    maps[1] = [[2.0, -1.0], [0.0, 0.5]]
    html = viz.tiles(maps, label="x", names=["a", "b", "c"], selected=1)
    up, down = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(found))))[..., 1]
        for found in re.findall(r"base64,([^)]+)\)", html)
    )
    assert up.shape == (4, 4)  # two by two tiles, the last one empty
    assert up[:2, 2:].tolist() == [[255, 0], [0, 64]]
    assert down[:2, 2:].tolist() == [[0, 128], [0, 0]]
    assert up.sum() + down.sum() == 255 + 64 + 128
    assert [a["aria-label"] for a in Page(html).find("aria-pressed", "true")] == ["b"]


def test_token_buttons_are_as_strong_as_their_scores_and_escaped() -> None:
    html = viz.token_buttons(["<b>", "red", ""], [0.5, 2.0, float("nan")], label="<i>", selected=1)
    assert "<b>" not in html
    assert "<i>" not in html
    buttons = re.findall(r'<button[^>]*data-tile="(\d)" style="--v:([\d.]+)"[^>]*aria-pressed="(\w+)">([^<]*)<', html)
    assert buttons == [
        ("0", "0.250", "false", "&lt;b&gt;"),
        ("1", "1.000", "true", "red"),
        ("2", "0.000", "false", "␣"),
    ]


def test_sixty_four_tokens_and_sixteen_heads_stay_small() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(64), size=(4, 4, 64))
    names = ["token"] * 64
    assert len(viz.heads_grid(weights, label="x")) < 130_000
    assert len(viz.heat_map(weights[0, 0], names, names, label="x")) < 20_000


def test_the_module_needs_neither_gradio_nor_torch() -> None:
    code = "import sys, demo_app.viz; print(sorted({'gradio', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_style_sheet_and_script_need_nothing_from_elsewhere() -> None:
    for text in (viz.script(), viz.stylesheet()):
        assert "http" not in text
        assert "@import" not in text
    assert "innerHTML" not in viz.script()
