"""Why the files of a checkpoint could not be had, as one tree of errors."""

from __future__ import annotations

from typing import Any

from demo_app.errors import DemoError


class HubError(DemoError):
    """The files of a checkpoint could not be had; the sentence says why and what to do.

    `status` is the HTTP status that the Hub answered with, where it answered.
    """

    def __init__(self, text: str, /, *, status: int | None = None, **values: Any) -> None:
        super().__init__(text, **values)
        self.status = status


class Offline(HubError):
    """No answer: no network, no such host, connection refused, a silent host, or `HF_HUB_OFFLINE`."""


class NotFound(HubError):
    """The Hub has no such repository, commit or file."""


class Gated(HubError):
    """The Hub wants to know who asks: a token, or consent to the repository's terms."""


class RateLimited(HubError):
    """Too many requests; `retry_after` says in how many seconds to come back, where the Hub says so."""

    def __init__(
        self, text: str, /, *, status: int | None = None, retry_after: int | None = None, **values: Any
    ) -> None:
        super().__init__(text, status=status, **values)
        self.retry_after = retry_after


class HubBroken(HubError):
    """The Hub answered, but with an error of its own, or not as a Hub does, or it stopped in the middle."""


class DiskFull(HubError):
    """Not enough room in the cache; `needed` and `free` are bytes."""

    def __init__(self, text: str, /, *, needed: int | None = None, free: int | None = None, **values: Any) -> None:
        super().__init__(text, **values)
        self.needed = needed
        self.free = free


class Corrupt(HubError):
    """A file is not the published one, twice over; it was removed."""


class Cancelled(HubError):
    """Whoever asked for the files no longer wants them."""
