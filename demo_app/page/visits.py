"""Who is here: pages that are open, visitors who left, what each uploaded, and how much of the queue each may take."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo_app.gradio_internals.sessions import Sessions, is_unknown_action, page_files, waiting
from demo_app.i18n import Catalog, say, speaking
from demo_app.settings import Settings

log = logging.getLogger(__name__)

KEY = "demo_app.visits"  # of the ASGI scope: where `visitors.visitor` finds the `Visits`
COOKIE = "demo_app_visitor"
OPEN = re.compile(r"/heartbeat/([^/]+)/?$")
JOINS = re.compile(r"/(queue/join|call/[^/]+|call/v2/[^/]+)/?$")
CALLS = re.compile(r"/(queue/join|(call|run|api)(/v2)?/[^/]+)/?$")
SMALLEST_SHARE = 4  # places of the queue that anybody may take
MOST_UPLOADS = 10_000  # of which it is known who sent them
YOURS = "{count} of your requests are waiting already; try again when one of them is answered."
UNKNOWN = "There is no such action here; the page's API lists those that there are."
FAILED = "Something went wrong here. Try again; the host's log has the reason under error {number}."


class Visits:
    """The sessions of one page, from opening it to a while after its connection is lost.

    A connection that drops is not yet a visitor who left: a phone loses it for seconds, a proxy while it is reloaded.
    So `say_goodbye` is called with the visitor's name only if there was no request of the session for
    `settings.goodbye_seconds`. Who opens the page again within that time goes on with the session they had.
    """

    def __init__(self, settings: Settings, say_goodbye: Callable[[str], None]) -> None:
        self.settings = settings
        self.say_goodbye = say_goodbye
        self.blocks: gr.Blocks | None = (
            None  # the page, and where Gradio keeps its sessions: `shell` and the server set
        )
        self.sessions: Sessions | None = None
        self.catalog = Catalog({})
        self._changed = threading.Condition()
        self._open: Counter[str] = Counter()  # connections of each session that are open
        self._cookies: dict[str, str] = {}  # by session
        self._left: dict[str, float] = {}  # when each session is told goodbye; the latest that left is the last
        self._visitors: dict[str, str] = {}  # by session, where it is not its own name
        self._uploads: dict[str, set[str]] = {}  # cookies by file
        self._sweeper: threading.Thread | None = None
        self._closed = False

    def is_open(self, session: str) -> bool:
        """Whether a page of that session is connected."""
        return self._open[session] > 0

    def is_here(self, visitor: str) -> bool:
        """Whether any page of that visitor is connected."""
        with self._changed:
            return any(self.visitor(session) == visitor for session in self._open)

    def visitor(self, session: str) -> str:
        """The name of the visitor whose session it is."""
        return self._visitors.get(session, session)

    def opened(self, session: str, cookie: str) -> None:
        """A page is connected."""
        with self._changed:
            self._open[session] += 1
            self._cookies[session] = cookie
            self._left.pop(session, None)
        if self.sessions is not None:
            self.sessions.reopened(session)

    def closed(self, session: str) -> None:
        """A page's connection is lost."""
        with self._changed:
            self._open[session] -= 1
            if self._open[session] > 0 or self._closed:
                return
            del self._open[session]
            self._left[session] = time.monotonic() + self.settings.goodbye_seconds
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep, name="goodbyes", daemon=True)
                self._sweeper.start()
            self._changed.notify_all()

    def seen(self, session: str) -> None:
        """An event of the session: who seemed to have left has not."""
        with self._changed:
            if session in self._left:
                self._left[session] = time.monotonic() + self.settings.goodbye_seconds

    def welcome(self, session: str, cookie: str) -> bool:
        """Give a page that was just opened what the same browser's last one left; returns whether there was one."""
        with self._changed:
            before = [left for left in self._left if cookie and self._cookies.get(left) == cookie and left != session]
            if not before or session in self._visitors:
                return False
            last = before[-1]
            del self._left[last]
            self._cookies.pop(last, None)
            self._visitors[session] = self._visitors.pop(last, last)
        if self.sessions is not None:
            self.sessions.hand_over(last, session)
        return True

    def close(self) -> None:
        """Nobody is told goodbye any more: the host stops."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _sweep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._left or self._closed)
                if self._closed:
                    return
                now = time.monotonic()
                due = [session for session, at in self._left.items() if at <= now]
                for session in due:
                    del self._left[session]
                    self._cookies.pop(session, None)
                if not due:
                    self._changed.wait(min(self._left.values()) - now)
            for session in due:
                self._end(session)

    def _end(self, session: str) -> None:
        try:
            if self.sessions is not None:
                self.sessions.drop(session)
            self.say_goodbye(self._visitors.pop(session, session))
        except Exception:
            log.exception("what a visitor left behind could not be deleted")

    def uploaded(self, file: str, cookie: str) -> None:
        """A browser uploaded a file. Gradio gives equal files one place, so several may have."""
        while len(self._uploads) >= MOST_UPLOADS:
            self._uploads.pop(next(iter(self._uploads)))
        self._uploads.setdefault(file, set()).add(cookie)

    def owns(self, file: str, cookie: str) -> bool:
        """Whether this browser uploaded the file, nobody else did, and the page was not built with it."""
        alone = bool(cookie) and self._uploads.get(file) == {cookie}
        return alone and self.blocks is not None and file not in page_files(self.blocks)

    def takes_too_much(self, cookie: str, address: str) -> int:
        """How many places of the queue a client has, by cookie or by address, if it may have no more; else 0."""
        if self.blocks is None:
            return 0
        most = max(SMALLEST_SHARE, self.settings.queue_size // 4)
        others = [(cookie_of(request.headers), _address(request.scope)) for request in waiting(self.blocks)]
        count = max(sum(bool(cookie) and cookie == one for one, _ in others), sum(address == one for _, one in others))
        return count if count >= most else 0


class Door:
    """ASGI middleware: tells the `Visits` who comes and goes, and answers what would end in an accident inside."""

    def __init__(self, app: ASGIApp, visits: Visits) -> None:
        self.app = app
        self.visits = visits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope[KEY] = self.visits
        given = cookie_of(Headers(scope=scope))
        cookie = given or secrets.token_urlsafe(16)
        path, posts = scope["path"], scope["method"] == "POST"
        answer = _Answer(send, "" if given or posts else cookie)
        if posts and JOINS.search(path) and (count := self.visits.takes_too_much(given, _address(scope))):
            return await self._refuse(answer, scope, 429, YOURS, count=count)
        if posts and path.rstrip("/").endswith("/upload"):
            answer.kept = bytearray()
        try:
            if opened := OPEN.search(path):
                await self._while_open(opened[1], cookie, scope, receive, answer)
            else:
                await self.app(scope, receive, answer.send)
        except Exception as error:
            if answer.started or not (posts and CALLS.search(path)):
                raise
            if is_unknown_action(error):
                log.info("%s: there is no such action", path)
                return await self._refuse(answer, scope, 404, UNKNOWN)
            number = secrets.token_hex(3)
            log.exception("%s failed, error %s", path, number)
            return await self._refuse(answer, scope, 500, FAILED, number=number)
        for file in answer.files():
            self.visits.uploaded(file, cookie)

    async def _while_open(self, session: str, cookie: str, scope: Scope, receive: Receive, answer: _Answer) -> None:
        self.visits.opened(session, cookie)
        try:
            await self.app(scope, receive, answer.send)
        finally:
            self.visits.closed(session)

    async def _refuse(self, answer: _Answer, scope: Scope, status: int, reason: str, **values: Any) -> None:
        catalog = self.visits.catalog
        with speaking(catalog, catalog.language_of(Headers(scope=scope).get("accept-language", ""))):
            text = say(reason, **values)
        body = json.dumps({"error": text, "detail": text, "visible": True, "title": "Please wait"}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await answer.send({"type": "http.response.start", "status": status, "headers": headers})
        await answer.send({"type": "http.response.body", "body": body})


class _Answer:
    """A response on its way: given the cookie, and kept where it is asked for."""

    def __init__(self, send: Send, cookie: str) -> None:
        self._send = send
        self.cookie = cookie
        self.started = False
        self.kept: bytearray | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            kind = Headers(raw=message.get("headers", [])).get("content-type", "")
            if self.cookie and kind.startswith(("text/html", "application/json", "text/event-stream")):
                MutableHeaders(scope=message).append("set-cookie", f"{COOKIE}={self.cookie}; Path=/; HttpOnly; {_SITE}")
        elif self.kept is not None:
            self.kept += message.get("body", b"")
        await self._send(message)

    def files(self) -> list[str]:
        """The files that the response lists: those of an upload."""
        try:
            found = json.loads(self.kept or b"[]")
        except ValueError:
            return []
        return [file for file in found if isinstance(file, str)] if isinstance(found, list) else []


def visits_of(request: gr.Request) -> Visits | None:
    """Who is on the page that the request is for."""
    inner = getattr(request, "request", None)  # `gr.Request` gives only copies of the fields of Starlette's
    found: Visits | None = getattr(inner, "scope", {}).get(KEY)
    return found


# On a Space the page is in a frame of another site, for whose cookies browsers want more
_SITE = "SameSite=None; Secure; Partitioned" if os.environ.get("SPACE_ID") else "SameSite=Lax"


def cookie_of(headers: Any) -> str:
    """The visitor's cookie; "" without one."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _address(scope: Scope) -> str:
    """Of the client; behind a proxy that is trusted (FORWARDED_ALLOW_IPS), what that says."""
    return str((scope.get("client") or ("",))[0])
