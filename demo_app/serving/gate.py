"""ASGI middleware between the server and Gradio: bounds every request, and refuses in words for visitors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo_app.errors import DISK_FULL, DemoError, disk_is_full
from demo_app.i18n import say, speaking
from demo_app.page.guard import RESTARTING, Handlers
from demo_app.serving import bounds
from demo_app.serving.bounds import Bound, Names
from demo_app.serving.routes import API, Routes
from demo_app.serving.uploads import Uploads

log = logging.getLogger(__name__)

FULL = DemoError("Too many visitors are waiting right now; please try again in a minute.")
CLOSED = DemoError("There is nothing here; open the page's first address.")
SLOW = DemoError("The request took too long to arrive; try again over a faster connection.")
ELSEWHERE = DemoError("Files cannot be sent here from the page of another site; open this one's own page.")
CROWDED = DemoError("Too many files are being uploaded right now; please try again in a minute.")

HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
LINGER = 3.0  # seconds to go on reading a refused body, so that its sender reads the refusal instead of a broken pipe


class Answer:
    """The response to one request: the app's, or a refusal if that comes first."""

    def __init__(self, send: Send, headers: Mapping[str, str] | None = None) -> None:
        self._send = send
        self._headers = headers or {}
        self._started = False
        self._refused = False

    async def send(self, message: Message) -> None:
        """Pass on what the app sends, unless the request was refused."""
        if not self._refused:
            self._started = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await self._send(message)

    async def refuse(self, reason: str, status: int = 503, *, text: bool = False, rest: Receive | None = None) -> None:
        """Answer with a status and the reason, unless the app has started to answer.

        Args:
            reason: a sentence.
            status: of HTTP.
            text: the sentence alone, as the page expects it of an upload, instead of JSON.
            rest: reads what is left of the request's body. It is dropped, for a while, and the connection closed.
        """
        if self._started:
            return
        self._started = self._refused = True
        body = reason if text else json.dumps(_error(reason, "Please wait" if status == 503 else "Not possible"))
        headers = {"content-type": "text/plain; charset=utf-8" if text else "application/json", **self._headers}
        headers |= {"content-length": str(len(body.encode())), "cache-control": "no-store"}
        headers |= {"retry-after": "60"} if status == 503 else {}
        headers |= {"connection": "close"} if rest is not None else {}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body.encode(), "more_body": rest is not None})
        if rest is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    while (await rest()).get("more_body", False):
                        pass
            await self._send({"type": "http.response.body", "body": b""})


def _error(reason: str, title: str) -> dict[str, Any]:
    return {"error": reason, "detail": reason, "visible": True, "title": title}


