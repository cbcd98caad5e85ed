"""A walk through the whole page, as a visitor would do it: every sub-tab of every demo, its main button pressed.

Sub-tabs and main buttons are found on the page, so a new one is walked too. `PREPARED` has what an action needs first:
a message to send, a file to label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Locator, Page

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLUGINS = ROOT / "plugins"
WIDE, NARROW, HEIGHT = 1280, 390, 900
SLOW = 180_000  # ms: other work may share the CPUs
DRAWN_ALIKE = ("--font-render-hinting=none", "--disable-lcd-text", "--force-color-profile=srgb")  # on any machine
TABLISTS = "[role=tablist]:not(.visually-hidden) > [role=tab]"
FONT = "net-font.otf"  # whatever the path: the browser's request for it never leaves this process
SHEET = f"""
@font-face {{ font-family: Net; src: url(/{FONT}); }}
*, *::before, *::after {{ font-family: Net !important; transition: none !important; animation: none !important;
  caret-color: transparent !important; scroll-behavior: auto !important; }}
.toast-wrap, .demo-toasts {{ display: none !important; }}
"""  # toasts lie over anything, for seconds


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A place of the walk, after the main action."""

    demo: str
    title: str
    """Of the sub-tab; empty for what stands above the sub-tabs."""
    page: Page
    scope: str
    """Selector of the element that holds it."""
    without: str | None
    """Selector of what lies in the scope and is not part of it: the sub-tabs below a demo's main part."""

    @property
    def name(self) -> str:
        slug = "".join(c if c.isalnum() else "_" for c in self.title.lower()).strip("_")
        return f"{self.demo}-{slug}" if slug else self.demo

    def ask(self, function: str, *arguments: Any) -> Any:
        """The result of `net.<function>(scope, without, ...)` of page.js."""
        return self.page.evaluate(
            f"""([scope, without, rest]) => net.{function}(document.querySelector(scope),
                without && document.querySelector(without), ...rest)""",
            [self.scope, self.without, list(arguments)],
        )


def settle(page: Page) -> None:
    """Wait until no event is under way, and what they brought is drawn, pictures too."""
    page.evaluate("net.stir()")
    page.wait_for_function("net.idle()")


def fill(label: str, text: str) -> Callable[[Locator, Path], None]:
    def prepare(panel: Locator, folder: Path) -> None:
        panel.get_by_label(label).and_(panel.page.locator("textarea")).last.fill(text)  # the name has the info, too

    return prepare


def press(name: str) -> Callable[[Locator, Path], None]:
    def prepare(panel: Locator, folder: Path) -> None:
        panel.get_by_role("button", name=name, exact=True).click()

    return prepare


def upload(*groups: tuple[str, ...]) -> Callable[[Locator, Path], None]:
    """Give each file box of the panel, from the top, its files of `made_files`."""

    def prepare(panel: Locator, folder: Path) -> None:
        boxes = panel.locator("input[type=file]")
        for names in groups:
            boxes.first.set_input_files([folder / name for name in names])
            settle(panel.page)  # a full box has no input any more

    return prepare


def made_files(folder: Path) -> None:
    """What a visitor uploads."""
    (folder / "texts.csv").write_text("text\nA film to remember.\nDull from start to end.\nNot bad at all.\n")
    (folder / "questions.csv").write_text(
        "image,text\nred.png,what color is the square ?\nblue.png,is there a red circle ?\n"
    )
    for name in ("red", "blue"):
        picture = Image.new("RGB", (96, 96), "white")
        picture.paste(name, (20, 20, 70, 70))
        picture.save(folder / f"{name}.png")


def greedy(panel: Locator, folder: Path) -> None:
    """Temperature 0 and a seed, in the folded settings; the same text on every machine."""
    panel.get_by_role("button", name="Settings").first.click()
    for label, value in (("Temperature", "0"), ("Tokens at most", "60"), ("Seed", "1")):
        box = panel.get_by_label(label).and_(panel.page.locator("input[type=number]")).first
        box.fill(value)
        box.press("Enter")
    settle(panel.page)


def shortest(panel: Locator, folder: Path) -> None:
    """The example's rows and one pass over them."""
    panel.get_by_role("button", name="Use an example", exact=True).click()
    settle(panel.page)
    box = panel.get_by_label("Epochs").and_(panel.page.locator("input[type=number]")).first
    box.fill("1")
    box.press("Enter")
    settle(panel.page)


