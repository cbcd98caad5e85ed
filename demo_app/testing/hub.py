"""A Hugging Face Hub on loopback: real HTTP, real redirects, uploads, and every fault that a download can meet.

It speaks the protocol of huggingface_hub 2.4 without Xet. Downloads: `HEAD` and `GET` of
`/{repo}/resolve/{sha}/{file}`, ranges, weights at another origin as on the real Hub, facts and files of a repository.
Uploads: create, ask how to send each file, send large ones as LFS, commit. Models, data sets and Spaces; tokens; and
the error headers that decide which exception the client raises. A fault is a function of `demo_app.testing.faults`:
`hub.fault = cut_body(hub, at=1000)` puts it between client and Hub.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from demo_app.testing.repositories import Repo, commit_id
from demo_app.testing.routes import Fault, Request, Routes

__all__ = ["TOKEN", "Fault", "Hub", "Repo", "Request"]

TOKEN = "hf_a_token_of_the_test_hub"
"""The token of the fixture `writable_hub`."""


class Hub(Routes):
    """A Hub at `url`, running from the start until `close`.

    `token` opens its gated and private repositories, and may write for the user `me`; without one they stay closed, and
    nobody can write. `repos` has each repository by its path: "me/model", "spaces/me/page". `log` has each request,
    `fault` may answer it instead of the Hub, `throttle` sets the pace of each body in bytes a second.
    """

    def __init__(self, token: str | None = None, user: str = "me") -> None:
        super().__init__(token, user)
        self._connections: set[socket.socket] = set()
        self._server = _serve(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.store_url = f"http://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and close open connections: clients keep theirs, and a Hub that is down must not answer on them."""
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
        """Publish `files` as commit `sha` of 40 hex digits; by default it is computed from the content.

        The id of a Space is "spaces/me/page", that of a data set "datasets/me/rows".
        """
        sha = sha or commit_id(files)
        self.repos[repo_id] = Repo(files=dict(files), sha=sha, gated=gated, private=private)
        return self.repos[repo_id]

    def paths(self, method: str) -> list[str]:
        """The requested paths with this method, in order."""
        return [request.path for request in list(self.log) if request.method == method]

    def bodies(self) -> list[str]:
        """The paths of the requested files, in order, without redirects to them."""
        return [path for path in self.paths("GET") if self.content(path) is not None]


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
            pass  # the client closed the connection, as tests make it do

    return Server(("127.0.0.1", 0), Handler)
