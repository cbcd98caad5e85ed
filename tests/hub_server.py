"""A Hugging Face Hub on loopback: real HTTP, real redirects, and every fault that a download can meet.

It speaks the download half of the protocol of huggingface_hub 2.4: `HEAD` and `GET` of `/{repo}/resolve/{sha}/{file}`,
ranges, weights that lie at another origin as they do at the real Hub, tokens, and the error headers that decide which
exception the client raises. A fault is a function; `hub.fault = cut_body(hub, at=1000)` puts it between client and Hub.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import pytest

LARGE = (".safetensors", ".bin", ".spm", ".onnx")  # stored apart from the repository, named by their sha256
BLOCK = 64 * 2**10  # bytes written at once
FLIPPED = bytes(255 - byte for byte in range(256))

RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
STORED = re.compile(r"/stored/(?P<digest>[0-9a-f]{64})")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")

Fault = Callable[[BaseHTTPRequestHandler, str, str], bool]
"""`(handler, method, path)`: True where it has answered, so that the Hub does not."""


class Request(NamedTuple):
    """One request as it came in; the names of its headers are Written-So."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A model repository at its only commit."""

    files: Mapping[str, bytes]
    sha: str
    gated: bool = False
    private: bool = False


class Hub:
    """A Hub at `url`. `token` is the one that opens its gated and private repositories; without it they stay shut."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.repos: dict[str, Repo] = {}
        self.log: list[Request] = []
        self.fault: Fault | None = None
        self.throttle: float | None = None  # bytes a second of each body
        self.xet = (
            True  # offer large files through Xet too, as the real Hub does: a client that we want to watch declines
        )
        self._closed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server = _serve(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.store_url = f"http://localhost:{self.port}"  # the same server, but another origin to a client
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and hang up on those still connected: a client keeps connections, and a Hub that is down is silent."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        sha: str | None = None,
        gated: bool = False,
        private: bool = False,
    ) -> Repo:
        """Publish `files` as commit `sha`, 40 hex digits; one made from the content without it."""
        sha = sha or hashlib.sha1(b"".join(name.encode() + data for name, data in sorted(files.items()))).hexdigest()
        self.repos[repo_id] = Repo(files=dict(files), sha=sha, gated=gated, private=private)
        return self.repos[repo_id]

    def paths(self, method: str) -> list[str]:
        """The paths asked for with `method`, in order."""
        return [request.path for request in list(self.log) if request.method == method]

    def bodies(self) -> list[str]:
        """The paths of the files that were asked for, in order; redirects to them left out."""
        return [path for path in self.paths("GET") if self.content(path) is not None]

    def content(self, path: str) -> bytes | None:
        """The bytes that `GET path` gives; `None` where it gives an error or a redirect."""
        if stored := STORED.fullmatch(path):
            return self._stored(stored["digest"])
        if (asked := RESOLVE.fullmatch(path)) and not asked["file"].endswith(LARGE):
            repo = self.repos.get(asked["repo"])
            return repo.files.get(unquote(asked["file"])) if repo else None
        return None

    # Answers

    def send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer, at the pace of `throttle`. `X_Error_Code="…"` becomes the header X-Error-Code."""
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        for start in range(0, len(body), BLOCK):
            block = body[start : start + BLOCK]
            if self.throttle and self._closed.wait(len(block) / self.throttle):
                return
            handler.wfile.write(block)

    def error(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        code: str | None = None,
        message: str = "Something went wrong.",
        **headers: str,
    ) -> None:
        """Refuse as the Hub does: `code` is RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo or nothing."""
        named = {"X_Error_Code": code} if code else {}
        self.send(handler, status, message.encode(), **named, X_Error_Message=message, X_Request_Id="test", **headers)

    def send_file(self, handler: BaseHTTPRequestHandler, data: bytes, **headers: str) -> None:
        """The file, or the range of it that the request names."""
        headers = {"Accept_Ranges": "bytes", "Content_Type": "application/octet-stream"} | headers
        wanted = RANGE.fullmatch(handler.headers.get("Range", ""))
        if wanted is None:
            return self.send(handler, 200, data, **headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if first > last:
            return self.send(handler, 416, Content_Range=f"bytes */{len(data)}")
        self.send(handler, 206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)

    # Routes

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Log a request and answer it, unless the fault does."""
        method, path = handler.command, handler.path
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.log.append(Request(method, path, {name.title(): value for name, value in handler.headers.items()}, body))
        if self.fault is not None and self.fault(handler, method, path):
            return
        if asked := RESOLVE.fullmatch(path):
            self._resolve(handler, asked["repo"], unquote(asked["revision"]), unquote(asked["file"]))
        elif (stored := STORED.fullmatch(path)) and (data := self._stored(stored["digest"])) is not None:
            self.send_file(handler, data, ETag=f'"{stored["digest"]}"')
        else:
            self.error(handler, 404, message=f"No route {path}.")

    def _resolve(self, handler: BaseHTTPRequestHandler, repo_id: str, revision: str, file: str) -> None:
        repo = self._open_repo(handler, repo_id)
        if repo is None:
            return
        if revision not in (repo.sha, "main"):
            return self.error(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file not in repo.files:
            return self.error(handler, 404, "EntryNotFound", "Entry not found", X_Repo_Commit=repo.sha)
        data = repo.files[file]
        if not file.endswith(LARGE):
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            return self.send_file(handler, data, ETag=f'"{blob}"', X_Repo_Commit=repo.sha)
        digest = hashlib.sha256(data).hexdigest()
        xet = {"X_Xet_Hash": digest, "X_Xet_Refresh_Route": f"{self.url}/api/xet-read-token"} if self.xet else {}
        self.send(
            handler,
            302,
            **xet,
            Location=f"{self.store_url}/stored/{digest}",
            X_Linked_Etag=f'"{digest}"',
            X_Linked_Size=str(len(data)),
            X_Repo_Commit=repo.sha,
        )

    def _open_repo(self, handler: BaseHTTPRequestHandler, repo_id: str) -> Repo | None:
        """The repository, or `None` after refusing: what is private is said not to exist."""
        repo = self.repos.get(repo_id)
        shown = handler.headers.get("Authorization")
        opens = self.token is not None and shown == f"Bearer {self.token}"
        if repo is None or (repo.private and not opens):
            self.error(handler, 404 if shown else 401, "RepoNotFound", "Repository not found")
        elif repo.gated and not opens:
            self.error(handler, 403 if shown else 401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        else:
            return repo
        return None

    def _stored(self, digest: str) -> bytes | None:
        files = (item for repo in self.repos.values() for item in repo.files.items())
        large = (data for name, data in files if name.endswith(LARGE))
        return next((data for data in large if hashlib.sha256(data).hexdigest() == digest), None)


def _serve(hub: Hub) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.answer(self)

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def process_request(self, request: Any, client_address: Any) -> None:
            hub._connections.add(request)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            hub._connections.discard(request)
            super().shutdown_request(request)

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # the client hung up, as the tests make it do

    return Server(("127.0.0.1", 0), Handler)


# Faults


def refuse(
    hub: Hub, status: int, code: str | None = None, *, method: str = "", times: float = inf, **headers: str
) -> Fault:
    """The first `times` requests, of one method or of all, get an error."""
    left = _counter(times)

    def fault(handler: BaseHTTPRequestHandler, verb: str, path: str) -> bool:
        hit = method in ("", verb) and left()
        if hit:
            hub.error(handler, status, code, HTTPStatus(status).phrase, **headers)
        return hit

    return fault


def cut_body(hub: Hub, *, at: int, times: float = inf) -> Fault:
    """The connection breaks after `at` bytes of a body; bodies that are not longer arrive."""
    return _body_fault(hub, at, times, lambda handler: None)


def stall_body(hub: Hub, *, at: int, times: float = inf, stalled: threading.Event | None = None) -> Fault:
    """After `at` bytes of a body nothing more comes, and the connection stays; `stalled` is set when that begins."""

    def wait(handler: BaseHTTPRequestHandler) -> None:
        if stalled is not None:
            stalled.set()
        handler.rfile.read(1)  # until the client hangs up, or the Hub closes

    return _body_fault(hub, at, times, wait)


def corrupt_body(hub: Hub, *, times: float = inf) -> Fault:
    """As many bytes as there should be, all of them wrong."""
    return _other_body(hub, lambda data: data.translate(FLIPPED), times)


def wrong_length(hub: Hub, *, by: int, times: float = inf) -> Fault:
    """A well-formed answer with `by` bytes more than the file has, or fewer."""
    return _other_body(hub, lambda data: data + bytes(by) if by > 0 else data[:by], times)


@contextmanager
def silent_host(*, accepts: bool) -> Iterator[str]:
    """The URL of a host that says nothing: it opens the connection and never replies, or does not even open it."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128 if accepts else 0)
        if not accepts:  # the queue of one is full: the kernel drops whoever knocks
            for guest in (first, second):
                guest.setblocking(False)
                guest.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    """The URL of a port where nobody listens, and nobody else will while we hold it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def _body_fault(hub: Hub, at: int, times: float, end: Callable[[BaseHTTPRequestHandler], None]) -> Fault:
    left = _counter(times)

    def fault(handler: BaseHTTPRequestHandler, method: str, path: str) -> bool:
        data = hub.content(path) if method == "GET" else None
        if data is None or len(data) <= at or not left():
            return False
        wanted = RANGE.fullmatch(handler.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        handler.send_response(206 if wanted else 200)
        handler.send_header("Content-Length", str(len(data) - first))
        handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        handler.wfile.write(data[first:at])
        handler.close_connection = True
        end(handler)
        with suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    return fault


def _other_body(hub: Hub, change: Callable[[bytes], bytes], times: float) -> Fault:
    left = _counter(times)

    def fault(handler: BaseHTTPRequestHandler, method: str, path: str) -> bool:
        data = hub.content(path) if method == "GET" else None
        if data is None or not left():
            return False
        hub.send_file(handler, change(data))
        return True

    return fault


def _counter(times: float) -> Callable[[], bool]:
    """True for the first `times` calls, from whatever thread."""
    lock, left = threading.Lock(), times

    def take() -> bool:
        nonlocal left
        with lock:
            left -= 1
            return left >= 0

    return take


# Fixtures


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache of our own, and no token."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))  # it read HF_HOME when it was imported
    return folder


@pytest.fixture
def hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub of our own, empty, which this process and its children fetch from."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
