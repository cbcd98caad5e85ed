"""The steps of a download, each called by itself: rates, patience, attempts, leftovers, and what a lock is for."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from demo_app import Checkpoint
from demo_app.hub import checksums, download, files, network
from demo_app.hub.checksums import is_unverified, verify
from demo_app.hub.download import Download
from demo_app.hub.errors import Cancelled, HubBroken, HubError, Offline
from demo_app.hub.progress import Progress

MIB = 2**20
COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


def far(**fields: Any) -> Checkpoint:
    return Checkpoint(
        **({"name": "far", "title": "Far", "repo_id": "some/model", "revision": COMMIT, "files": ("a",)} | fields)
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the time that `download` sees."""
    now = [1000.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    return lambda moment: now.__setitem__(0, 1000.0 + moment)


def answer(status: int) -> HfHubHTTPError:
    return HfHubHTTPError("no", response=httpx.Response(status, request=httpx.Request("GET", "http://hub/")))


def test_the_rate_is_that_of_the_last_three_seconds(cache: Path, clock: Callable[[float], None]) -> None:
    running = Download(far())
    clock(0)
    assert (running.progress().done, running.progress().rate, running.progress().total) == (0, 0.0, None)
    running._total = 500
    running._received(100)
    clock(2)
    found = running.progress()
    assert (found.done, found.total, found.rate, found.note) == (100, 500, 50.0, "asking the Hub")
    for step in range(30):
        clock(3 + step / 10)
        running.progress()
    assert running.progress().rate == 0.0, "nothing came in that time"
    running._done = 0  # another attempt
    assert running.progress().rate == 0.0


@pytest.mark.parametrize(
    ("done", "total", "fraction"), [(0, None, 0.0), (5, None, 0.0), (5, 0, 0.0), (1, 4, 0.25), (4, 4, 1.0), (5, 4, 1.0)]
)
def test_the_share_that_is_here(done: int, total: int | None, fraction: float) -> None:
    assert Progress(done=done, total=total).fraction == fraction


@pytest.mark.parametrize(("seconds", "over"), [(download.SILENT_SECONDS, False), (download.SILENT_SECONDS + 0.1, True)])
def test_a_request_may_be_unanswered_for_so_long(
    cache: Path, clock: Callable[[float], None], seconds: float, over: bool
) -> None:
    running = Download(far())
    clock(100)
    running.check_patience()
    running._asked = 1000.0
    clock(seconds)
    if not over:
        return running.check_patience()
    with pytest.raises(Offline, match="does not answer"):
        running.check_patience()


@pytest.mark.parametrize(
    ("file", "note", "seconds", "over"),
    [
        ("a", "", download.STALLED_SECONDS, False),
        ("a", "", download.STALLED_SECONDS + 0.1, True),
        ("a", "checking", download.STALLED_SECONDS + 0.1, False),
        ("", "", download.STALLED_SECONDS + 0.1, False),
    ],
)
def test_a_file_may_stop_coming_for_so_long(
    cache: Path, clock: Callable[[float], None], file: str, note: str, seconds: float, over: bool
) -> None:
    clock(0)
    running = Download(far())
    running._file, running._note = file, note
    clock(seconds)
    if not over:
        return running.check_patience()
    with pytest.raises(HubBroken, match="stopped sending a of some/model"):
        running.check_patience()
    running._received(1)
    running.check_patience()


@pytest.mark.parametrize(
    ("statuses", "asked", "raised"),
    [
        ([], 1, None),
        ([500], 2, None),
        ([503, 599], 3, None),
        ([500, 500, 500], 3, 500),
        ([499], 1, 499),
        ([404], 1, 404),
        ([500, 404], 2, 404),
    ],
)
def test_an_error_of_the_hubs_own_is_asked_for_again(
    statuses: list[int], asked: int, raised: int | None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    running, calls = Download(far()), []

    def ask(file: str) -> str:
        calls.append(file)
        if len(calls) <= len(statuses):
            raise answer(statuses[len(calls) - 1])
        return f"{file} is here"

    if raised is None:
        assert running._insist(ask, "it") == "it is here"
    else:
        with pytest.raises(HfHubHTTPError) as caught:
            running._insist(ask, "it")
        assert caught.value.response.status_code == raised
    assert calls == ["it"] * asked


def test_who_was_stopped_asks_no_more(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Download(far())

    def ask() -> None:
        running.stop()
        raise answer(500)

    with pytest.raises(Cancelled, match="Fetching some/model was cancelled"):
        running._insist(ask)
    with pytest.raises(Cancelled):
        running._received(1)


def test_offline_is_said_before_anything_is_asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Download(far())
    monkeypatch.setattr(download.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(download, "is_offline", lambda: True)
    with pytest.raises(Offline, match="HF_HUB_OFFLINE is set"):
        running._fetch(["a"])
    monkeypatch.setattr(download.constants, "is_offline_mode", lambda: True)
    monkeypatch.setattr(download, "is_offline", lambda: False)
    with pytest.raises(Offline, match="HF_HUB_OFFLINE is set"):
        running._fetch(["a"])


@pytest.mark.parametrize(("free", "fits"), [(2 * MIB + 10, True), (2 * MIB + 9, False), (MIB + 10, False)])
def test_a_mebibyte_of_the_disk_stays_free(free: int, fits: bool, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running, fetched = Download(far()), []
    monkeypatch.setattr(download.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(download, "is_offline", lambda: False)
    monkeypatch.setattr(download.network, "check", lambda: None)
    monkeypatch.setattr(running, "_first_answer", {"a": 10, "b": MIB}.__getitem__)
    monkeypatch.setattr(running, "_fetch_file", lambda file, before: fetched.append((file, before)))
    monkeypatch.setattr(download.faults, "free_bytes", lambda path: free)
    if fits:
        running._fetch(["a", "b"])
        assert fetched == [("a", 0), ("b", 10)]
        assert (running.progress().done, running.progress().total) == (MIB + 10, MIB + 10)
    else:
        with pytest.raises(HubError, match="disk"):
            running._fetch(["a", "b"])
        assert not fetched


def test_what_killed_downloads_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    now = time.time()
    for name, age in (("old.incomplete", 3700), ("new.incomplete", 3500), ("old", 10**6)):
        path = tmp_path / "blobs" / name
        path.write_bytes(b"x")
        os.utime(path, (now - age, now - age))
    download._remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "blobs").iterdir()) == ["new.incomplete", "old"]


# Checksums


def cached(cache: Path, name: str, content: bytes, blob: str = "") -> Path:
    """A file of the checkpoint, a link to a blob of that name as in the Hub's cache, or a plain file."""
    repo = cache / "models--some--model"
    path = repo / "snapshots" / COMMIT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if blob:
        (repo / "blobs").mkdir(exist_ok=True)
        (repo / "blobs" / blob).write_bytes(content)
        path.symlink_to(repo / "blobs" / blob)
    else:
        path.write_bytes(content)
    return path


SHA256 = hashlib.sha256(b"weights").hexdigest()
GIT = hashlib.sha1(b"blob 7\0weights").hexdigest()


@pytest.mark.parametrize(
    ("blob", "sha256", "content", "good"),
    [
        (SHA256, {}, b"weights", True),
        (SHA256, {}, b"others!", False),
        (GIT, {}, b"weights", True),
        (GIT, {}, b"others!", False),
        ("", {}, b"others!", True),  # a cache without links says nothing
        ("", {"a": SHA256}, b"weights", True),
        ("", {"a": SHA256}, b"others!", False),
        (GIT, {"a": SHA256}, b"weights", True),
        (SHA256, {"a": "0" * 64}, b"weights", False),
    ],
)
def test_a_file_is_the_published_one_by_the_plugins_hash_or_the_hubs(
    blob: str, sha256: dict[str, str], content: bytes, good: bool, cache: Path
) -> None:
    cached(cache, "a", content, blob)
    checkpoint = far(sha256=sha256)
    assert is_unverified(checkpoint, "a")
    assert verify(checkpoint, "a") == good
    assert is_unverified(checkpoint, "a") != good


def test_a_verified_file_is_not_read_again_until_it_changes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = cached(cache, "a", b"weights", SHA256), []
    cached(cache, "b", b"weights")
    real = checksums._digest
    monkeypatch.setattr(checksums, "_digest", lambda *args: read.append(args[0].name) or real(*args))
    assert verify(far(), "a")
    assert verify(far(), "b")
    assert verify(far(), "a")
    assert read == ["a"]
    os.utime(path, ns=(1, 1))
    assert is_unverified(far(), "a")
    assert not is_unverified(far(), "b"), "the other is remembered beside it"
    assert verify(far(), "a")
    assert read == ["a", "a"]
    assert is_unverified(far(sha256={"a": "0" * 64}), "a"), "another hash was asked for"


@pytest.mark.parametrize("record", ["[]", "{", "7", '{"x": 1}'])
def test_a_record_that_cannot_be_read_counts_as_none(record: str, cache: Path) -> None:
    cached(cache, "a", b"weights", SHA256)
    (cache / "models--some--model" / checksums.VERIFIED).write_text(record)
    assert is_unverified(far(), "a")
    assert verify(far(), "a")
    assert not is_unverified(far(), "a")


def test_reading_a_large_file_ends_when_it_is_told_to(cache: Path) -> None:
    cached(cache, "a", b"weights", SHA256)

    def stop() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        verify(far(), "a", stop)
    assert is_unverified(far(), "a")


# Where files are


def test_size_and_missing_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "inner" / "b").write_bytes(b"4567")
    assert files.size_on_disk(tmp_path) == 7
    assert files.size_on_disk(tmp_path, ["inner/b", "none", "inner"]) == 4
    assert files.missing_files(tmp_path, ["a", "inner", "none", "inner/b"]) == ["inner", "none"]
    assert files.locate(far(repo_id=None, revision=None, folder=tmp_path, files=("a",))) == tmp_path
    assert files.locate(far(repo_id=None, revision=None, folder=tmp_path, files=("a", "none"))) is None


# The way to the Hub

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set these variables, and no other of proxies and of the Hub's address."""
    for name in (*PROXIES, *(name.upper() for name in PROXIES), "HF_ENDPOINT", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(*item) for item in values.items()] and None


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, ""),
        ({"https_proxy": "http://proxy:3128"}, "proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, ""),
        ({"http_proxy": "http://proxy:3128", "HF_ENDPOINT": "http://mirror"}, "proxy:3128"),
        ({"all_proxy": "proxy:3128"}, "proxy:3128"),
        ({"all_proxy": "http://one:1", "https_proxy": "http://two:2"}, "two:2"),
        ({"https_proxy": "http://user:secret@proxy:3128"}, "proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "*"}, ""),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "huggingface.co"}, ""),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "other.co"}, "proxy:3128"),
    ],
)
def test_the_proxy_is_named_without_its_password(
    variables: dict[str, str], proxy: str, environ: Callable[..., None]
) -> None:
    environ(**variables)
    assert network.proxy() == proxy


@pytest.mark.parametrize(
    ("endpoint", "count"),
    [("http://127.0.0.1:9", 1), ("http://name.invalid", 1), ("http://twice", 2), ("http://nothing", 1)],
)
def test_all_addresses_of_a_name_count(
    endpoint: str, count: int, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"127.0.0.1": 1, "twice": 2, "nothing": 0}
    asked = []

    def look_up(host: str, port: int, **_: Any) -> list[None]:
        asked.append((host, port))
        if host not in known:
            raise OSError("no such name")
        return [None] * known[host]

    monkeypatch.setattr(network.socket, "getaddrinfo", look_up)
    environ(HF_ENDPOINT=endpoint)
    assert network.addresses() == count
    assert asked[0][1] == (9 if endpoint.endswith(":9") else 443)


def test_with_a_proxy_its_addresses_count(environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.socket, "getaddrinfo", lambda host, port, **_: [None] * {("p", 3128): 3}[host, port])
    environ(https_proxy="http://p:3128")
    assert network.addresses() == 3


def test_certificates_are_a_file_of_some_or_a_folder(tmp_path: Path, environ: Callable[..., None]) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for variables, good in (
        ({"SSL_CERT_DIR": str(tmp_path)}, True),
        ({"SSL_CERT_DIR": str(wrong)}, False),
        ({"SSL_CERT_DIR": str(tmp_path / "none")}, False),
        ({"SSL_CERT_FILE": str(wrong)}, False),
        ({"SSL_CERT_FILE": str(tmp_path / "none")}, False),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, True),
    ):
        environ(SSL_CERT_FILE="", SSL_CERT_DIR="")
        environ(**variables)
        if good:
            network.check()
        else:
            with pytest.raises(HubError, match=next(iter(variables))):
                network.check()
