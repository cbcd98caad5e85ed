"""Phrases that several parts of the page use, in the visitor's language."""

from __future__ import annotations

import html

from demo_app.errors import DemoError
from demo_app.i18n import say


def sentence(error: DemoError, role: str) -> str:
    """The text of an error as a paragraph of HTML with that ARIA role."""
    return f'<p class="{role}" role="{role}">{html.escape(say(error.text, **error.values))}</p>'


def time_left(seconds: float) -> str:
    """The time that is left, in minutes or seconds."""
    if seconds > 90:
        return say("{count} min left", count=f"{seconds / 60:.0f}")
    return say("{count} s left", count=f"{seconds:.0f}")
