"""How far a download is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a fetch is."""

    done: int = 0  # bytes
    total: int | None = None  # bytes, once it is known
    rate: float = 0.0  # bytes a second, over the last few seconds
    note: str = ""  # "asking the Hub", "checking", "another process fetches it"

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0
