"""What a fetch does when the network or the Hub fails: a clear error, in time, and nothing damaged left behind.

Every test fetches over HTTP from a Hub on loopback. A fault must pass: once it is gone, the same fetch succeeds.
"""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_fetches import (
    COMMIT,
    FILES,
    LONG,
    MIB,
    assert_fetched,
    damaged_blobs,
    failure,
    publish,
    with_sha256,
)

from demo_app.hub.errors import Corrupt, Gated, HubBroken, HubError, NotFound, Offline, RateLimited
from demo_app.testing.faults import closed_port, corrupt_body, cut_body, refuse, silent_host, stall_body, wrong_length
from demo_app.testing.hub import Fault, Hub


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
def test_a_hub_that_cannot_be_reached_is_reported_in_five_seconds(
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
def test_a_refusal_is_reported_at_once_with_its_status(
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
def test_an_answer_that_is_not_a_hubs_is_not_trusted(hub: Hub, fault: Callable[[Hub], Fault]) -> None:
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
    assert ranges == [f"bytes={11 * MIB}-"]


def test_a_body_that_always_breaks_off_is_reported(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.fault = cut_body(hub, at=100_000)
    assert "model.safetensors" in str(failure(checkpoint, HubBroken, seconds=8))
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.slow
def test_a_body_that_stops_coming_is_reported(hub: Hub) -> None:
    checkpoint = publish(hub)
    hub.fault = stall_body(hub, at=100_000)
    assert "model.safetensors" in str(failure(checkpoint, HubBroken, seconds=30))
    hub.fault = None
    assert_fetched(checkpoint)


@pytest.mark.parametrize("by", [-7, 7])
def test_another_number_of_bytes_than_announced_is_reported(hub: Hub, by: int) -> None:
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
def test_bytes_damaged_once_are_fetched_again_unseen(hub: Hub, known: bool) -> None:
    checkpoint = with_sha256(publish(hub)) if known else publish(hub)
    hub.fault = corrupt_body(hub, times=1)
    assert_fetched(checkpoint)
    assert len(hub.bodies()) == len(FILES) + 1


def test_a_file_other_than_the_plugin_knows_is_refused(hub: Hub) -> None:
    """The file has the hash that the Hub names it by, but not the plugin's sha256, which counts."""
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


def test_a_file_that_was_put_there_by_hand_is_not_trusted(hub: Hub, hub_cache: Path) -> None:
    checkpoint = with_sha256(publish(hub))
    folder = hub_cache / "models--some--model" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(300_000))
    assert_fetched(checkpoint)
