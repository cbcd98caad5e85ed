"""A page in a real Chromium, with its requests, errors and dialogs while it was open. Needs `playwright`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

SLOW = 60_000  # ms; other work may share the CPUs
IS_OPEN = """title => [...document.querySelectorAll('[role=tab][aria-selected=true]')]
    .some(tab => tab.textContent.trim() === title)"""


@dataclass(eq=False)
class Visit:
    """An open page, and what it did so far."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)  # console errors, uncaught exceptions, dialogs

    def strangers(self, url: str) -> list[str]:
        """Requests to other hosts than that of `url`."""
        own = urlsplit(url).netloc
        inside = {"data", "blob", "about", "chrome-extension"}
        return [r for r in self.requests if urlsplit(r).scheme not in inside and urlsplit(r).netloc != own]

    def tab(self, title: str) -> Any:
        """The button of a tab, as a Playwright locator."""
        return self.page.get_by_role("tab", name=title, exact=True).first

    def open(self, title: str) -> None:
        """Click a tab and wait until it is open."""
        self.tab(title).click()
        self.page.wait_for_function(IS_OPEN, arg=title)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


Visits = Callable[..., Visit]


def visit(context: BrowserContext, url: str) -> Visit:
    """Open the page in a fresh profile and wait for its tabs."""
    context.set_default_timeout(SLOW)
    seen = Visit(context.new_page())

    def dismiss(dialog: Any) -> None:
        seen.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def listen(message: Any) -> None:
        if message.type == "error":
            seen.complaints.append(message.text)

    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("console", listen)
    seen.page.on("dialog", dismiss)
    seen.page.goto(url)
    seen.page.get_by_role("tab").first.wait_for()
    return seen
