"""Faults of the test Hub: refusals, cut and stalled bodies, corrupt files; and hosts that do not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from math import inf

from demo_app.testing.answers import RANGE
from demo_app.testing.hub import Fault, Hub

FLIPPED = bytes(255 - byte for byte in range(256))


def refuse(
    hub: Hub, status: int, code: str | None = None, *, method: str = "", times: float = inf, **headers: str
) -> Fault:
    """The first `times` requests with this method, or with any, get an error."""
    left = _counter(times)

    def fault(handler: BaseHTTPRequestHandler, verb: str, path: str) -> bool:
        hit = method in ("", verb) and left()
        if hit:
            hub.error(handler, status, code, HTTPStatus(status).phrase, **headers)
        return hit

    return fault


def cut_body(hub: Hub, *, at: int, times: float = inf) -> Fault:
    """The connection breaks after `at` bytes of a body; shorter bodies arrive."""
    return _body_fault(hub, at, times, lambda handler: None)


def stall_body(hub: Hub, *, at: int, times: float = inf, stalled: threading.Event | None = None) -> Fault:
    """After `at` bytes of a body nothing more comes, and the connection stays open; `stalled` is set at that moment."""

    def wait(handler: BaseHTTPRequestHandler) -> None:
        if stalled is not None:
            stalled.set()
        handler.rfile.read(1)  # until the client closes the connection, or the Hub does

    return _body_fault(hub, at, times, wait)


def corrupt_body(hub: Hub, *, times: float = inf) -> Fault:
    """The right number of bytes, all of them wrong."""
    return _other_body(hub, lambda data: data.translate(FLIPPED), times)


def wrong_length(hub: Hub, *, by: int, times: float = inf) -> Fault:
    """A well-formed answer with `by` bytes more than the file has; fewer if negative."""
    return _other_body(hub, lambda data: data + bytes(by) if by > 0 else data[:by], times)


@contextmanager
def silent_host(*, accepts: bool) -> Iterator[str]:
    """The URL of a host that accepts connections and never replies, or does not even accept them."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128 if accepts else 0)
        if not accepts:  # the queue of one is full, so the kernel drops new connections
            for guest in (first, second):
                guest.setblocking(False)
                guest.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    """The URL of a port that nobody listens on, held so that nobody else can."""
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
    """A function that returns True the first `times` times, from any thread."""
    lock, left = threading.Lock(), times

    def take() -> bool:
        nonlocal left
        with lock:
            left -= 1
            return left >= 0

    return take
