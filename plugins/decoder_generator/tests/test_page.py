"""The tab in a browser: clicks, sizes, and the style of every drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from demo_app_decoder_generator.writer import Writer

from demo_app.serving.server import Server
from demo_app.testing import DemoHost
from demo_app.testing.browser import Visits

# What a drawing would look like without its style sheet: for each selector, a property and the browser's default
UNSTYLED = {
    ".gen-walk": ("white-space", "pre"),
    ".gen-walk mark": ("background-color", "rgb(255, 255, 0)"),
    ".gen-candidates": ("display", "block"),
    ".gen-row": ("display", "list-item"),
    ".gen-two i": ("height", "auto"),
    ".gen-number": ("text-align", "start"),
    ".gen-stripes .viz-heads button": ("aspect-ratio", "1 / 1"),
    ".gen-ramp": ("background-image", "none"),
    ".gen-lens": ("overflow-x", "visible"),
    ".gen-lens td": ("background-color", "rgba(0, 0, 0, 0)"),
    ".gen-text": ("white-space", "normal"),
    ".gen-strongest": ("display", "block"),
    ".gen-why": ("grid-column-start", "auto"),
    ".gen-plot": ("display", "block"),
    ".gen-x, .gen-y": ("display", "block"),
    ".gen-plot path, .gen-key path": ("fill", "rgb(0, 0, 0)"),
    ".gen-cached, .gen-uncached, .gen-grid": ("stroke", "none"),
    ".gen-masks": ("display", "block"),
    ".gen-masks rect, .gen-masks text": ("fill", "rgb(0, 0, 0)"),
    ".gen-points li": ("margin-bottom", "0px"),
}
PROBE = """unstyled => Object.entries(unstyled).map(([selector, [property, value]]) => {
    const seen = [...document.querySelectorAll(selector)];
    const bare = seen.filter(element => getComputedStyle(element).getPropertyValue(property) === value);
    return [selector, seen.length, bare.length];
})"""


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


@contextmanager
def browser_page(visit: Visits, server: Server, **look: Any) -> Iterator[Any]:
    page = visit(server.url, query="demo=decoder_generator", **look).page
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    yield page
    page.close()


@pytest.mark.browser
def test_a_candidate_that_is_clicked_is_taken(server: Server, visit: Visits) -> None:
    with browser_page(visit, server) as page:
        page.get_by_role("button", name="Start at the prompt").click()
        row = page.locator("button[data-token]").nth(2)
        row.wait_for()
        name = row.locator(".gen-name").inner_text()
        row.click()
        page.locator(".gen-walk mark", has_text=name.replace("↵", "").replace("·", "") or None).wait_for()
        page.get_by_role("tab", name="Look inside").click()
        page.get_by_text("What each layer would say next").wait_for()
        assert page.evaluate("window.hacked") is None


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(server: Server, visit: Visits, theme: str) -> None:
    with browser_page(visit, server, width=390, theme=theme) as page:
        page.get_by_role("button", name="Generate", exact=True).click()
        page.get_by_text("tokens/s").first.wait_for()
        page.get_by_role("button", name="Start at the prompt").click()
        page.locator("button[data-token]").first.wait_for()
        for tab in ("Step by step", "Look inside", "Surprise", "Chat", "Why decoder-only"):
            page.get_by_role("tab", name=tab).click()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab


@pytest.mark.browser
def test_a_visitor_who_closes_the_page_leaves_the_loop(
    server: Server, visit: Visits, wait_until_idle: Callable[[Writer], None]
) -> None:
    with browser_page(visit, server) as page:
        page.locator("button.label-wrap", has_text="Settings").click()
        page.get_by_label("number input for Tokens at most").fill("1000")
        page.get_by_role("button", name="Generate", exact=True).click()
        page.get_by_text("tokens/s").first.wait_for()
    with server.app.models.use(server.app.tabs[0].demo, "shakespeare") as writer:
        wait_until_idle(writer)


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_drawing_has_its_style(server: Server, visit: Visits, theme: str) -> None:
    """The style sheet reaches each card: a string that has the right classes may still be drawn without them."""
    with browser_page(visit, server, theme=theme) as page:
        found: dict[str, list[int]] = {selector: [0, 0] for selector in UNSTYLED}

        def probe(shown: str) -> None:
            page.locator(shown).first.wait_for()
            for selector, seen, bare in page.evaluate(PROBE, UNSTYLED):
                found[selector] = [max(found[selector][0], seen), max(found[selector][1], bare)]

        page.get_by_role("button", name="Start at the prompt").click()
        probe("button[data-token]")
        for tab, press, shown in (
            ("Look inside", None, ".gen-lens"),
            ("Surprise", "How surprising is it?", ".gen-strongest"),
            ("Why a cache", "Measure both", ".gen-plot"),
            ("Why decoder-only", None, ".gen-masks"),
        ):
            page.get_by_role("tab", name=tab).click()
            if press:
                page.get_by_role("button", name=press).click()
            probe(shown)
    assert [selector for selector, (seen, _) in found.items() if not seen] == []
    assert [selector for selector, (_, bare) in found.items() if bare] == []
