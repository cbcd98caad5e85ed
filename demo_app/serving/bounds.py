"""What a request may cost, and who may send it: one table, for every route and whoever sends it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from demo_app.errors import InputError
from demo_app.serving.routes import API
from demo_app.settings import Settings

IDLE = 60.0
"""Seconds that a request may send nothing while its body is not complete."""

UPLOADS = 4
"""One upload may take that part of what all uploads together may."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What the body of a request may be."""

    size: int  # bytes
    seconds: float  # until all of it is here
    files: bool = False  # kept on the disk, and refused from other sites: a browser sends them without asking first


def table(settings: Settings) -> Mapping[str, Bound]:
    """The bound of each route that differs from others; "" is that of all others."""
    files = Bound(size=settings.max_upload + 2**16, seconds=600, files=True)
    return {
        "": Bound(size=settings.max_request, seconds=IDLE),
        f"{API}/upload": Bound(size=settings.max_uploads // UPLOADS, seconds=3600, files=True),
        f"{API}/component_server": files,
        f"{API}/process_recording": files,
        f"{API}/mcp": Bound(size=settings.max_upload * 4 // 3 + settings.max_request, seconds=600),  # files in base64
    }


def bound_of(path: str, bounds: Mapping[str, Bound]) -> Bound:
    """The bound of a path, with or without a slash at its end, or below another path of the table."""
    bare = path.rstrip("/")
    if bare.startswith(f"{API}/mcp/"):
        bare = f"{API}/mcp"
    return bounds.get(bare, bounds[""])


def megabytes(size: int) -> str:
    """
    >>> megabytes(4 * 2**20), megabytes(300_000)
    ('4', '0.3')
    """
    return f"{size / 2**20:,.0f}" if size >= 2**20 else f"{size / 2**20:.2g}"


# Which names of this host are answered


class Names:
    """The host names that requests may use.

    A page of anybody may have its name lead to 127.0.0.1, and is then, for a browser, on the same site as this host
    (DNS rebinding). So a host that listens on a loopback address answers loopback names, the name in
    `DEMO_APP_ROOT_PATH`, and those in `DEMO_APP_ALLOWED_HOSTS`. One that listens on others answers all names, or, with
    `DEMO_APP_ALLOWED_HOSTS`, those and addresses.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        address = settings.host or environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
        self.loopback = is_loopback(address) and not environ.get("SPACE_ID")
        own = (urlsplit(settings.root_path).hostname or "") if settings.root_path else ""
        on_space = (environ.get("SPACE_HOST") or "").split(",")
        self.allowed = {name.strip("[] ") for name in (*settings.allowed_hosts, own, *on_space) if name}
        self._any = "*" in self.allowed or not (self.loopback or settings.allowed_hosts)

    def answers(self, headers: Headers) -> bool:
        """Whether the request names this host. One without a name, of HTTP/1.0, is no browser's."""
        name = host_name(headers.get("host", ""))
        return self._any or not name or name in self.allowed or is_loopback(name) or self._is_address(name)

    def _is_address(self, name: str) -> bool:
        return not self.loopback and _address(name) is not None

    def from_here(self, headers: Headers) -> bool:
        """Whether the request comes from this host's own page, from an allowed one, or from no page at all."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site in ("same-origin", "none") or origin is site is None:
            return True
        place = urlsplit(origin or "").netloc
        if "*" in self.allowed or host_name(place) in self.allowed:
            return True
        ours = {_place(headers.get(name, "")) for name in ("host", "x-forwarded-host")}
        return site is None and bool(place) and _place(place) in ours


def host_name(place: str) -> str:
    """The name or address in a header Host, in lower case.

    >>> host_name("Example.org:7860"), host_name("[::1]:80"), host_name("example.org.")
    ('example.org', '::1', 'example.org')
    """
    try:
        return (urlsplit(f"//{place}").hostname or "").rstrip(".") if place else ""
    except ValueError:
        return place.lower()


def is_loopback(name: str) -> bool:
    """Whether a name or an address is this machine's own.

    >>> is_loopback("app.localhost"), is_loopback("127.1.2.3"), is_loopback("127.0.0.1.example.org")
    (True, True, False)
    """
    address = _address(name)
    return address.is_loopback if address is not None else name == "localhost" or name.endswith(".localhost")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def _place(text: str) -> str:
    """Host and port, without a port that browsers leave out."""
    return text.strip().lower().removesuffix(":443").removesuffix(":80")


def refusal(name: str) -> InputError:
    """Why a request is refused that uses a name which is not this host's."""
    return InputError(
        "This host does not answer to the name {name}; whoever runs it can add it to DEMO_APP_ALLOWED_HOSTS.", name=name
    )
