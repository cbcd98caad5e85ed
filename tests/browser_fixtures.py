"""A Chromium for the tests, and what a page did while it was open: requests, complaints, dialogs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import chromium
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

Visits = Callable[..., "Visit"]

SLOW = 60_000  # ms: other work may share the CPUs


@dataclass(eq=False)
class Visit:
    """An open page, and what was seen of it from outside."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)  # console errors and uncaught exceptions

    def strangers(self, url: str) -> list[str]:
        """Requests that left the page's own host."""
        own = urlsplit(url).netloc
        inside = {"data", "blob", "about", "chrome-extension"}
        return [r for r in self.requests if urlsplit(r).scheme not in inside and urlsplit(r).netloc != own]

    def tab(self, title: str) -> Any:
        return self.page.get_by_role("tab", name=title, exact=True).first

    def open(self, title: str) -> None:
        """Click a tab and wait until it is the open one."""
        self.tab(title).click()
        self.page.wait_for_function(
            "title => [...document.querySelectorAll('[role=tab][aria-selected=true]')]"
            ".some(tab => tab.textContent.trim() === title)",
            arg=title,
        )

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture(scope="module")  # Playwright allows one at a time: the next module may start its own
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=SLOW)
    with sync_playwright() as playwright:
        running = chromium.launch(playwright)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    """`visit(url, width=390, theme="dark")` opens the page in a fresh profile and waits for its tabs."""
    with ExitStack() as stack:

        def go(url: str, *, query: str = "", width: int = 1280, height: int = 900, theme: str = "light") -> Visit:
            context = stack.enter_context(browser.new_context(viewport={"width": width, "height": height}))
            context.set_default_timeout(SLOW)
            seen = Visit(context.new_page())
            seen.page.on("request", lambda request: seen.requests.append(request.url))
            seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
            seen.page.on("console", lambda said: seen.complaints.append(said.text) if said.type == "error" else None)
            seen.page.on(
                "dialog", lambda dialog: (seen.complaints.append(f"dialog {dialog.message}"), dialog.dismiss())
            )
            seen.page.goto(f"{url}?__theme={theme}{'&' if query else ''}{query}")
            seen.page.get_by_role("tab").first.wait_for()
            return seen

        yield go
