"""What fetching does when the network, the Hub, the disk or a neighbour fails: a clear word, in time, and nothing left.

Every test fetches over HTTP from a Hub on loopback. A fault must pass: once it is gone, the same fetch succeeds.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from demo_app import Checkpoint
from demo_app.hub.errors import Cancelled, Corrupt, DiskFull, Gated, HubBroken, HubError, NotFound, Offline, RateLimited
from demo_app.hub.fetch import fetch
from demo_app.hub.files import cache_folder, locate
from demo_app.hub.progress import Progress
from demo_app.testing.faults import closed_port, corrupt_body, cut_body, refuse, silent_host, stall_body, wrong_length
from demo_app.testing.hub import Fault, Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MIB = 2**20
FILES = {"config.json": b'{"width": 8}', "model.safetensors": random.Random(0).randbytes(300_000)}
LONG = FILES | {"model.safetensors": random.Random(1).randbytes(12 * MIB)}  # huggingface_hub resumes at each 10 MiB
TOKEN = "hf_averysecrettokenindeed"
SOON = 2.0  # seconds that need no waiting; generous, for a machine that is busy


def publish(hub: Hub, files: dict[str, bytes] = FILES, **access: bool) -> Checkpoint:
    """A checkpoint of these files, without sha256 of its own: what the Hub names the files by is all that is known."""
    hub.add("some/model", files, sha=COMMIT, **access)
    return Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, files=tuple(files))


def with_sha256(checkpoint: Checkpoint, files: dict[str, bytes] = FILES) -> Checkpoint:
    return dataclasses.replace(
        checkpoint, sha256={name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    )


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - start
        assert took < seconds, f"took {took:.1f} s, more than {seconds} s"


def failure(checkpoint: Checkpoint, kind: type[HubError], *, seconds: float = SOON, **arguments: Any) -> HubError:
    """The error of a fetch that fails as it should: in time, in one sentence, and with nothing left to trust."""
    with pytest.raises(HubError) as caught, within(seconds):
        fetch(checkpoint, **arguments)
    error = caught.value
    assert type(error) is kind, repr(error)
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text.rstrip(".")
    assert any(remedy in text for remedy in ("try again", "set HF_", "check ", "update the plugin", "tell ", "again"))
    assert locate(checkpoint) is None
    assert damaged_blobs() == []
    return error


def damaged_blobs() -> list[str]:
    """Files in the cache that carry the name of a hash that is not theirs."""

    def whole(path: Path) -> bool:
        data = path.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data)
        return path.name in (hashlib.sha256(data).hexdigest(), git.hexdigest())

    return [path.name for path in cache_folder().glob("*/blobs/*") if path.suffix != ".incomplete" and not whole(path)]


def assert_fetched(checkpoint: Checkpoint, files: dict[str, bytes] = FILES, *, seconds: float = 3.0) -> None:
    with within(seconds):
        folder = fetch(checkpoint)
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert locate(checkpoint) == folder


# What comes over the wire


@contextmanager
def no_such_name() -> Iterator[str]:
    yield "http://hub.invalid"


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(closed_port(), id="refuses"),
        pytest.param(no_such_name(), id="has no address"),
        pytest.param(silent_host(accepts=True), id="is silent"),
        pytest.param(silent_host(accepts=False), id="does not open"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_told_in_five_seconds(
    host: AbstractContextManager[str], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = publish(hub)
    with host as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        error = failure(checkpoint, Offline, seconds=5)
    assert error.status is None
    assert "check the network" in str(error)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert_fetched(checkpoint)


def test_a_name_lookup_that_hangs_holds_up_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that is silent: the system's own lookup has no limit, so the first fetch leaves it behind."""
    checkpoint, over, look_up = publish(hub), threading.Event(), socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "hub.invalid":
            over.wait(30)
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    failure(checkpoint, Offline, seconds=5.5)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert_fetched(checkpoint)
    over.set()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        pytest.param(401, None, Gated, "HF_TOKEN", id="401"),
        pytest.param(401, "GatedRepo", Gated, "terms", id="GatedRepo"),
        pytest.param(403, None, Gated, "HF_TOKEN", id="403"),
        pytest.param(401, "RepoNotFound", NotFound, "some/model", id="401 RepoNotFound"),
        pytest.param(404, "RepoNotFound", NotFound, "some/model", id="RepoNotFound"),
        pytest.param(404, "RevisionNotFound", NotFound, COMMIT, id="RevisionNotFound"),
        pytest.param(404, "EntryNotFound", NotFound, "config.json", id="EntryNotFound"),
        pytest.param(404, None, NotFound, "some/model", id="404"),
        pytest.param(410, None, NotFound, "some/model", id="410"),
        pytest.param(429, None, RateLimited, "HF_TOKEN", id="429"),
        pytest.param(451, None, HubBroken, "refuses some/model", id="451"),
    ],
)
def test_a_refusal_is_told_at_once_with_its_status(
    hub: Hub, method: str, status: int, code: str | None, kind: type[HubError], words: str
) -> None:
    checkpoint = publish(hub)
    hub.fault = refuse(hub, status, code, method=method)
    error = failure(checkpoint, kind)
    assert error.status == status
    assert words in str(error)
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_too_many_requests_says_when_to_come_back(hub: Hub, method: str) -> None:
    checkpoint = publish(hub)
    hub.fault = refuse(hub, 429, method=method, Retry_After="77")
    error = failure(checkpoint, RateLimited)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 77
    assert "77 s" in str(error)
    assert len(hub.paths(method)) == 1, "a Hub that wants fewer requests was asked again"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_hub_that_fails_once_is_asked_again(hub: Hub, method: str) -> None:
    checkpoint = publish(hub)
    hub.fault = refuse(hub, 500, method=method, times=1)
    assert_fetched(checkpoint, seconds=5)


