"""A training that goes on while nobody looks at it: the page of its visitor may be cut off and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence

from demo_app.finetune.updates import Update


class Run:
    """Takes the updates of a training in a thread of its own, for those who watch.

    Args:
        updates: of the training; closing them ends it.
        base: the name of the checkpoint that it started from.
        strategies: the names of its strategies.
        forsaken: whether to end it, if nobody has watched for that many seconds.
        heartbeat: seconds after which the last update is repeated.
    """

    def __init__(
        self,
        updates: Generator[Update, None, None],
        *,
        base: str,
        strategies: Sequence[str],
        forsaken: Callable[[float], bool],
        heartbeat: float,
    ) -> None:
        self.base, self.strategies = base, strategies
        self.watcher = ""  # the session that watches, or watched last
        self._updates, self._forsaken, self._heartbeat = updates, forsaken, heartbeat
        self._changed = threading.Condition()
        self._seen: list[Update] = []  # without repetitions
        self._ended = False
        self._error: BaseException | None = None
        self._watchers, self._unwatched = 0, time.monotonic()
        threading.Thread(target=self._take, name="training", daemon=True).start()

    def _take(self) -> None:
        try:
            for update in self._updates:
                with self._changed:
                    if not self._seen or update != self._seen[-1]:
                        self._seen.append(update)
                        self._changed.notify_all()
                    alone = 0.0 if self._watchers else time.monotonic() - self._unwatched
                if alone and self._forsaken(alone):
                    break
        except BaseException as error:
            self._error = error
        finally:
            self._updates.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def watch(self, session: str) -> Generator[Update, None, None]:
        """All its updates, from the first; the last is repeated if nothing happens. Raises what the training raised.

        Closing the generator leaves the training alone.
        """
        count = 0
        with self._changed:
            self._watchers, self.watcher = self._watchers + 1, session
        try:
            while True:
                with self._changed:
                    before = count
                    self._changed.wait_for(
                        lambda before=before: len(self._seen) > before or self._ended,  # type: ignore[misc]
                        timeout=self._heartbeat,
                    )
                    new, ended = self._seen[before:] or self._seen[-1:], self._ended
                    count = len(self._seen)
                if not ended or count > before:
                    yield from new
                if ended and count == len(self._seen):
                    if self._error is not None:
                        raise self._error
                    return
        finally:
            with self._changed:
                self._watchers, self._unwatched = self._watchers - 1, time.monotonic()