Prepare = Callable[[Locator, Path], None]
PREPARED: dict[tuple[str, str], Prepare] = {  # by demo ("*": any) and title of the sub-tab
    ("decoder_generator", ""): greedy,
    ("decoder_generator", "Surprise"): fill("Any text", "First Citizen:\nWe are accounted 漢 poor citizens."),
    ("decoder_generator", "Chat"): fill("Your message", "Who goes there?"),
    ("text_classifier", "Label a file"): upload(("texts.csv",)),
    ("separable_conv", "Many pictures"): upload(("red.png", "blue.png")),
    ("image_text_fusion", "Many questions"): upload(("questions.csv",), ("red.png", "blue.png")),
    ("*", "Fine-tune"): shortest,
}
ONCE = ("Fine-tune",)  # the host's own: it trains in the first demo that has it; the others show data and plan
HOOKS = (  # classes that need no rule: names for tests and programs, or what is so without one
    "viz-head",  # the number of a column of heads
    "viz-layer",  # and of a row
    "viz-first",  # the first curve: the default colour
    "viz-up",  # the default direction
    "tra-node",
    "absent",  # a checkpoint's state, in the default colour
)
AFTER: dict[tuple[str, str], tuple[str, ...]] = {  # further buttons, once the main one's work is done
    ("decoder_generator", "Step by step"): ("Take the likeliest",),
    ("separable_conv", "What it costs"): ("Measure over widths",),
    ("text_classifier", "Fine-tune"): ("Publish to the Hub", "Publish"),  # without a name: an alert
}


@contextmanager
def opened(browser: Browser, url: str, font: Path | None) -> Iterator[Page]:
    """The page in a fresh profile, wide and light, in the given font."""
    context = browser.new_context(viewport={"width": WIDE, "height": HEIGHT})
    context.set_default_timeout(SLOW)
    context.add_init_script(path=HERE / "page.js")
    if font is not None:
        context.route(f"**/{FONT}", lambda route: route.fulfill(path=font, content_type="font/otf"))
    page = context.new_page()
    try:
        page.goto(f"{url}?__theme=light")
        page.get_by_role("tab").first.wait_for()
        page.evaluate(
            """async (css) => {
                const style = document.head.appendChild(document.createElement("style"));
                style.dataset.net = "1";
                style.textContent = css;
                await document.fonts.load("16px Net").catch(() => null);
            }""",
            SHEET,
        )
        settle(page)
        yield page
    finally:
        context.close()


def walk(page: Page, folder: Path, arrived: Callable[[Stop], None] = lambda stop: None) -> Iterator[Stop]:
    """Every stop in the page's order. `folder` gets the files that a visitor uploads.

    `arrived` is called at each stop before its main action, when nothing has been asked for yet.
    """
    made_files(folder)
    done: set[str] = set()
    tabs = page.evaluate(f"[...document.querySelectorAll('#demos > .tab-wrapper {TABLISTS}')].map((tab) => tab.id)")
    for tab in tabs:
        page.locator(f"#{tab}").click()
        settle(page)
        scope = f"#{tab.removesuffix('-button')}"
        demo = scope.removeprefix("#tab-")
        panel = page.locator(scope)
        nested = f"{scope} .tabs"
        titles = panel.locator(f".tab-wrapper {TABLISTS}").all_inner_texts()
        stop = Stop(demo=demo, title="", page=page, scope=scope, without=nested if titles else None)
        arrived(stop)
        act(page, demo, "", panel, folder, f":not({scope} .tabs *)", done)
        yield stop
        for title in map(str.strip, titles):
            panel.get_by_role("tab", name=title, exact=True).first.click()
            settle(page)
            page.evaluate(
                """(scope) => {
                    document.querySelectorAll("[data-open]").forEach((panel) => delete panel.dataset.open);
                    const open = [...document.querySelectorAll(`${scope} [role=tabpanel]`)].filter(net.visible);
                    open.at(-1).dataset.open = "1";
                }""",
                scope,
            )
            inner = f"{scope} [data-open]"
            stop = Stop(demo=demo, title=title, page=page, scope=inner, without=None)
            arrived(stop)
            act(page, demo, title, page.locator(inner), folder, "", done)
            done.add(title)
            yield stop


def act(page: Page, demo: str, title: str, panel: Locator, folder: Path, only: str, done: set[str]) -> None:
    """Prepare, press the panel's main button: the first primary one, else the first. Then read a heat map by key."""
    prepare = PREPARED.get((demo, title)) or PREPARED.get(("*", title))
    if prepare is not None:
        prepare(panel, folder)
        settle(page)
    for kind in () if title in ONCE and title in done else ("primary", "secondary"):
        button = panel.locator(f"button:is(.lg, .sm).{kind}{only}:visible:enabled").first
        if button.count():
            button.click()
            settle(page)
            break
    for name in AFTER.get((demo, title), ()):
        panel.get_by_role("button", name=re.compile(rf"^{name}\W*$")).click()  # an accordion's has an arrow
        settle(page)
    panel.evaluate(
        """(panel) => panel.querySelector(".viz-map")?.dispatchEvent(
            new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}))"""
    )
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")


@contextmanager
def dressed(page: Page, *, width: int = WIDE, dark: bool = False) -> Iterator[None]:
    """The page at another width or in the dark, without a reload."""
    if width != WIDE:
        page.set_viewport_size({"width": width, "height": HEIGHT})
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
    drawn = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
    page.evaluate(drawn)
    try:
        yield
    finally:
        page.evaluate("document.body.classList.remove('dark')")
        if width != WIDE:
            page.set_viewport_size({"width": WIDE, "height": HEIGHT})
            page.evaluate(drawn)
