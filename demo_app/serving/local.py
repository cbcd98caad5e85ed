"""Serve the page in this process, for tests and checks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from demo_app import environment
from demo_app.machine import prepare_environment
from demo_app.settings import Settings

if TYPE_CHECKING:
    from demo_app.serving.server import Server


@contextmanager
def serve(settings: Settings | None = None, **overrides: Any) -> Iterator[Server]:
    """Run the host in this process, and close it at the end. Keywords are fields of `Settings`.

    Unless a port is set, the system chooses one; Gradio's own choice could be the same in two processes that start at
    the same time.

    >>> with serve(plugins_dir=Path("plugins")) as server:  # doctest: +SKIP
    ...     httpx.get(server.url)
    """
    environment.prepare()
    settings = settings or Settings.from_env(**({"preload": ("none",)} | overrides))
    if settings.port is None:
        settings = replace(settings, port=free_port())
    prepare_environment(settings.threads)
    with environment.direct():
        from demo_app.page.app import create_app
        from demo_app.serving.server import launch

    server = launch(create_app(settings))
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