class Gate:
    """ASGI middleware: bounds what a request may cost, and keeps track of requests past the queue.

    `unqueued` holds the answer of every request past the queue that is running, so that the server can refuse them
    when it stops.
    """

    def __init__(
        self,
        app: ASGIApp,
        handlers: Handlers,
        unqueued: set[Answer],
        routes: Routes,
        uploads: Uploads,
    ) -> None:
        self.app = app
        self.handlers = handlers
        self.unqueued = unqueued
        self.routes = routes
        self.uploads = uploads
        self.names = Names(handlers.settings)
        self.bounds = bounds.table(handlers.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope, receive, send, self)
        if refused := self._refused(request):
            status, reason = refused
            return await request.refuse(reason, status)
        app, path = self.app, request.path.removeprefix(API) if scope["method"] == "POST" else ""
        if path.startswith(("/queue/join", "/call/")):
            return await app(scope, request.receive, self._reworded(request))
        if path.startswith(("/run/", "/api/")):
            self.unqueued.add(request.answer)
        try:
            await app(scope, request.receive, request.answer.send)
        except OSError as error:
            if not disk_is_full(error):
                raise
            log.error("%s: the disk is full", request.path)
            await request.refuse(DemoError(DISK_FULL), 507)
        finally:
            self.unqueued.discard(request.answer)
            if request.bound.files:
                await self.uploads.finished(request.read)

    def _refused(self, request: Request) -> tuple[int, DemoError] | None:
        """Status and sentence, if the head of a request shows that it is not answered."""
        headers, bound = request.headers, request.bound
        if not self.names.answers(headers):
            return 403, bounds.refusal(bounds.host_name(headers.get("host", ""))[:100])
        if self.routes.closed(request.path):
            return 404, CLOSED
        if request.declared > bound.size:
            return 413, too_large(bound)
        if bound.files and not self.names.from_here(headers):
            return 403, ELSEWHERE
        if bound.files and not self.uploads.have_room(request.declared):
            return 503, CROWDED
        return None

    def _reworded(self, request: Request) -> Send:
        """The app's response, with our words if Gradio says that the queue is full; an own check would race with it."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                await request.refuse(DemoError(RESTARTING) if self.handlers.closing else FULL, 503)
            else:
                await request.answer.send(message)

        return send


class Request:
    """A request whose body is read within its bound. `read` counts the bytes that came."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, gate: Gate) -> None:
        self._receive = receive
        self._gate = gate
        self.headers = Headers(scope=scope)
        self.path = _path(scope)
        self.bound = bounds.bound_of(self.path, gate.bounds)
        self.declared = int(length) if (length := self.headers.get("content-length", "")).isdecimal() else 0
        self.answer = Answer(send, HEADERS | _caching(self.path))
        self.read = 0
        self._started = time.monotonic()
        self._complete = False

    async def receive(self) -> Message:
        """The next part of the body. What is too long or too slow is refused, and looks to the app like a hang-up."""
        if self._complete:  # the app waits for the end of the connection
            return await self._receive()
        left = self._started + self.bound.seconds - time.monotonic()
        try:
            async with asyncio.timeout(max(0, min(bounds.IDLE, left))):
                message = await self._receive()
        except TimeoutError:
            self._receive = _nothing  # there is nothing to wait for
            return await self._cut(SLOW, 408)
        if message["type"] != "http.request":
            self._complete = True
            return message
        size = len(message.get("body", b""))
        self.read += size
        self._complete = not message.get("more_body", False)
        if self.bound.files:
            self._gate.uploads.arrived(size)
            if not self._gate.uploads.have_room(0):
                return await self._cut(CROWDED, 503)
        if self.read > self.bound.size:
            return await self._cut(too_large(self.bound), 413)
        return message

    async def _cut(self, reason: DemoError, status: int) -> Message:
        await self.refuse(reason, status)
        self._complete = True
        return {"type": "http.disconnect"}

    async def refuse(self, reason: DemoError, status: int) -> None:
        """Answer with the reason in the visitor's language, unless the app has started to answer."""
        catalog = self._gate.handlers.catalog
        with speaking(catalog, catalog.language_of(self.headers.get("accept-language", ""))):
            sentence = say(reason.text, **reason.values)
        whole = self._complete or not (self.declared or "transfer-encoding" in self.headers)
        waits = "expect" in self.headers  # for a word before it sends its body; it gets this one
        rest = None if whole else _nothing if waits else self._receive
        await self.answer.refuse(sentence, status, text=self.bound.files, rest=rest)


async def _nothing() -> Message:
    return {}


def too_large(bound: Bound) -> DemoError:
    """Why a body is refused."""
    size = bounds.megabytes(bound.size)
    if bound.files:
        return DemoError(
            "The upload has more than {size} MB, which is the limit; choose fewer or smaller files.", size=size
        )
    return DemoError("The request has more than {size} MB, which is the limit; send less at once.", size=size)


def _path(scope: Scope) -> str:
    """The path as routes see it: below the path at which a proxy shows the page, if the proxy leaves that in."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    below = path.removeprefix(root)
    return below if root and below.startswith("/") and below != path else path


def _caching(path: str) -> dict[str, str]:
    """Nothing of a visitor's may stay in a cache; Gradio says for itself how long its own files may."""
    data = path.startswith(API) or path in ("/", "/config", "/healthz", "/metrics")
    return {"cache-control": "no-store"} if data and not path.endswith("theme.css") else {}
