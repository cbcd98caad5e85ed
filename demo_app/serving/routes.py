"""Every route of Gradio's server: which are served, and which only if a demo of the page needs them.

What no demo needs answers 404: an open route that nobody uses costs memory and files, and is looked after by nobody.
`tests/abuse/test_requests.py` walks the routes of the installed Gradio and fails for one that is not listed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.routing import compile_path

from demo_app.gradio_internals.files import has_server_functions, is_custom, streams, takes_files

API = "/gradio_api"

SERVED = (
    "/",
    "/config",
    "/assets/{path:path}",
    "/static/{path:path}",
    "/svelte/{path:path}",  # answers like /assets, for pages that older clients embed
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
    "/pwa_icon",
    "/pwa_icon/{size}",
    f"{API}/theme.css",
    f"{API}/info",
    f"{API}/openapi.json",
    f"{API}/app_id",
    f"{API}/startup-events",  # Gradio's own first request
    f"{API}/heartbeat/{{session_hash}}",
    f"{API}/file={{path_or_url:path}}",
    f"{API}/run/{{api_name}}",
    f"{API}/api/{{api_name}}",
    f"{API}/call/{{api_name}}",
    f"{API}/call/{{api_name}}/{{event_id}}",
    f"{API}/call/v2/{{api_name}}",
    f"{API}/call/v2/{{api_name}}/{{event_id}}",
    f"{API}/queue/join",
    f"{API}/queue/data",
    f"{API}/queue/status",
    f"{API}/cancel",
    f"{API}/reset",  # does nothing; clients of older versions send it
    "/healthz",
    "/metrics",
    f"{API}/healthz",
    f"{API}/metrics",
    f"{API}/mcp",  # is there only with the setting `mcp`
    f"{API}/mcp/{{path:path}}",
)

CLOSED = (
    "/openapi.json",  # FastAPI's, of routes that are nobody's interface
    "/login",
    f"{API}/user",
    f"{API}/login_check",
    f"{API}/token",
    f"{API}/dev/reload",
    f"{API}/runs",
    f"{API}/run-history/connect",
    f"{API}/run-history/buckets",
    f"{API}/run-history/records",
    f"{API}/run-history/records/{{endpoint}}/{{record_id}}/assets/{{asset_id}}",
    f"{API}/file/{{path:path}}",
    "/monitoring",
    "/monitoring/summary",
    "/monitoring/{key}",
    f"{API}/process_recording",  # the page's own recorder: it keeps the original without this
    f"{API}/vibe-edit",
    f"{API}/undo-vibe-edit",
    f"{API}/vibe-code",
    f"{API}/vibe-starter-queries",
    f"{API}/profiling/traces",
    f"{API}/profiling/summary",
    f"{API}/profiling/clear",
)


def _is(name: str) -> Callable[[Any], bool]:
    return lambda part: any(kind.__name__ == name for kind in type(part).__mro__)


NEEDED_BY: Mapping[str, Callable[[Any], bool]] = {
    f"{API}/upload": takes_files,
    f"{API}/upload_progress": takes_files,
    f"{API}/component_server": has_server_functions,
    f"{API}/custom_component/{{id}}/{{environment}}/{{type}}/{{file_name}}": is_custom,
    f"{API}/stream/{{event_id}}": streams,
    f"{API}/stream/{{event_id}}/close": streams,
    f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/playlist.m3u8": streams,
    f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/{{segment_id}}.{{ext}}": streams,
    f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/playlist-file": streams,
    f"{API}/proxy={{url_path:path}}": lambda part: bool(getattr(part, "proxy_url", None)),
    f"{API}/deep_link": _is("DeepLinkButton"),
    "/login/huggingface": _is("LoginButton"),
    "/login/callback": _is("LoginButton"),
    "/logout": _is("LoginButton"),
}
"""Routes that are served if this is true of a component on the page."""


def is_known(template: str) -> bool:
    """Whether a route of Gradio's is listed here, with or without a slash at the end."""
    return (template.rstrip("/") or "/") in {*SERVED, *CLOSED, *NEEDED_BY}


class Routes:
    """Which paths a page answers."""

    def __init__(self, parts: Iterable[Any]) -> None:
        parts = list(parts)
        unneeded = [template for template, needs in NEEDED_BY.items() if not any(map(needs, parts))]
        self._closed = [_pattern(template) for template in (*CLOSED, *unneeded)]
        self._never = re.compile(rf"{API}/file=https?:", re.IGNORECASE)  # fetches a link for whoever asks; no page does
        self._open = [_pattern(template) for template in (*SERVED, *NEEDED_BY) if template not in unneeded]

    def closed(self, path: str) -> bool:
        """Whether nobody needs the path. A path that is not listed is left to the server, which does not know it."""
        if self._never.match(path):
            return True
        return any(map(_matches(path), self._closed)) and not any(map(_matches(path), self._open))


def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]


def _matches(path: str) -> Callable[[re.Pattern[str]], bool]:
    bare = path.rstrip("/") or "/"
    return lambda pattern: pattern.match(bare) is not None
