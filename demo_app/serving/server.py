"""Serve the page: limits, /healthz, /metrics, warming up, and an end that leaves no visitor without a word.

`launch()` rather than a mount: a Space and ZeroGPU hook on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo_app import gradio_internals, zerogpu
from demo_app.errors import SettingsError
from demo_app.models.checkpoints import default_checkpoint, where
from demo_app.page.app import App, create_app
from demo_app.page.guard import RESTARTING
from demo_app.page.shell import script, stylesheet, theme
from demo_app.page.tabs import Tab
from demo_app.serving.gate import API, Answer, Gate
from demo_app.serving.metrics import Gauges
from demo_app.settings import Settings

log = logging.getLogger(__name__)

STOP_SECONDS = 3.5  # running requests have this long to end after SIGTERM; then they are told


def run(settings: Settings | None = None, **defaults: Any) -> None:
    """Build the app and serve it until SIGTERM or SIGINT. Takes the same arguments as `create_app`."""
    # `python app.py` says where it serves, as `demo-app run` does; whoever has set up logging keeps it
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stop = threading.Event()

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())

    listen()
    server = launch(create_app(settings, **defaults))
    listen()  # again: with SSR, Gradio has put handlers of its own there, which end the process at once
    stop.wait()
    server.close()
    sys.stdout.flush()
    os._exit(0)  # handlers that outlived their notice run in threads that nothing can interrupt


def launch(app: App) -> Server:
    """Start serving in the background and return at once."""
    server = Server(app)
    server.start()
    return server


class Server:
    """A running app."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.url = ""
        self.unqueued: set[Answer] = set()  # events that wait for their answer; used from the event loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        app.registry.register(Gauges(app))

    def start(self) -> None:
        app, settings = self.app, self.app.settings
        if zerogpu.active():
            self._warm_for_gpu()
        routes = [("healthz", self._healthz), ("metrics", self._metrics)]
        with _mcp(settings):
            _, self.url, _ = app.blocks.launch(
                prevent_thread_lock=True,
                quiet=True,
                show_error=False,
                server_name=settings.host,
                server_port=settings.port,
                root_path=settings.root_path,
                allowed_paths=[],
                app_kwargs={
                    # with SSR a Node process answers every unknown path itself; only /gradio_api reaches us
                    "routes": [Route(f"{prefix}/{name}", call) for name, call in routes for prefix in ("", API)],
                    "middleware": [Middleware(Gate, handlers=app.handlers, unqueued=self.unqueued)],
                    "lifespan": self._lifespan,
                },
                state_session_capacity=settings.sessions,
                max_file_size=settings.max_upload,
                enable_monitoring=False,
                run_history=False,
                footer_links=["api", "settings"],
                mcp_server=settings.mcp,
                theme=theme(),
                css=stylesheet(app.tabs),
                head=script(),
                i18n=app.blocks.translations(),
            )
        if problem := gradio_internals.mcp_problem(app.blocks):
            self.close()
            raise SettingsError(f"{problem}; try pip install 'demo-app[mcp]', or start without --mcp.")
        log.info("serving on %s", self.url)
        threading.Thread(target=self._warm, name="warm-up", daemon=True).start()

    def close(self) -> None:
        """Stop within 5 seconds: no new work, running requests are answered, or told that the server restarts."""
        app = self.app
        app.handlers.closing = True
        if not app.handlers.wait_until_idle(STOP_SECONDS) and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._tell(), self._loop).result(timeout=0.5)
            time.sleep(0.2)  # for the streams to carry the message away
        app.trainings.close()
        gradio_internals.close_connections_after(app.blocks, 0.3)
        app.blocks.close(verbose=False)
        app.examples.cleanup()
        zerogpu.end_copies()
        gradio_internals.end_node(app.blocks)  # SSR's front proxy; it has carried the answers away by now

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        yield

    async def _healthz(self, _: Request) -> Response:
        states = [plugin.state for plugin in self.app.plugins]
        return JSONResponse({"status": "ok", "plugins": {state: states.count(state) for state in sorted(set(states))}})

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(self.app.registry), media_type=CONTENT_TYPE_LATEST)

    async def _tell(self) -> None:
        """Answer every event that still waits or runs with the reason why it gets no other answer."""
        output = {"error": RESTARTING, "visible": True, "duration": 10, "title": "Restarting"}
        gradio_internals.end_events(self.app.blocks, output)
        for answer in list(self.unqueued):
            await answer.refuse(RESTARTING)

    def _warm_for_gpu(self) -> None:
        """Load what is embedded, and each demo's default, while `spaces` can still take it along to the GPU."""
        for tab in self.app.tabs:
            if tab.demo is None:
                continue
            default = default_checkpoint(tab.demo)
            embedded = [checkpoint for checkpoint in tab.demo.checkpoints if not checkpoint.on_hub]
            for name in dict.fromkeys(checkpoint.name if checkpoint else None for checkpoint in (default, *embedded)):
                try:
                    with zerogpu.warming(), self.app.models.use(tab.demo, name):
                        log.info("%s/%s: ready for the GPU", tab.name, name)
                except Exception as error:
                    log.warning("%s/%s: not ready for the GPU: %s", tab.name, name, error)

    def _warm(self) -> None:
        """Load the models that `DEMO_APP_PRELOAD` names, once a browser has opened the page or after 10 s without."""
        tabs = list(_preloaded(self.app))
        if tabs:
            self.app.page_seen.wait(timeout=10)
            time.sleep(1)  # the browser fetches the page's parts now; `import torch` would take the CPU from it
        for tab in tabs:
            assert tab.demo is not None
            try:
                with self.app.models.use(tab.demo):
                    log.info("%s: warmed", tab.name)
            except Exception as error:
                log.warning("%s: not warmed: %s", tab.name, error)


@contextlib.contextmanager
def _mcp(settings: Settings) -> Iterator[None]:
    """What is launched meanwhile serves our tools to MCP clients, if it shall. Raises `SettingsError` if it cannot."""
    if not settings.mcp:
        yield
        return
    from demo_app.serving import mcp

    mcp.check_installed()
    with mcp.served(settings.max_upload):
        yield


def _preloaded(app: App) -> Iterator[Tab]:
    """Tabs whose default model is loaded at start; never one that would have to be fetched first."""
    ready = [tab for tab in app.tabs if tab.demo is not None]
    wanted = app.settings.preload
    for i, tab in enumerate(ready):
        assert tab.demo is not None
        checkpoint = default_checkpoint(tab.demo)
        named = tab.name in wanted or "all" in wanted or ("first" in wanted and i == 0)
        if named and (checkpoint is None or not checkpoint.on_hub or where(checkpoint) == "on disk"):
            yield tab
