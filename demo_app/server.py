"""Serve the page: limits, /healthz, /metrics, warming up, and an end that leaves no visitor without a word.

`launch()` rather than a mount: a Space and ZeroGPU hook on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import gradio as gr
from gradio.server_messages import ProcessCompletedMessage
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo_app import zerogpu
from demo_app.handlers import RESTARTING
from demo_app.models import default_checkpoint, where
from demo_app.settings import Settings, SettingsError
from demo_app.ui import App, Tab, create_app, script, stylesheet

log = logging.getLogger(__name__)

STOP_SECONDS = 3.5  # running requests have this long to end after SIGTERM; then they are told
API = "/gradio_api"
FULL = "Too many visitors are waiting right now; please try again in a minute."


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
        self.unqueued: set[_Answer] = set()  # events that wait for their answer; used from the event loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        app.registry.register(_Gauges(app))

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
                    "middleware": [Middleware(_Gate, server=self)],
                    "lifespan": self._lifespan,
                },
                state_session_capacity=settings.sessions,
                max_file_size=settings.max_upload,
                enable_monitoring=False,
                run_history=False,
                footer_links=["api", "settings"],
                mcp_server=settings.mcp,
                theme=theme(),
                css=stylesheet(app),
                head=script(),
                i18n=app.blocks.translations(),
            )
        if app.blocks.mcp_error:
            self.close()
            raise SettingsError(f"{app.blocks.mcp_error}; try pip install 'demo-app[mcp]', or start without --mcp.")
        log.info("serving on %s", self.url)
        threading.Thread(target=self._warm, name="warm-up", daemon=True).start()

    def close(self) -> None:
        """Stop within 5 seconds: no new work, running requests are answered, or told that the server restarts."""
        app = self.app
        app.handlers.closing = True
        if not app.handlers.wait_until_idle(STOP_SECONDS) and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._tell(), self._loop).result(timeout=0.5)
            time.sleep(0.2)  # for the streams to carry the message away
        app.models.trainings.close()
        app.blocks.server.config.timeout_graceful_shutdown = 0.3
        app.blocks.close(verbose=False)
        app.examples.cleanup()
        zerogpu.end_copies()
        if app.blocks.node_process is not None:  # SSR's front proxy; it has carried the answers away by now
            app.blocks.node_process.kill()

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
        queue = self.app.blocks._queue
        for event in list(queue.event_ids_to_events.values()):
            output = {"error": RESTARTING, "visible": True, "duration": 10, "title": "Restarting"}
            queue.send_message(event, ProcessCompletedMessage(output=output, success=False))
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
    from demo_app import mcp

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


def theme() -> gr.themes.Base:
    """Gradio's Soft with the system's fonts: no request leaves the page."""
    sans = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    return gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=sans, font_mono=mono)


class _Answer:
    """The one response of a request: the app's, or ours if it comes first."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._refused = False

    async def send(self, message: Message) -> None:
        if not self._refused:
            self._started = True
            await self._send(message)

    async def refuse(self, reason: str) -> None:
        if not self._started:
            self._refused = True
            body = json.dumps({"error": reason, "detail": reason, "visible": True, "title": "Please wait"}).encode()
            headers = [(b"content-type", b"application/json"), (b"retry-after", b"60")]
            await self._send({"type": "http.response.start", "status": 503, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})


class _Gate:
    """ASGI middleware: says kindly that the queue is full, and can answer those who wait unqueued."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self.app = app
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(API) if scope["type"] == "http" and scope["method"] == "POST" else ""
        if path.startswith(("/queue/join", "/call/")):
            return await self.app(scope, receive, self._reworded(_Answer(send), scope))
        if not path.startswith(("/run/", "/api/")):
            return await self.app(scope, receive, send)
        answer = _Answer(send)
        self.server.unqueued.add(answer)
        try:
            await self.app(scope, receive, answer.send)
        finally:
            self.server.unqueued.discard(answer)

    def _reworded(self, answer: _Answer, scope: Scope) -> Send:
        """Gradio decides that the queue is full (a check of ours could only race with it); the words are ours."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                words = RESTARTING if self.server.app.handlers.closing else FULL
                accepted = Headers(scope=scope).get("accept-language", "")
                await answer.refuse(self.server.app.blocks.catalog.say(words, accepted))
            else:
                await answer.send(message)

        return send


class _Gauges(Collector):
    """What is read at each scrape rather than counted."""

    def __init__(self, app: App) -> None:
        self.app = app

    def collect(self) -> Iterator[Metric]:
        app, models = self.app, self.app.models
        yield GaugeMetricFamily("demo_app_models_loaded", "Models in memory", value=models.loaded)
        yield GaugeMetricFamily("demo_app_model_bytes", "Bytes of models in memory", value=models.bytes)
        yield GaugeMetricFamily("demo_app_model_budget_bytes", "Bytes that models may take", value=models.budget)
        yield CounterMetricFamily("demo_app_model_loads", "Models loaded so far", value=models.loads)
        yield CounterMetricFamily("demo_app_model_evictions", "Models evicted for others", value=models.evictions)
        yield GaugeMetricFamily("demo_app_queue_length", "Events that wait", value=len(app.blocks._queue))
        yield GaugeMetricFamily("demo_app_running", "Handlers that run now", value=app.handlers.running)
        states = GaugeMetricFamily("demo_app_plugins", "Plugins by state", labels=["state"])
        for state in sorted({plugin.state for plugin in app.plugins}):
            states.add_metric([state], sum(plugin.state == state for plugin in app.plugins))
        yield states
