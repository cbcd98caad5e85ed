"""Whether this process can listen where it shall, found out before Gradio tries it for minutes and gives no reason."""

from __future__ import annotations

import errno
import os
import socket

from demo_app.errors import SettingsError
from demo_app.settings import Settings, parse_host, unquoted


def resolve(settings: Settings) -> str:
    """The host to listen on: that of the settings, of GRADIO_SERVER_NAME, or 127.0.0.1.

    Raises `SettingsError` that names the variable, if there is no such address here, or the port cannot be had.
    """
    variable = "DEMO_APP_HOST" if settings.host else "GRADIO_SERVER_NAME"
    named = settings.host or unquoted(os.environ.get("GRADIO_SERVER_NAME", "")) or "127.0.0.1"
    try:
        host = parse_host(named)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {error}") from None
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), settings.port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise SettingsError(f"{variable}: {named} has no address; write for example 127.0.0.1 or 0.0.0.0.") from None
    family, kind, protocol, _, address = found[0]
    try:
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise _explained(error, variable, named, settings.port) from None
    return host


def no_port() -> SettingsError:
    """The error for when every port that Gradio tries is taken."""
    return SettingsError("no port from 7860 up is free; choose one with --port or DEMO_APP_PORT.")


def _explained(error: OSError, variable: str, host: str, port: int | None) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        return SettingsError(f"port {port} is taken; choose another with --port or DEMO_APP_PORT, or none at all.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SettingsError(f"port {port} is for the system's own user; choose one from 1024 up with DEMO_APP_PORT.")
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(f"{variable}: {host} is no address of this machine; write for example 0.0.0.0.")
    return SettingsError(
        f"{variable}: nobody can listen on {host} here ({error.strerror}); write for example 127.0.0.1."
    )
