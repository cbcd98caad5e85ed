"""What a page can show of a checkpoint, and why one is not loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from demo_app.errors import DemoError

Status = Literal["absent", "fetching", "loading", "ready", "failed"]


class LoadError(DemoError):
    """A model could not be loaded; the sentence says why and what to do. The next use tries again."""


class NotFetched(DemoError):
    """A checkpoint's files are on the Hub and not on this disk; the sentence says how to get them."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What a page can show of one checkpoint."""

    status: Status = "absent"
    fraction: float = 0.0  # fetched so far, while fetching
    bytes: int = 0  # in memory, while ready
    seconds: float = 0.0  # the load took
    last_used: float = 0.0  # time.time()
    reason: str = ""  # why it failed

    def __str__(self) -> str:
        return f"fetching {self.fraction:.0%}" if self.status == "fetching" else self.status
