"""One download for all who wait: what is said of it while it runs, once it is cancelled, and when it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_app import Checkpoint
from demo_app.hub import shared
from demo_app.hub.errors import Cancelled, Gated, HubError
from demo_app.hub.progress import Progress
from demo_app.hub.shared import Fetches

FAR = Checkpoint(name="far", title="Far", repo_id="some/model", revision="89abcdef" * 5, files=("a",))
OTHER = Checkpoint(name="other", title="Other", repo_id="some/other", revision="89abcdef" * 5, files=("a",))
HALF = Progress(done=5, total=10, note="on its way")
LONG = 30.0  # seconds after which something hangs


class Download:
    """Stands for one call of `fetch`: it ends when the test says so, cancelled or not."""

    def __init__(self, cancel: threading.Event) -> None:
        self.cancel, self._end = cancel, threading.Event()
        self._error: BaseException | None = None

    def end(self, error: BaseException | None = None) -> None:
        self._error = error
        self._end.set()

    def run(self) -> Path:
        assert self._end.wait(LONG)
        if self._error is not None:
            raise self._error
        return Path()


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Download]]:
    """Those that were started; and who waits looks without a pause."""
    started: list[Download] = []

    def fetch(checkpoint: Checkpoint, report: Callable[[Progress], None], cancel: threading.Event) -> Path:
        download = Download(cancel)
        started.append(download)
        report(HALF)
        return download.run()

    monkeypatch.setattr("demo_app.hub.fetch.fetch", fetch)
    monkeypatch.setattr(shared, "LOOK", 0.001)
    yield started
    for download in started:
        download.end()


def joined(fetches: Fetches, visitor: str) -> Iterator[Progress]:
    """A visitor's wait, once the download has reported."""
    waiting = fetches.follow(FAR, visitor)
    while next(waiting) != HALF:
        pass
    return waiting


def said(fetches: Fetches) -> tuple[Progress | None, bool]:
    return fetches.progress(FAR), fetches.failure(FAR) is not None


def test_progress_is_that_of_the_running_download_alone(downloads: list[Download]) -> None:
    fetches = Fetches()
    assert said(fetches) == (None, False)
    waiting = joined(fetches, "me")
    assert said(fetches) == (HALF, False)
    assert fetches.progress(OTHER) is None
    downloads[0].end()
    assert list(waiting)[-1] == HALF
    assert said(fetches) == (None, False)


def test_a_cancelled_download_shows_no_progress_while_it_still_ends(downloads: list[Download]) -> None:
    fetches = Fetches()
    waiting = joined(fetches, "me")
    assert fetches.cancel(FAR, "me")
    assert downloads[0].cancel.is_set()
    assert said(fetches) == (None, False)
    downloads[0].end(Cancelled("cancelled"))
    with pytest.raises(Cancelled):
        list(waiting)
    assert said(fetches) == (None, False), "to cancel is no failure"


def test_who_comes_after_a_cancel_gets_a_download_of_their_own(downloads: list[Download]) -> None:
    fetches = Fetches()
    first = joined(fetches, "first")
    assert fetches.cancel(FAR, "first")
    second = joined(fetches, "second")
    assert len(downloads) == 2
    downloads[0].end(Gated("refused"))
    with pytest.raises(Gated):
        list(first)
    assert said(fetches) == (HALF, False), "the first one's end says nothing of the second"
    assert not downloads[1].cancel.is_set()
    downloads[1].end()
    assert list(second)[-1] == HALF


def test_a_wait_is_its_visitors_until_it_ends_or_is_cancelled(downloads: list[Download]) -> None:
    fetches = Fetches()
    assert not fetches.awaited_by(FAR, "one")
    waits = {name: joined(fetches, name) for name in ("one", "other")}
    assert len(downloads) == 1
    assert [fetches.awaited_by(FAR, name) for name in ("one", "other", "a stranger")] == [True, True, False]
    assert [fetches.cancel(FAR, "a stranger"), fetches.cancel(OTHER, "one")] == [False, False]
    assert fetches.cancel(FAR, "one")
    assert [fetches.awaited_by(FAR, name) for name in ("one", "other")] == [False, True]
    assert not downloads[0].cancel.is_set(), "the other still waits"
    with pytest.raises(Cancelled, match="others do"):
        list(waits["one"])
    assert not fetches.cancel(FAR, "one")
    assert fetches.cancel(FAR, "other")
    assert downloads[0].cancel.is_set(), "nobody waits any more"


def test_two_waits_of_one_visitor_end_together(downloads: list[Download]) -> None:
    fetches = Fetches()
    waits = [joined(fetches, name) for name in ("me", "me", "other")]
    assert fetches.cancel(FAR, "me")
    for waiting in waits[:2]:
        with pytest.raises(Cancelled, match="others do"):
            list(waiting)
    assert not downloads[0].cancel.is_set()
    downloads[0].end()
    assert list(waits[2])[-1] == HALF


def test_those_who_cancelled_but_have_not_left_yet_do_not_keep_a_download(downloads: list[Download]) -> None:
    fetches = Fetches()
    waits = [joined(fetches, name) for name in ("one", "other")]
    assert fetches.cancel(FAR, "one")
    assert fetches.cancel(FAR, "other")
    assert downloads[0].cancel.is_set()
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("error", "raised", "sentence"),
    [
        (Gated("{title} is gated.", title="Far"), Gated, "Far is gated."),
        (ValueError("a secret"), HubError, r"Far could not be fetched \(ValueError\); the log says more\."),
        (SystemExit(1), HubError, r"Far could not be fetched \(SystemExit\); the log says more\."),
    ],
)
def test_a_failure_is_told_until_the_next_download(
    error: BaseException, raised: type[HubError], sentence: str, downloads: list[Download], caplog: Any
) -> None:
    fetches = Fetches()
    waiting = joined(fetches, "me")
    downloads[0].end(error)
    with pytest.raises(raised, match=f"^{sentence}$") as caught:
        list(waiting)
    assert (caught.value.__cause__ is error) == (raised is HubError)
    assert ("fetching some/model failed" in caplog.text) == (raised is HubError)
    told = fetches.failure(FAR)
    assert told is not None
    assert (str(told), told.__traceback__) == (str(caught.value), None)
    assert fetches.progress(FAR) is None
    assert fetches.failure(OTHER) is None
    again = joined(fetches, "me")
    assert said(fetches) == (HALF, False)
    downloads[1].end()
    assert list(again)[-1] == HALF
    assert said(fetches) == (None, False)
