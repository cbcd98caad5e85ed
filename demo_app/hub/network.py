"""What the environment says about the way to the Hub: proxies, certificates, addresses. Makes no request."""

from __future__ import annotations

import os
import re
import socket
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from demo_app import environment
from demo_app.hub.access import endpoint
from demo_app.hub.errors import HubError, Offline

BAD_ENDPOINT = "HF_ENDPOINT is {value}, which is no address; write for example https://huggingface.co, or unset it."
NO_CERTIFICATES = "{variable} names {path}, which has no certificates that can be read; correct it, or unset it."
BAD_PROXY = "The Hub cannot be asked: {problem}, or unset it."


def check() -> None:
    """Raise `HubError` for a variable with which no request can reach the Hub."""
    address = endpoint()
    if not re.fullmatch(r"https?://(\[[0-9a-fA-F:.]+\]|[^\s/?#@:]+)(:\d+)?(/[^\s?#]*)?", address):
        raise HubError(BAD_ENDPOINT, value=repr(os.environ.get("HF_ENDPOINT")))
    for variable in environment.CERTIFICATES:  # the first that is set counts, for plain HTTP too
        path = os.environ.get(variable)
        if path:
            if not _has_certificates(variable, path):
                raise HubError(NO_CERTIFICATES, variable=variable, path=path)
            break
    for scheme, value in getproxies().items():  # a client is made for all of them, whichever it will use
        if scheme in ("http", "https", "all") and value and not _is_direct():
            problem = environment.bad_proxy(f"{scheme.upper()}_PROXY", value)
            if problem:
                raise Offline(BAD_PROXY, problem=problem)


def proxy() -> str:
    """The host and port of the proxy through which the Hub is asked; empty without one. Never its password."""
    found = getproxies()
    value = found.get(urlsplit(endpoint()).scheme) or found.get("all") or ""
    if not value or _is_direct():
        return ""
    return urlsplit(value if "://" in value else f"http://{value}").netloc.rpartition("@")[2]


def addresses() -> int:
    """How many addresses will be tried, one after the other, to connect; at least 1."""
    url = urlsplit(f"http://{proxy()}" if proxy() else endpoint())
    try:
        return max(1, len(socket.getaddrinfo(url.hostname, url.port or 443, type=socket.SOCK_STREAM)))
    except (OSError, UnicodeError, ValueError):
        return 1


def _is_direct() -> bool:
    if getproxies().get("no", "").strip() == "*":
        return True
    return bool(proxy_bypass(urlsplit(endpoint()).hostname or ""))


def _has_certificates(variable: str, path: str) -> bool:
    if variable.endswith("_DIR"):
        return os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # not there, not ours to read, or (an `SSLError`) not certificates
        return False
    return True