@pytest.mark.parametrize(("status", "method"), [(500, "HEAD"), (500, "GET"), (503, "HEAD"), (504, "GET")])
def test_a_hub_that_keeps_failing_is_broken(hub: Hub, method: str, status: int) -> None:
    checkpoint = publish(hub)
    hub.fault = refuse(hub, status, method=method)
    assert failure(checkpoint, HubBroken, seconds=5).status == status
    hub.fault = None
    assert_fetched(checkpoint)


def sign_in_page(hub: Hub) -> Fault:
    """A network that answers everything itself, as in a hotel."""
    return lambda handler, method, path: (
        bool(hub.send(handler, 200, b"<h1>Sign in</h1>", Content_Type="text/html")) or True
    )


def sign_in_redirect(hub: Hub) -> Fault:
    return lambda handler, method, path: bool(hub.send(handler, 302, Location="http://localhost:1/sign-in")) or True


@pytest.mark.parametrize("fault", [sign_in_page, sign_in_redirect])
def test_what_is_no_hub_is_not_believed(hub: Hub, fault: Callable[[Hub], Fault]) -> None:
    checkpoint = publish(hub)
    hub.fault = fault(hub)
    assert "proxy" in str(failure(checkpoint, HubBroken))
    hub.fault = None
    assert_fetched(checkpoint)


def test_a_compressed_answer_is_unpacked(hub: Hub) -> None:
    """The Hub compresses texts on the way, and then does not say how long they are."""

    def compress(handler: Any, method: str, path: str) -> bool:
        data = hub.content(path) if method == "GET" and "gzip" in handler.headers.get("Accept-Encoding", "") else None
        if data is not None:
            hub.send(handler, 200, gzip.compress(data), Content_Encoding="gzip")
        return data is not None

    checkpoint = with_sha256(publish(hub))
    hub.fault = compress
    assert_fetched(checkpoint)


def test_a_body_that_breaks_off_is_resumed_where_it_broke(hub: Hub) -> None:
    checkpoint = with_sha256(publish(hub, LONG), LONG)
    hub.fault = cut_body(hub, at=11 * MIB, times=1)
    assert_fetched(checkpoint, LONG, seconds=5)
    ranges = [
        request.headers["Range"] for request in hub.log if "/stored/" in request.path and "Range" in request.headers
    ]
    assert ranges == [f"bytes={10 * MIB}-"]


