"""Downloads that visitors wait for together: one for each checkpoint, however many visitors ask for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from demo_app.api import Checkpoint
from demo_app.errors import DemoError
from demo_app.hub import errors
from demo_app.hub import fetch as hub_fetch
from demo_app.hub import progress as hub_progress

log = logging.getLogger(__name__)

LOOK = 0.2  # seconds between two reports to a visitor


@dataclass(eq=False)
class Waiter:
    """One wait of a visitor, who may wait twice, in two events of one page."""

    visitor: str
    gone: threading.Event = field(default_factory=threading.Event)  # set once the visitor no longer wants it


@dataclass(eq=False)
class Fetch:
    """One download and who waits for it. `waiters` is guarded by `Fetches._lock`."""

    checkpoint: Checkpoint
    progress: hub_progress.Progress = field(default_factory=lambda: hub_progress.Progress(note="asking the Hub"))
    waiters: list[Waiter] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)  # set last, once `Fetches` has its result
    error: errors.HubError | None = None

    def run(self) -> None:
        """Fetch, in the thread of this download; a failure is kept in `error`."""
        try:
            hub_fetch.fetch(self.checkpoint, self._report, self.cancel)
        except errors.HubError as error:
            self.error = error
        except BaseException as error:
            log.exception("fetching %s failed", self.checkpoint.repo_id)
            self.error = errors.HubError(
                "{title} could not be fetched ({reason}); the log says more.",
                title=self.checkpoint.title,
                reason=type(error).__name__,
            )
            self.error.__cause__ = error

    def _report(self, progress: hub_progress.Progress) -> None:
        self.progress = progress


class Fetches:
    """All downloads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Checkpoint, Fetch] = {}
        self._failed: dict[Checkpoint, DemoError] = {}

    def progress(self, checkpoint: Checkpoint) -> hub_progress.Progress | None:
        """How far the checkpoint's download is; `None` if none runs."""
        with self._lock:
            fetch = self._running.get(checkpoint)
        return fetch.progress if fetch is not None and not fetch.cancel.is_set() else None

    def failure(self, checkpoint: Checkpoint) -> DemoError | None:
        """Why the last download failed, without its traceback; `None` if it did not, or another one runs."""
        with self._lock:
            return self._failed.get(checkpoint)

    def awaited_by(self, checkpoint: Checkpoint, visitor: str) -> bool:
        """Whether this visitor waits for the download."""
        with self._lock:
            fetch = self._running.get(checkpoint)
            return fetch is not None and any(w.visitor == visitor and not w.gone.is_set() for w in fetch.waiters)

    def follow(self, checkpoint: Checkpoint, visitor: str) -> Iterator[hub_progress.Progress]:
        """Start the download, or join the one that runs; yields its progress five times a second until it is done.

        Raises what `demo_app.hub.fetch.fetch` raises. The download goes on if the caller stops iterating.
        """
        waiter = Waiter(visitor)
        fetch = self._join(checkpoint, waiter)
        try:
            while not fetch.over.wait(LOOK) and not waiter.gone.is_set():
                yield fetch.progress
        finally:
            with self._lock:
                fetch.waiters.remove(waiter)
        if not fetch.over.is_set():
            raise errors.Cancelled(
                "You no longer wait for {title}; others do, and it goes on for them.", title=checkpoint.title
            )
        if fetch.error is not None:
            raise fetch.error
        yield fetch.progress

    def cancel(self, checkpoint: Checkpoint, visitor: str) -> bool:
        """End this visitor's wait, and the download unless others wait for it. Returns whether the visitor waited."""
        with self._lock:
            fetch = self._running.get(checkpoint)
            mine = [waiter for waiter in fetch.waiters if waiter.visitor == visitor] if fetch is not None else []
            if fetch is None or not mine:
                return False
            if any(waiter.visitor != visitor and not waiter.gone.is_set() for waiter in fetch.waiters):
                for waiter in mine:
                    waiter.gone.set()
            else:
                fetch.cancel.set()
            return True

    def _join(self, checkpoint: Checkpoint, waiter: Waiter) -> Fetch:
        with self._lock:
            fetch = self._running.get(checkpoint)
            if fetch is None or fetch.cancel.is_set():
                fetch = self._running[checkpoint] = Fetch(checkpoint)
                self._failed.pop(checkpoint, None)
                threading.Thread(target=self._run, args=(fetch,), name="fetch", daemon=True).start()
            fetch.waiters.append(waiter)
            return fetch

    def _run(self, fetch: Fetch) -> None:
        fetch.run()
        with self._lock:
            if self._running.get(fetch.checkpoint) is fetch:
                del self._running[fetch.checkpoint]
                if fetch.error is not None and not isinstance(fetch.error, errors.Cancelled):
                    self._failed[fetch.checkpoint] = fetch.error.sentence()
        fetch.over.set()
