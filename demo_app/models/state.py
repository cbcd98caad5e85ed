"""What a page can show of a checkpoint, and the errors of a checkpoint that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from demo_app.errors import DemoError
from demo_app.i18n import say

Status = Literal["absent", "fetching", "loading", "ready", "failed"]


class LoadError(DemoError):
    """A model could not be loaded; the sentence says why and what to do. The next use tries again."""


class NotFetched(DemoError):
    """A checkpoint's files are on the Hub and not on this disk; the sentence says how to get them."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What a page can show of one checkpoint."""

    status: Status = "absent"
    fraction: float = 0.0  # of the bytes, while fetching
    bytes: int = 0  # in memory, while ready
    seconds: float = 0.0  # that the load took
    last_used: float = 0.0  # time.time()
    error: DemoError | None = None  # why it failed; without traceback, see `DemoError.sentence`

    @property
    def reason(self) -> str:
        """Why it failed, in the language of the visitor whose event is being handled; empty if it did not fail."""
        return say(self.error.text, **self.error.values) if self.error is not None else ""

    def __str__(self) -> str:
        return f"fetching {self.fraction:.0%}" if self.status == "fetching" else self.status
