"""How the test Hub answers a request: bytes at the pace of `throttle`, JSON, errors, and ranges of a file."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

BLOCK = 64 * 2**10  # bytes written at once
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Answers:
    """Sends answers. `throttle` is the pace of each body in bytes a second; `None` for no limit."""

    def __init__(self) -> None:
        self.throttle: float | None = None
        self._closed = threading.Event()

    def send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer. `X_Error_Code="…"` becomes the header X-Error-Code."""
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

    def send_json(self, handler: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.send(handler, status, json.dumps(value).encode(), Content_Type="application/json")

    def error(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        code: str | None = None,
        message: str = "Something went wrong.",
        **headers: str,
    ) -> None:
        """Refuse as the Hub does. `code`: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo, or `None`."""
        named = {"X_Error_Code": code} if code else {}
        self.send(handler, status, message.encode(), **named, X_Error_Message=message, X_Request_Id="test", **headers)

    def send_file(self, handler: BaseHTTPRequestHandler, data: bytes, **headers: str) -> None:
        """Send the file, or the range of it that the request names."""
        headers = {"Accept_Ranges": "bytes", "Content_Type": "application/octet-stream"} | headers
        wanted = RANGE.fullmatch(handler.headers.get("Range", ""))
        if wanted is None:
            return self.send(handler, 200, data, **headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if first > last:
            return self.send(handler, 416, Content_Range=f"bytes */{len(data)}")
        self.send(handler, 206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)
