"""Gradio's HTTP protocol, as any client speaks it."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from demo_app.i18n.components import Marks, unmark


def run(url: str, action: str, *data: Any, session: str | None = None) -> httpx.Response:
    """An unqueued event."""
    return httpx.post(
        f"{url}gradio_api/run/{action}", json={"data": list(data), "session_hash": session or "test"}, timeout=60
    )


def call(url: str, action: str, *data: Any, seconds: float = 60, session: str | None = None) -> tuple[str, Any]:
    """A queued event: ("complete", data) or ("error", {"error": sentence}).

    `data` has no place for what is kept in a `gr.State`. Raises `TimeoutError` when it is not done in time.
    """
    until = time.monotonic() + seconds
    asked = {"data": list(data), "session_hash": session}
    event_id = httpx.post(f"{url}gradio_api/call/{action}", json=asked, timeout=60).json()["event_id"]
    lines = []
    try:
        with httpx.stream("GET", f"{url}gradio_api/call/{action}/{event_id}", timeout=seconds) as response:
            for line in filter(None, response.iter_lines()):
                lines.append(line)
                if time.monotonic() > until:
                    raise TimeoutError(f"{action} did not end within {seconds:.0f} s")
    except httpx.ReadTimeout:
        raise TimeoutError(f"{action} said nothing for {seconds:.0f} s") from None
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def config(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}config", timeout=60).json()
    return found


def text_of(url: str) -> str:
    """All HTML and labels that the page was built with, tab titles included, as they stand there in English."""
    page = config(url)
    english = Marks({"en": (page["i18n_translations"] or {}).get("en", {})})
    props = [unmark(component["props"], english) for component in page["components"]]
    return json.dumps(props, ensure_ascii=False)


def tab_names(url: str) -> list[str]:
    return [c["props"]["id"] for c in config(url)["components"] if c["type"] == "tabitem"]
