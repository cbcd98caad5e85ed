"""Why files could not be fetched from the Hub, or not be put there.

    DemoError
    └── HubError           base class; `status` is the HTTP status, where there was an answer
        ├── Offline        no answer: no network, no such host, refused, silent, or HF_HUB_OFFLINE
        ├── Refused        the Hub says no
        │   ├── Gated          to this reader: it wants a token, or consent to the terms
        │   ├── NotFound       there is no such repository, commit or file
        │   ├── RateLimited    not now: too many requests; `retry_after` is in seconds
        │   └── Taken          the repository to write exists, or has just changed
        ├── HubBroken      an answer with an error, not as a Hub answers, or a body that breaks off
        ├── DiskFull       the cache has not enough room; `needed` and `free` are in bytes
        ├── Corrupt        a file twice had another hash than the published one
        └── Cancelled      whoever asked no longer wants the files

`demo_app.hub.faults` raises most of them, in place of the exceptions of huggingface_hub, httpx and the disk.
"""

from __future__ import annotations

from typing import Any

from demo_app.errors import DemoError


class HubError(DemoError):
    """Files could not be fetched from the Hub, or not be put there; the sentence says why and what to do.

    `status` is the HTTP status of the Hub's answer, `None` without an answer. A template may name it as `{status}`.
    """

    def __init__(self, text: str, /, *, status: int | None = None, **values: Any) -> None:
        super().__init__(text, **(values if status is None else {"status": status, **values}))
        self.status = status


class Offline(HubError):
    """No answer: no network, no such host, connection refused, a silent host, or `HF_HUB_OFFLINE`."""


class Refused(HubError):
    """The Hub answered and says no. Raised as such where a token may not write."""


class Gated(Refused):
    """The Hub wants to know who asks: a token, or consent to the repository's terms."""


class NotFound(Refused):
    """The Hub has no such repository, commit or file."""


class RateLimited(Refused):
    """Too many requests. `retry_after` is the number of seconds to wait, where the Hub gives one."""

    def __init__(
        self, text: str, /, *, status: int | None = None, retry_after: int | None = None, **values: Any
    ) -> None:
        super().__init__(text, status=status, **values)
        self.retry_after = retry_after


class Taken(Refused):
    """The repository exists already, or somebody else has just changed it."""


class HubBroken(HubError):
    """The Hub answered with an error of its own, or not as a Hub does, or a file broke off."""


class DiskFull(HubError):
    """The cache has not enough room. `needed` and `free` are bytes; in the template they are megabytes."""

    def __init__(self, text: str, /, *, needed: int, free: int, **values: Any) -> None:
        super().__init__(text, needed=f"{needed / 1e6:,.1f}", free=f"{free / 1e6:,.1f}", **values)
        self.needed = needed
        self.free = free


class Corrupt(HubError):
    """A file was fetched twice and had another hash than the published one each time; it was removed."""


class Cancelled(HubError):
    """Whoever asked for the files no longer wants them."""
