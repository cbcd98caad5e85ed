"""The gate around an app that notes what reaches it: what is let in, what is refused, and with which words."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers

from demo_app.page.guard import Handlers
from demo_app.serving import gate as gates
from demo_app.serving.bounds import Names, bound_of, table
from demo_app.serving.gate import Gate
from demo_app.serving.routes import Routes
from demo_app.serving.uploads import Uploads
from demo_app.settings import Settings

SETTINGS = Settings(max_request=100, max_upload=1000, max_uploads=8000)


class Site:
    """A gate in front of an app, and what reached the app."""

    def __init__(self, settings: Settings = SETTINGS, parts: Sequence[Any] = (), files: Sequence[Path] = ()) -> None:
        self.handlers = Handlers(settings, CollectorRegistry())
        self.forgotten: list[Path] = []
        self.uploads = Uploads(settings.max_uploads, lambda: files, lambda paths: self.forgotten.extend(paths))
        self.unqueued: set[Any] = set()
        self.bodies: list[bytes] = []
        self.ended: list[str] = []
        self.running = 0
        self.status = 200
        self.error: Exception | None = None
        self.gate = Gate(self.app, self.handlers, self.unqueued, Routes(parts), self.uploads)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.running = max(self.running, len(self.unqueued))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        self.ended.append(message["type"])
        self.bodies.append(body)
        if self.error is not None:
            raise self.error
        headers = [(b"cache-control", b"public")] if scope["path"].endswith("theme.css") else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    def ask(
        self,
        path: str,
        *pieces: bytes | None,
        method: str = "POST",
        root: str = "",
        rest: Callable[[], Any] | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], str]:
        """Send a request in pieces; returns status, headers and body. `content_length="5"` is a header."""
        headers = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": root,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        messages = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces or (b"",), start=1)
            if piece is not None  # there is one more, and it does not come
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            return (await rest()) if rest else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.gate(scope, receive, send))
        start, *body = sent
        got = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], got, b"".join(one.get("body", b"") for one in body).decode()


RUN, CALL, UPLOAD = "/gradio_api/run/x", "/gradio_api/call/x", "/gradio_api/upload"
FILE = gr.File(render=False)


@pytest.mark.parametrize("path", [RUN, CALL, "/gradio_api/queue/join", "/gradio_api/api/x"])
@pytest.mark.parametrize("pieces", [(b"x" * 100,), (b"x" * 60, b"x" * 40)])
def test_a_request_of_the_largest_size_is_let_in_whole(path: str, pieces: tuple[bytes, ...]) -> None:
    site = Site()
    status, headers, body = site.ask(path, *pieces, content_length="100")
    assert (status, body, site.bodies, site.ended) == (200, "done", [b"x" * 100], ["http.request"])
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [RUN, CALL])
def test_a_larger_one_is_refused_by_what_it_declares_before_the_app_is_asked(path: str) -> None:
    site = Site()
    status, headers, body = site.ask(path, b"x" * 101, content_length="101")
    assert (status, site.bodies, headers["connection"]) == (413, [], "close")
    assert json.loads(body)["error"].startswith("The request has more than")
    assert (json.loads(body)["title"], headers["content-type"]) == ("Not possible", "application/json")


@pytest.mark.parametrize("path", [RUN, CALL])
@pytest.mark.parametrize("declared", [{}, {"content_length": "5"}, {"content_length": "many"}])
def test_a_larger_one_that_does_not_say_so_is_cut_where_it_is_too_long(path: str, declared: dict[str, str]) -> None:
    site = Site()
    status, _, body = site.ask(path, b"x" * 60, b"x" * 41, b"x" * 10**6, transfer_encoding="chunked", **declared)
    assert (status, site.ended) == (413, ["http.disconnect"]), "the app sees a visitor who hung up"
    assert len(site.bodies[0]) == 60
    assert "The request has more than" in body


def test_a_request_past_the_queue_is_known_while_it_runs() -> None:
    for path, running in ((RUN, 1), ("/gradio_api/api/x", 1), (CALL, 0), ("/config", 0)):
        site = Site()
        site.ask(path, method="GET" if path == "/config" else "POST")
        assert (site.running, site.unqueued) == (running, set()), path
    site.error = RuntimeError("of the app")
    with pytest.raises(RuntimeError, match="of the app"):
        site.ask(RUN)
    assert site.unqueued == set()


@pytest.mark.parametrize(
    ("closing", "said"), [(False, "Too many visitors are waiting"), (True, "The server is restarting")]
)
def test_a_full_queue_is_said_in_our_words(closing: bool, said: str) -> None:
    site = Site()
    site.status, site.handlers.closing = 503, closing
    status, headers, body = site.ask(CALL)
    assert (status, headers["retry-after"]) == (503, "60")
    assert json.loads(body)["error"].startswith(said)
    assert json.loads(body)["title"] == "Please wait"
    site.status = 500
    assert site.ask(CALL)[0::2] == (500, "done"), "other errors are the app's"


def test_the_words_are_in_the_visitors_language() -> None:
    from demo_app.i18n import merged

    site = Site()
    site.handlers.catalog = merged([{"de": {gates.FULL.text: "Zu viele warten."}}])
    site.status = 503
    assert json.loads(site.ask(CALL, accept_language="de")[2])["error"] == "Zu viele warten."


def test_a_full_disk_is_507_and_another_fault_is_the_servers() -> None:
    site = Site(parts=[FILE])
    site.error = OSError(errno.ENOSPC, "No space left on device")
    status, _, body = site.ask(UPLOAD, b"x")
    assert status == 507
    assert "disk is full" in body
    site.error = OSError(errno.EIO, "broken")
    with pytest.raises(OSError, match="broken"):
        site.ask(UPLOAD, b"x")


# Uploads


def test_one_upload_may_take_a_quarter_of_all_and_says_so_as_text() -> None:
    site = Site(parts=[FILE])
    assert site.ask(UPLOAD, b"x" * 2000, content_length="2000")[0] == 200
    status, headers, body = site.ask(UPLOAD, content_length="2001")
    assert (status, headers["content-type"]) == (413, "text/plain; charset=utf-8")
    assert body.startswith("The upload has more than")
    assert len(site.bodies) == 1


def test_what_is_arriving_counts_until_it_is_here() -> None:
    site = Site(parts=[FILE])
    site.uploads.arrived(7000)
    assert site.ask(UPLOAD, b"x" * 1000, content_length="1000")[0] == 200
    assert site.uploads.arriving == 7000
    status, _, body = site.ask(UPLOAD, content_length="1001")
    assert (status, body.startswith("Too many files are being uploaded")) == (503, True)
    status, _, _ = site.ask(UPLOAD, b"x" * 1000, b"x", transfer_encoding="chunked")
    assert (status, site.ended[-1]) == (503, "http.disconnect")
    assert site.uploads.arriving == 7000
    assert site.ask(RUN, b"x" * 50)[0] == 200, "a request without files is not concerned"
    assert site.uploads.arriving == 7000


def test_after_an_upload_the_oldest_files_go_until_all_fit(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for path in files:
        path.write_bytes(b"x" * 4000)
    site = Site(parts=[FILE], files=files)
    site.ask(RUN)
    assert site.forgotten == []
    site.ask(UPLOAD, b"x")
    assert [path for path in files if not path.exists()] == site.forgotten == files[:1]
    gone = tmp_path / "gone"
    site = Site(parts=[FILE], files=[*files[1:], gone])
    site.ask(UPLOAD, b"x")
    assert site.forgotten == [gone], "8,000 bytes are the limit, and may be there"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"origin": "http://127.0.0.1:7861"}, 403),
        ({"origin": "http://elsewhere.org"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:7860"}, 403),
    ],
)
def test_files_come_from_our_own_page_or_from_a_program(headers: dict[str, str], status: int) -> None:
    site = Site(parts=[FILE])
    found, _, body = site.ask(UPLOAD, b"x", **headers)
    assert found == status
    assert ("from the page of another site" in body) == (status == 403)
    assert site.ask(RUN, b"x", **headers)[0] == 200


# Names and routes

SPACE = {"SPACE_ID": "me/it", "SPACE_HOST": "me-it.hf.space"}


@pytest.mark.parametrize(
    ("settings", "environ", "host", "answered"),
    [
        ({}, {}, "localhost:7860", True),
        ({}, {}, "127.0.0.1", True),
        ({}, {}, "[::1]:80", True),
        ({}, {}, "", True),
        ({}, {}, "evil.org", False),
        ({}, {}, "192.168.1.2", False),
        ({}, {}, "localhost.evil.org", False),
        ({"allowed_hosts": ("mine.org",)}, {}, "MINE.org.:443", True),
        ({"allowed_hosts": ("mine.org",)}, {}, "evil.org", False),
        ({"allowed_hosts": ("*",)}, {}, "evil.org", True),
        ({"root_path": "https://proxy.org/demo"}, {}, "proxy.org", True),
        ({"root_path": "/demo"}, {}, "proxy.org", False),
        ({"host": "0.0.0.0"}, {}, "any.org", True),
        ({"host": "0.0.0.0", "allowed_hosts": ("mine.org",)}, {}, "any.org", False),
        ({"host": "0.0.0.0", "allowed_hosts": ("mine.org",)}, {}, "192.168.1.2", True),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, "any.org", True),
        ({"host": "127.0.0.1"}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, "any.org", False),
        ({}, SPACE, "any.org", True),
        ({"allowed_hosts": ("mine.org",)}, SPACE, "any.org", False),
        ({"allowed_hosts": ("mine.org",)}, SPACE, "me-it.hf.space", True),
    ],
)  # fmt: skip
def test_the_names_that_are_answered(
    settings: dict[str, Any], environ: dict[str, str], host: str, answered: bool
) -> None:
    assert Names(Settings(**settings), environ).answers(Headers({"host": host} if host else {})) == answered


def test_a_name_that_is_not_ours_is_refused_with_the_setting() -> None:
    site = Site()
    status, _, body = site.ask("/", method="GET", host="evil.org")
    assert (status, site.bodies) == (403, [])
    assert "name evil.org; whoever runs it can add it to DEMO_APP_ALLOWED_HOSTS" in body
    assert f"name {'e' * 100}; whoever" in site.ask("/", method="GET", host="e" * 5000)[2]


@pytest.mark.parametrize(
    ("path", "parts", "status"),
    [
        ("/", (), 200),
        ("/config/", (), 200),
        ("/nothing/that/is/known", (), 200),
        ("/monitoring", (), 404),
        ("/gradio_api/file=https://elsewhere.org/x", (), 404),
        ("/gradio_api/file=/tmp/x", (), 200),
        ("/gradio_api/upload", (), 404),
        ("/gradio_api/upload/", (), 404),
        ("/gradio_api/upload", (FILE,), 200),
        ("/gradio_api/process_recording", (FILE,), 404),
        ("/gradio_api/deep_link", (), 404),
    ],
)
def test_routes_that_nothing_on_the_page_needs_are_closed(path: str, parts: tuple[Any, ...], status: int) -> None:
    assert Site(parts=parts).ask(path)[0] == status


@pytest.mark.parametrize(
    ("path", "root", "size"),
    [
        (UPLOAD, "", 2000),
        (f"{UPLOAD}/", "", 2000),
        (f"/demo{UPLOAD}", "/demo", 2000),
        (UPLOAD, "/demo", 2000),
        (f"/demo{UPLOAD}", "", 100),
        (f"/demonstration{UPLOAD}", "/demo", 100),
        ("/gradio_api/mcp/", "", 1433),
        ("/gradio_api/mcp/messages", "", 1433),
        ("/gradio_api/mcpx", "", 100),
        (RUN, "", 100),
    ],
)
def test_the_bound_of_a_path_also_below_that_of_a_proxy(path: str, root: str, size: int) -> None:
    assert bound_of(gates._path({"path": path, "root_path": root}), table(SETTINGS)).size == size


@pytest.mark.parametrize(
    ("path", "caching"),
    [
        ("/", "no-store"),
        ("/config", "no-store"),
        ("/healthz", "no-store"),
        ("/metrics", "no-store"),
        ("/gradio_api/info", "no-store"),
        ("/assets/x.js", None),
        ("/gradio_api/theme.css", "public"),
    ],
)
def test_nothing_of_a_visitors_stays_in_a_cache(path: str, caching: str | None) -> None:
    assert Site().ask(path, method="GET")[1].get("cache-control") == caching


# Slow senders, and those that are refused in the middle


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates.bounds, "IDLE", 0.05)
    monkeypatch.setattr(gates, "LINGER", 0.05)


async def never() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("path", [RUN, CALL])
def test_a_body_that_does_not_come_is_given_up(soon: None, path: str) -> None:
    site = Site()
    status, _, body = site.ask(path, b"x" * 10, None, rest=never, transfer_encoding="chunked")
    assert (status, site.ended) == (408, ["http.disconnect"])
    assert "took too long to arrive" in body


def test_after_a_refusal_the_rest_is_read_for_a_while(soon: None) -> None:
    status, headers, _ = Site().ask(RUN, content_length="101", rest=never)
    assert (status, headers["connection"]) == (413, "close")
    status, headers, _ = Site().ask(RUN, content_length="101", expect="100-continue", rest=never)
    assert (status, headers["connection"]) == (413, "close")


def test_other_than_http_passes() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    site = Site()
    site.gate.app = app
    asyncio.run(site.gate({"type": "lifespan"}, never, never))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
