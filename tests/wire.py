"""Gradio's HTTP protocol, as any client speaks it."""

from __future__ import annotations

import json
from typing import Any

import httpx


def run(url: str, action: str, *data: Any, session: str | None = None) -> httpx.Response:
    """An unqueued event."""
    return httpx.post(
        f"{url}gradio_api/run/{action}", json={"data": list(data), "session_hash": session or "test"}, timeout=60
    )


def call(url: str, action: str, *data: Any) -> tuple[str, Any]:
    """A queued event: ("complete", data) or ("error", {"error": sentence})."""
    event_id = httpx.post(f"{url}gradio_api/call/{action}", json={"data": list(data)}, timeout=60).json()["event_id"]
    with httpx.stream("GET", f"{url}gradio_api/call/{action}/{event_id}", timeout=60) as response:
        lines = [line for line in response.iter_lines() if line]
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def config(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}config", timeout=60).json()


def text_of(url: str) -> str:
    """All HTML and labels that the page was built with, tab titles included."""
    return json.dumps([component["props"] for component in config(url)["components"]], ensure_ascii=False)


def tab_names(url: str) -> list[str]:
    return [c["props"]["id"] for c in config(url)["components"] if c["type"] == "tabitem"]
