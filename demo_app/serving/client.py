"""A client of a running page: Gradio's HTTP protocol, without `gradio_client` and never through a proxy."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from demo_app.i18n.components import Marks, unmark

SECONDS = 60  # to wait for an answer


def run(url: str, action: str, *data: Any, session: str | None = None) -> httpx.Response:
    """Call an action past the queue. Returns the response, whatever its status.

    `url` ends in a slash, `action` is an API name with the demo's prefix, `data` has a value for each input.
    """
    return httpx.post(
        f"{url}gradio_api/run/{action}",
        json={"data": list(data), "session_hash": session or "test"},
        timeout=SECONDS,
        trust_env=False,
    )


def call(
    url: str, action: str, *data: Any, seconds: float = SECONDS, session: str | None = None, streamed: bool = False
) -> tuple[str, Any]:
    """Call an action through the queue. Returns ("complete", data) or ("error", {"error": sentence}).

    `data` has a value for each input but `gr.State`. With `streamed` it is the first and only piece of a stream. Raises
    `TimeoutError` if there is no answer within `seconds`.
    """
    until = time.monotonic() + seconds
    body = {"data": list(data), "session_hash": session}
    event_id = httpx.post(f"{url}gradio_api/call/{action}", json=body, timeout=SECONDS, trust_env=False).json()[
        "event_id"
    ]
    lines = []
    try:
        with httpx.stream(
            "GET", f"{url}gradio_api/call/{action}/{event_id}", timeout=seconds, trust_env=False
        ) as response:
            for line in filter(None, response.iter_lines()):
                lines.append(line)
                if streamed and line == "event: generating":
                    httpx.post(f"{url}gradio_api/stream/{event_id}/close", timeout=SECONDS, trust_env=False)
                if time.monotonic() > until:
                    raise TimeoutError(f"{action} did not end within {seconds:.0f} s")
    except httpx.ReadTimeout:
        raise TimeoutError(f"{action} said nothing for {seconds:.0f} s") from None
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def config(url: str) -> dict[str, Any]:
    """The page's configuration: its components, with `id`, `type` and `props`, and its events."""
    found: dict[str, Any] = httpx.get(f"{url}config", timeout=SECONDS, trust_env=False).json()
    return found


def text_of(url: str) -> str:
    """All HTML, labels and tab titles that the page was built with, in English, as JSON."""
    page = config(url)
    english = Marks({"en": (page["i18n_translations"] or {}).get("en", {})})
    props = [unmark(component["props"], english) for component in page["components"]]
    return json.dumps(props, ensure_ascii=False)


def tab_names(url: str) -> list[str]:
    """The ids of the page's tabs, in order."""
    return [c["props"]["id"] for c in config(url)["components"] if c["type"] == "tabitem"]
