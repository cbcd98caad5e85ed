"""Proxies, certificates, tokens, addresses and locks between us and the Hub: served, or each its own sentence."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hub_fetches import assert_fetched, publish
from huggingface_hub.utils import close_session

from demo_app.errors import DemoError
from demo_app.hub import checksums
from demo_app.hub.errors import HubError
from demo_app.hub.fetch import fetch
from demo_app.hub.files import cache_folder, locate
from demo_app.testing.hub import Hub

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "HF_TOKEN")


@pytest.fixture(autouse=True)
def _own_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """huggingface_hub reads proxies and certificates when it makes its client: let each test make its own."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    close_session()
    yield
    close_session()


def sentence(hub: Hub) -> str:
    """What a visitor reads when a fetch fails; a `DemoError` of another kind or a traceback fails the test."""
    with pytest.raises(HubError) as caught:
        fetch(publish(hub))
    text = str(caught.value)
    assert re.fullmatch(r"[^\n]+\.", text)
    assert ". " not in text
    return text


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", "ALL_PROXY names a SOCKS proxy.*pip install socksio, or unset"),
        ("HTTPS_PROXY", "socks5h://u:secret@127.0.0.1:1", "HTTPS_PROXY names a SOCKS proxy.*socksio"),
        ("ALL_PROXY", "socks://127.0.0.1:1080/", "ALL_PROXY names no proxy that can be used; write http://"),
        ("HTTP_PROXY", "ftp://127.0.0.1", "HTTP_PROXY names no proxy"),
        ("HTTP_PROXY", "http://", "HTTP_PROXY names no proxy"),
        ("HTTP_PROXY", "127.0.0.1:9", "through the proxy 127.0.0.1:9; check HTTPS_PROXY"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE names /nowhere/ca.pem"),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE names .* no certificates"),
        ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR names /nowhere"),
        ("HF_ENDPOINT", "http://", "HF_ENDPOINT is 'http://', which is no address"),
        ("HF_ENDPOINT", "ftp://hub.example", "HF_ENDPOINT is .* no address"),
        ("HF_ENDPOINT", "not an address", "HF_ENDPOINT is .* no address"),
    ],
)
def test_what_keeps_every_request_from_the_hub_is_named(
    variable: str, value: str, words: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    text = sentence(hub)
    assert re.search(words, text), text
    assert "secret" not in text


@pytest.mark.parametrize("write", ['"{}"', "{}/", " {} ", "'{}/'"])
def test_an_address_in_quotes_or_with_a_slash_is_served(write: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", write.format(hub.url))
    assert_fetched(publish(hub))


@contextmanager
def proxy(status: int) -> Iterator[str]:
    """A proxy that answers every request, CONNECT too, with that status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("status", "words"), [(407, "wants a name and a password"), (403, "The (proxy|Hub) ")])
def test_a_proxy_that_says_no_is_named(
    scheme: str, status: int, words: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(status) as address:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", address)
        monkeypatch.setenv("HF_ENDPOINT", f"{scheme}://hub.example")
        text = sentence(hub)
    assert re.search(words, text), text


def test_an_expired_token_does_not_keep_us_from_a_public_repository(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")

    def say_no(handler: BaseHTTPRequestHandler, method: str, path: str) -> bool:
        hub.error(handler, 401, None, 'User Access Token "old" is expired')
        return True

    hub.fault = lambda handler, *rest: bool(handler.headers.get("Authorization")) and say_no(handler, *rest)
    assert_fetched(publish(hub))
    hub.fault = say_no
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert "does not take the token in HF_TOKEN" in sentence(hub)


def test_dead_addresses_before_a_good_one_leave_time_for_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    with socket.socket() as dead:  # its queue is full: connecting to it is not answered
        dead.bind(("127.0.0.1", 0))
        dead.listen(0)
        full = [socket.socket() for _ in range(3)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(dead.getsockname())

        def several(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
            found = look_up("127.0.0.1" if host == "hub.example" else host, port, *arguments, **options)
            if host != "hub.example":
                return found
            return [(*found[0][:4], dead.getsockname())] * 3 + [(*found[0][:4], ("127.0.0.1", hub.port))]

        monkeypatch.setattr(socket, "getaddrinfo", several)
        monkeypatch.setenv("HF_ENDPOINT", f"http://hub.example:{hub.port}")
        assert_fetched(publish(hub), seconds=15)
        for one in full:
            one.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(number: int, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    def refused(self: Any) -> None:
        raise OSError(number, os.strerror(number))

    checkpoint = publish(hub)
    with monkeypatch.context() as patched:
        patched.setattr(filelock.FileLock, "_acquire", refused)
        assert "file system without locks" in sentence(hub)
    assert_fetched(checkpoint)
    (cache_folder() / "models--some--model" / checksums.VERIFIED).unlink()
    checksums._verified_here.clear()
    monkeypatch.setattr(filelock.FileLock, "_acquire", refused)
    assert_fetched(checkpoint)  # complete: it needs no lock


def test_a_complete_cache_that_cannot_be_written_is_used(hub: Hub) -> None:
    checkpoint = publish(hub)
    assert_fetched(checkpoint)
    cache = cache_folder()
    (cache / "models--some--model" / checksums.VERIFIED).unlink()
    checksums._verified_here.clear()
    (cache / ".locks").rename(cache / "locks-of-another")
    (cache / ".locks").write_text("a folder that cannot be made, for root too")
    assert_fetched(checkpoint)
    checksums.verify(checkpoint, "config.json")
    assert not checksums.is_unverified(checkpoint, "config.json")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may enter every folder")
def test_a_cache_that_cannot_be_entered_has_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    monkeypatch.setenv("HF_HUB_CACHE", str(closed / "hub"))
    assert locate(publish(hub)) is None
    assert "set HF_HOME" in sentence(hub)
    closed.chmod(stat.S_IRWXU)


def test_a_name_that_is_too_long_is_missing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/" + "long" * 2000)
    assert locate(publish(hub)) is None
    with pytest.raises(DemoError):
        fetch(publish(hub))
