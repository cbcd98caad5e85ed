"""Pictures of every tab, for the README and for looking at.

python tests/screenshots.py             # assets/screenshots/<tab>.png: wide and light, those of the README
python tests/screenshots.py FOLDER      # also narrow and dark: <tab>-390-dark.png and so on
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo_app.testing import chromium, serve

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ROOT / "assets" / "screenshots"
COLOURS = 128  # of the PNG's palette: a page is mostly flat
WIDE, NARROW = 1280, 390


def main(arguments: Sequence[str]) -> int:
    everything = bool(arguments)
    folder = Path(arguments[0]) if everything else SHOWN
    folder.mkdir(parents=True, exist_ok=True)
    views = [(width, theme) for width in (WIDE, NARROW) for theme in ("light", "dark")] if everything else []
    with serve(plugins_dir=ROOT / "plugins", public=False) as server, sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        warm(server)
        for tab in [*(tab.name for tab in server.app.tabs), "status"]:
            for width, theme in views or [(WIDE, "light")]:
                name = f"{tab}-{width}-{theme}.png" if everything else f"{tab}.png"
                take(browser, server.url, tab, width, theme, folder / name)
                sys.stdout.write(f"{folder / name}: {(folder / name).stat().st_size / 1024:.0f} kB\n")
        for width, theme in views or [(WIDE, "light")]:
            name = f"finetune-{width}-{theme}.png" if everything else "finetune.png"
            tune(browser, server.url, width, theme, folder / name)
            sys.stdout.write(f"{folder / name}: {(folder / name).stat().st_size / 1024:.0f} kB\n")
        browser.close()
    return 0


def warm(server: Any) -> None:
    """Load every demo's default model, so that the Status tab has something to show."""
    for tab in server.app.tabs:
        if tab.demo is not None:
            with server.app.models.use(tab.demo):
                pass


def take(browser: Browser, url: str, tab: str, width: int, theme: str, path: Path) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900 if width == WIDE else 844})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}?demo={tab}&__theme={theme}")
    page.locator(f"#tab-{tab}-button[aria-selected=true]").wait_for()
    page.wait_for_function("name => document.getElementById(name)?.innerText.trim().length > 20", arg=f"tab-{tab}")
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.screenshot(path=path, full_page=True, animations="disabled")
    context.close()
    shrink(path)


def tune(browser: Browser, url: str, width: int, theme: str, path: Path) -> None:
    """The tab Fine-tune of the text classifier after three strategies, from the plan on."""
    context = browser.new_context(viewport={"width": width, "height": 900 if width == WIDE else 844})
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.goto(f"{url}?demo=text_classifier&__theme={theme}")
    page.locator("#tab-text_classifier").get_by_text("Look inside").wait_for()
    tab = page.get_by_role("tab", name="Fine-tune", exact=True).first
    if not tab.is_visible():  # narrow: in the menu behind the dots
        page.locator("#tab-text_classifier .overflow-menu > button").first.click()
        tab = page.get_by_role("menuitem", name="Fine-tune").first
    tab.click()
    panel = page.get_by_role("tabpanel").filter(has_text="Who learns").last
    panel.get_by_role("button", name="Use an example").click()
    panel.get_by_text("60 examples").wait_for()
    for strategy in ("freeze: ", "scratch: "):  # beside the one that is chosen at first
        panel.get_by_text(strategy).first.click()
    panel.get_by_text("Which layers learn, and how fast").wait_for()
    panel.get_by_role("button", name="Start", exact=True).click()
    panel.get_by_text("3 strategies below").wait_for()
    panel.get_by_label("Your text").fill("A cold hall, and a film to match.")
    panel.get_by_role("button", name="Ask both").click()
    panel.get_by_role("heading", name="complaint").wait_for()
    page.evaluate("() => document.activeElement.blur()")
    panel.screenshot(path=path, animations="disabled")
    context.close()
    shrink(path)


def shrink(path: Path) -> None:
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