def test_a_body_that_always_breaks_off_is_told(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.fault = cut_body(hub, at=100_000)
    assert "model.safetensors" in str(failure(checkpoint, HubBroken, seconds=8))
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.slow
def test_a_body_that_stops_coming_is_told(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.fault = stall_body(hub, at=100_000)
    assert "model.safetensors" in str(failure(checkpoint, HubBroken, seconds=20))
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.parametrize("by", [-7, 7])
def test_another_number_of_bytes_than_announced_is_told(hub: Hub, by: int) -> None:
    checkpoint = publish(hub)
    hub.fault = wrong_length(hub, by=by)
    failure(checkpoint, HubBroken)
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.parametrize("known", [False, True], ids=["by the Hub's name", "by the plugin's sha256"])
def test_bytes_damaged_on_the_way_are_fetched_once_more_then_refused(hub: Hub, known: bool) -> None:
    checkpoint = with_sha256(publish(hub)) if known else publish(hub)
    hub.fault = corrupt_body(hub)
    assert "arrived damaged twice" in str(failure(checkpoint, Corrupt, seconds=3))
    assert [hub.bodies().count(path) for path in set(hub.bodies())] == [2] * len(FILES)
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.parametrize("known", [False, True], ids=["by the Hub's name", "by the plugin's sha256"])
def test_bytes_damaged_once_are_mended_unseen(hub: Hub, known: bool) -> None:
    checkpoint = with_sha256(publish(hub)) if known else publish(hub)
    hub.fault = corrupt_body(hub, times=1)
    assert_fetched(checkpoint)
    assert len(hub.bodies()) == len(FILES) + 1


def test_a_file_other_than_the_plugin_knows_is_refused(hub: Hub) -> None:
    """The Hub is sure of it, and so was nobody else: the plugin's sha256 counts."""
    checkpoint = with_sha256(publish(hub))
    publish(hub, {name: data[::-1] for name, data in FILES.items()})
    failure(checkpoint, Corrupt, seconds=3)


def test_a_damaged_file_from_another_tool_is_not_trusted(hub: Hub, hub_cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    checkpoint = with_sha256(publish(hub))
    hub.fault = corrupt_body(hub)
    for file in checkpoint.files:
        hf_hub_download("some/model", file, revision=COMMIT, cache_dir=hub_cache, endpoint=hub.url)
    hub.fault = None
    assert len(damaged_blobs()) == len(FILES)
    assert_fetched(checkpoint)


def test_a_file_that_was_laid_there_by_hand_is_not_trusted(hub: Hub, hub_cache: Path) -> None:
    checkpoint = with_sha256(publish(hub))
    folder = hub_cache / "models--some--model" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(300_000))
    assert_fetched(checkpoint)


# Progress and cancelling


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


# Others who fetch, and those who died


CHILD = """
import json, sys
from demo_app.api import Checkpoint
from demo_app.hub import fetch
fields = json.loads(sys.argv[1])
checkpoint = Checkpoint(**fields | {"files": tuple(fields["files"])})
print(fetch(checkpoint, lambda progress: progress.done and print("on its way", flush=True)))
"""


def start_child(checkpoint: Checkpoint, first: str = "") -> subprocess.Popen[str]:
    """Another process that fetches the checkpoint; it prints "on its way" at each tick, and the folder at the end."""
    names = ("name", "title", "repo_id", "revision", "files", "sha256")
    fields = json.dumps({name: getattr(checkpoint, name) for name in names})
    return subprocess.Popen([sys.executable, "-c", first + CHILD, fields], stdout=subprocess.PIPE, text=True)


def folder_of(child: subprocess.Popen[str]) -> Path:
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    return Path(output.splitlines()[-1])


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


# The disk


@pytest.fixture
def small_disk(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache on a disk of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={8 * MIB}", "tmpfs", str(folder)]
    try:
        result = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted: {error}")
    if result.returncode:
        pytest.skip(f"a small disk cannot be mounted: {result.stderr.strip()}")
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_full(error: HubError, needed: int, free: int) -> None:
    assert isinstance(error, DiskFull)
    assert error.needed == needed
    assert error.free is not None
    assert error.free <= free
    assert f"{needed / 1e6:,.1f} MB" in str(error)
    assert f"{error.free / 1e6:,.1f} MB" in str(error)


def test_a_checkpoint_that_does_not_fit_is_refused_before_a_byte_is_fetched(hub: Hub, small_disk: Path) -> None:
    checkpoint = publish(hub, LONG)
    assert_full(failure(checkpoint, DiskFull), sum(map(len, LONG.values())), 8 * MIB)
    assert hub.paths("GET") == []


def test_a_disk_that_fills_up_on_the_way_is_told(hub: Hub, small_disk: Path) -> None:
    files = FILES | {"model.safetensors": random.Random(2).randbytes(4 * MIB)}
    checkpoint, filler = publish(hub, files), small_disk / "filler"

    def fill(handler: Any, method: str, path: str) -> bool:
        if method == "GET" and "stored" in path:
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                file.write(bytes(6 * MIB))
        return False

    hub.fault = fill
    assert_full(failure(checkpoint, DiskFull), sum(map(len, files.values())), 2 * MIB)
    hub.fault = None
    filler.unlink()
    assert_fetched(checkpoint, files)


def test_a_cache_that_is_no_folder_is_named(hub: Hub, hub_cache: Path) -> None:
    checkpoint = publish(hub)
    hub_cache.write_text("")
    assert str(hub_cache) in str(failure(checkpoint, HubError))


# What the environment says


def test_offline_by_choice_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in str(failure(checkpoint, Offline))
    assert hub.log == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert_fetched(checkpoint)


@pytest.mark.parametrize(
    "variables",
    [
        {"HF_HUB_CACHE": "/a/hub"},
        {"HF_HUB_CACHE": "$HOME/hub"},
        {"HF_HUB_CACHE": "~/hub", "HF_HOME": "/b"},
        {"HUGGINGFACE_HUB_CACHE": "/c"},
        {"HF_HOME": "~/d", "XDG_CACHE_HOME": "/e"},
        {"HF_HOME": "$HOME/d"},
        {"XDG_CACHE_HOME": "/e"},
        {},
    ],
    ids=str,
)
def test_the_cache_is_where_other_tools_look_for_it(
    variables: dict[str, str], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    specification = importlib.util.find_spec(constants.__name__)
    assert specification is not None
    assert specification.loader is not None
    as_read_now = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(as_read_now)
    assert cache_folder() == Path(as_read_now.HF_HUB_CACHE)


def test_files_go_where_hf_home_says(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    monkeypatch.delenv("HF_HUB_CACHE")
    assert fetch(checkpoint).is_relative_to(tmp_path / "home" / "hub")


# Secrets


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says from DEBUG up, as one text."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    names = ["", *(name for name in logging.root.manager.loggerDict if name.startswith(("h", "demo_app", "filelock")))]
    before = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in before:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield text
    for logger, level in before.items():
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.mark.parametrize("xet", [False, True], ids=["told where", "redirected"])
def test_the_token_goes_to_the_hub_alone(hub: Hub, xet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files lie elsewhere: the client reads that in the answer to a HEAD, or with Xet on offer is redirected."""
    hub.token, hub.xet = TOKEN, xet
    checkpoint = publish(hub, gated=True)
    failure(checkpoint, Gated)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert_fetched(checkpoint)
    shown = [request for request in hub.log if TOKEN in str(request.headers)]
    assert shown
    assert {request.headers["Host"] for request in shown} == {f"127.0.0.1:{hub.port}"}
    assert {request.headers["Host"] for request in hub.log} == {f"127.0.0.1:{hub.port}", f"localhost:{hub.port}"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda hub: None, id="success"),
        pytest.param(lambda hub: refuse(hub, 401), id="401"),
        pytest.param(lambda hub: refuse(hub, 404, "RepoNotFound"), id="404"),
        pytest.param(lambda hub: refuse(hub, 429, Retry_After="3"), id="429"),
        pytest.param(lambda hub: refuse(hub, 500), id="500"),
        pytest.param(lambda hub: wrong_length(hub, by=3), id="wrong length"),
        pytest.param(lambda hub: corrupt_body(hub), id="damaged"),
        pytest.param(lambda hub: lambda *_: hub.close() or True, id="gone"),
    ],
)
def test_the_token_is_in_no_log_no_error_and_no_note(
    fault: Callable[[Hub], Fault | None],
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    everything_logged: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    checkpoint = publish(hub)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.fault = fault(hub)
    said: list[object] = []
    with nullcontext() if hub.fault is None else pytest.raises(HubError) as caught:
        fetch(checkpoint, said.append)
    if caught is not None:
        said += all_of(caught.value)
    assert TOKEN in str(hub.log[0].headers)
    assert "resolve" in everything_logged.getvalue()
    assert TOKEN not in "\n".join(
        [*map(repr, said), *map(str, said), everything_logged.getvalue(), *capfd.readouterr()]
    )


def test_a_token_that_was_copied_badly_is_told_and_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    monkeypatch.setenv("HF_TOKEN", TOKEN + "…")
    error = failure(checkpoint, HubError)
    assert "HF_TOKEN has a character" in str(error)
    assert TOKEN not in repr(all_of(error))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert_fetched(checkpoint)


def all_of(error: BaseException) -> list[object]:
    """Whatever of an error may end up in a log: itself, its fields, its causes, the traceback."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return [*causes, vars(error), *traceback.format_exception(error)]


@pytest.mark.parametrize("first", ["", "import huggingface_hub"], ids=["alone", "after another has loaded the client"])
def test_nothing_but_the_files_is_asked_for(hub: Hub, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No telemetry, no listing, no Xet, which cannot be watched: the Hub learns which files were fetched."""
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    checkpoint = publish(hub)
    assert folder_of(start_child(checkpoint, first)) == locate(checkpoint)
    assert {request.method for request in hub.log} == {"HEAD", "GET"}
    assert all("/resolve/" in request.path or "/stored/" in request.path for request in hub.log)
    assert all(request.body == b"" for request in hub.log)
