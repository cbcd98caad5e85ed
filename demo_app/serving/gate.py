"""ASGI middleware between the server and Gradio: refuses requests in words for visitors."""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo_app.page.guard import RESTARTING, Handlers

API = "/gradio_api"
FULL = "Too many visitors are waiting right now; please try again in a minute."


class Answer:
    """The response to one request: the app's, or a refusal if that comes first."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._refused = False

    async def send(self, message: Message) -> None:
        """Pass on what the app sends, unless the request was refused."""
        if not self._refused:
            self._started = True
            await self._send(message)

    async def refuse(self, reason: str) -> None:
        """Answer with status 503 and the reason, unless the app has started to answer."""
        if not self._started:
            self._refused = True
            body = json.dumps({"error": reason, "detail": reason, "visible": True, "title": "Please wait"}).encode()
            headers = [(b"content-type", b"application/json"), (b"retry-after", b"60")]
            await self._send({"type": "http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})


class Gate:
    """ASGI middleware: replaces Gradio's words for a full queue, and keeps track of requests past the queue.

    `unqueued` holds the answer of every request past the queue that is running, so that the server can refuse them
    when it stops.
    """

    def __init__(self, app: ASGIApp, handlers: Handlers, unqueued: set[Answer]) -> None:
        self.app = app
        self.handlers = handlers
        self.unqueued = unqueued

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(API) if scope["type"] == "http" and scope["method"] == "POST" else ""
        if path.startswith(("/queue/join", "/call/")):
            return await self.app(scope, receive, self._reworded(Answer(send), scope))
        if not path.startswith(("/run/", "/api/")):
            return await self.app(scope, receive, send)
        answer = Answer(send)
        self.unqueued.add(answer)
        try:
            await self.app(scope, receive, answer.send)
        finally:
            self.unqueued.discard(answer)

    def _reworded(self, answer: Answer, scope: Scope) -> Send:
        """The app's response, with our words if Gradio says that the queue is full; an own check would race with it."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                words = RESTARTING if self.handlers.closing else FULL
                accepted = Headers(scope=scope).get("accept-language", "")
                await answer.refuse(self.handlers.catalog.say(words, accepted))
            else:
                await answer.send(message)

        return send
