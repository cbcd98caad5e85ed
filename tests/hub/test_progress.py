"""The progress of a fetch, cancelling it, and others who want the same files at the same time."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_fetches import (
    FILES,
    LONG,
    MIB,
    SOON,
    assert_fetched,
    failure,
    folder_of,
    publish,
    start_child,
    with_sha256,
    within,
)

from demo_app import Checkpoint
from demo_app.hub.errors import Cancelled
from demo_app.hub.fetch import fetch
from demo_app.hub.files import locate
from demo_app.hub.progress import Progress
from demo_app.testing.faults import cut_body, silent_host, stall_body
from demo_app.testing.hub import Hub


def test_progress_counts_the_bytes_of_all_files(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.throttle = 600_000
    seen: list[Progress] = []
    fetch(checkpoint, seen.append)
    size = sum(map(len, FILES.values()))
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert len({count for count in done if 0 < count < size}) >= 2
    assert {progress.total for progress in seen} <= {None, size}
    assert any(progress.rate > 0 for progress in seen)
    assert all(0 <= progress.fraction <= 1 for progress in seen)


def test_progress_goes_back_when_a_body_is_resumed(hub: Hub) -> None:
    checkpoint = publish(hub, LONG)
    hub.fault = cut_body(hub, at=11 * MIB, times=1)
    seen: list[Progress] = []
    fetch(checkpoint, seen.append)
    assert all(progress.total is None or progress.done <= progress.total for progress in seen)


def test_an_error_of_the_progress_bar_ends_the_fetch(hub: Hub) -> None:
    def broken(progress: Progress) -> None:
        raise ZeroDivisionError

    checkpoint = publish(hub)
    with pytest.raises(ZeroDivisionError), within(SOON):
        fetch(checkpoint, broken)
    assert_fetched(checkpoint)


def test_cancelling_in_the_middle_stops_at_once(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.throttle = 100_000
    assert_cancelled(checkpoint, lambda progress: progress.done > 0)
    hub.throttle = None
    assert_fetched(checkpoint)


def test_cancelling_a_stalled_body_stops_at_once(hub: Hub) -> None:
    checkpoint, stalled = publish(hub), threading.Event()
    hub.fault = stall_body(hub, at=100_000, stalled=stalled)
    assert_cancelled(checkpoint, lambda progress: stalled.is_set())
    hub.fault = None
    assert_fetched(checkpoint)


def test_cancelling_a_silent_hub_stops_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    with silent_host(accepts=True) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        assert_cancelled(checkpoint, lambda progress: True)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert_fetched(checkpoint, seconds=5)


def test_cancelling_one_of_two_leaves_the_other(hub: Hub) -> None:
    checkpoint, stalled = publish(hub), threading.Event()
    hub.fault = stall_body(hub, at=100_000, times=1, stalled=stalled)
    with ThreadPoolExecutor() as pool:
        first_gone = threading.Event()
        first = pool.submit(fetch, checkpoint, None, first_gone)
        assert stalled.wait(5)
        waits = threading.Event()
        second = pool.submit(fetch, checkpoint, lambda progress: waits.set() if "another" in progress.note else None)
        assert waits.wait(5)
        first_gone.set()
        assert isinstance(first.exception(timeout=SOON), Cancelled)
        assert second.result(timeout=5) == locate(checkpoint)


def assert_cancelled(checkpoint: Checkpoint, when: Callable[[Progress], bool]) -> None:
    cancel = threading.Event()
    since: list[float] = []

    def watch(progress: Progress) -> None:
        if when(progress) and not since:
            since.append(time.monotonic())
            cancel.set()

    failure(checkpoint, Cancelled, seconds=10, progress=watch, cancel=cancel)
    assert time.monotonic() - since[0] < 1


def test_eight_threads_fetch_each_file_once(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.throttle = 600_000
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(fetch, [checkpoint] * 8))
    assert folders == {locate(checkpoint)}
    assert len(hub.bodies()) == len(FILES)


def test_two_processes_fetch_each_file_once(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.throttle = 150_000
    children = [start_child(checkpoint) for _ in range(2)]
    assert {folder_of(child) for child in children} == {locate(checkpoint)}
    assert len(hub.bodies()) == len(FILES)


def test_what_a_killed_process_left_does_no_harm_and_is_removed(hub: Hub, hub_cache: Path) -> None:
    checkpoint = publish(hub)
    hub.throttle = 100_000
    weights = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    child = start_child(checkpoint)
    assert child.stdout is not None
    while not any(hub_cache.glob(f"*/blobs/{weights}.*.incomplete")):
        assert child.stdout.readline() == "on its way\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    hub.throttle = None
    assert locate(checkpoint) is None
    (left,) = hub_cache.glob("*/blobs/*.incomplete")
    young = left.with_name("0" * 64 + ".12345678.incomplete")  # another machine may be writing it, on a shared disk
    young.touch()
    os.utime(left, (time.time() - 2 * 3600,) * 2)
    assert_fetched(checkpoint)
    assert list(hub_cache.glob("*/blobs/*.incomplete")) == [young]


def test_what_was_fetched_needs_no_hub(hub: Hub) -> None:
    checkpoint = with_sha256(publish(hub))
    folder = fetch(checkpoint)
    hub.log.clear()
    assert fetch(checkpoint) == folder
    assert folder_of(start_child(checkpoint)) == folder
    assert hub.log == []
    hub.close()
    with within(SOON):
        assert fetch(checkpoint) == folder
    assert folder_of(start_child(checkpoint)) == folder
