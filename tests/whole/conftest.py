"""The whole page, walked once: what the tests of this folder look at."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from full_speed import trainings_at_full_speed
from whole import baselines, mutants, tour

from demo_app.testing import chromium, serve


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write what tests/whole compares with, instead of comparing")


@pytest.fixture(scope="session")
def renew(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--renew"))


@pytest.fixture(scope="module")
def demo_browser() -> Iterator[Any]:
    """A Chromium that draws the same on each machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = chromium.launch(playwright, *tour.DRAWN_ALIKE)
        yield running
        running.close()


@dataclass
class Walked:
    """What was seen on the way, by the name of the stop."""

    problems: dict[str, list[str]] = field(default_factory=dict)
    """With the width and the theme behind the name: "translator-beam_search 390 dark"."""
    styles: dict[str, dict[str, set[str]]] = field(default_factory=lambda: {"light": {}, "dark": {}})
    """By theme and kind of element: what the rules for it came to."""
    rules: dict[str, list[str]] = field(default_factory=dict)
    """Those of each style sheet, by its path."""
    survivors: set[str] = field(default_factory=set)
    """Rules whose removal showed nowhere."""
    sheets: set[str] = field(default_factory=set)
    """Style sheets whose loss as a whole `problems` has not seen."""
    pictures: dict[str, Any] = field(default_factory=dict)
    boxes: dict[str, list[Any]] = field(default_factory=dict)
    html: dict[str, set[str]] = field(default_factory=dict)
    """Every value that a gr.HTML was given, by demo and label."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What the page took to get there."""
    chromium: str = ""

    def remember(self, theme: str, styles: dict[str, list[str]]) -> None:
        for kind, lines in styles.items():
            self.styles[theme].setdefault(kind, set()).update(lines)


def isolate(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """No settings of this machine, and no checkpoint in its cache: the embedded ones are the default then."""
    from huggingface_hub import constants

    for name in [name for name in os.environ if name.startswith("DEMO_APP_") and not name.startswith("DEMO_APP_TEST")]:
        patch.delenv(name)
    patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    patch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def record_html(monkeypatch: pytest.MonkeyPatch, seen: dict[str, set[str]]) -> None:
    """Keep every value that any `gr.HTML` is given, at its start or by a handler."""
    import gradio as gr

    given = gr.HTML.postprocess

    def postprocess(part: Any, value: Any) -> Any:
        if isinstance(value, str) and value:
            seen.setdefault(str(part.label or part.elem_id or "no label"), set()).add(value)
        return given(part, value)

    monkeypatch.setattr(gr.HTML, "postprocess", postprocess)


@pytest.fixture(scope="module")
def walked(demo_browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """The walk through every sub-tab of every demo, wide and narrow, light and dark."""
    found = Walked(chromium=demo_browser.version)
    folder = tmp_path_factory.mktemp("walk")
    with pytest.MonkeyPatch.context() as patch, trainings_at_full_speed(folder):
        isolate(patch, folder)
        record_html(patch, found.html)
        with (
            serve(plugins_dir=tour.PLUGINS, strict=True) as server,
            tour.opened(demo_browser, server.url, baselines.font()) as page,
        ):
            called: set[int] = set()
            page.on("request", lambda request: called.update(baselines.functions(request)))
            found.rules = mutants.parsed(page)
            found.survivors = {rule for rules in found.rules.values() for rule in rules}
            found.sheets = set(found.rules)
            since = time.perf_counter()
            for stop in tour.walk(page, folder, arrived=lambda stop: forget(found, stop)):
                found.seconds[stop.name] = round(time.perf_counter() - since, 1)
                look(stop, found)
                since = time.perf_counter()
            baselines.call_the_rest(server, called)
    return found


def forget(found: Walked, stop: tour.Stop) -> None:
    """Those of the survivors whose removal shows here, as it is now."""
    found.survivors -= set(stop.ask("killed", sorted(found.survivors)))


def look(stop: tour.Stop, found: Walked) -> None:
    for width in (tour.WIDE, tour.NARROW):
        for theme in ("light", "dark"):
            with tour.dressed(stop.page, width=width, dark=theme == "dark"):
                found.problems[f"{stop.name} {width} {theme}"] = stop.ask("problems", tour.HOOKS)
                if width == tour.WIDE:
                    found.remember(theme, stop.ask("styles", ".dark" if theme == "dark" else ""))
                    lost = {sheet for sheet in found.sheets if stop.ask("complains", found.rules[sheet], tour.HOOKS)}
                    found.sheets -= lost
                    forget(found, stop)
    found.pictures[stop.name], found.boxes[stop.name] = baselines.take(stop)
