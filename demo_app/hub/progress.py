"""How far a download is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a download is."""

    done: int = 0  # bytes
    total: int | None = None  # bytes; None until the Hub has told all sizes
    rate: float = 0.0  # bytes a second, over the last few seconds
    note: str = ""  # what happens while no bytes come: "asking the Hub", "checking", ...

    @property
    def fraction(self) -> float:
        """The share that is here, from 0 to 1; 0 while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else 0.0
