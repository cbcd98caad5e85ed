"""Serve the page, with /healthz and /metrics, until it is stopped; then every waiting visitor gets an answer.

Calls Gradio's `launch()` rather than mounting the page, because Spaces and ZeroGPU hook into `launch()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo_app import environment, gradio_internals, machine, zerogpu
from demo_app.errors import SettingsError
from demo_app.gradio_internals import files
from demo_app.gradio_internals.sessions import use_sessions
from demo_app.page import logs
from demo_app.page.app import App, create_app
from demo_app.page.guard import RESTARTING
from demo_app.page.shell import script, stylesheet, theme
from demo_app.page.visits import Door
from demo_app.serving import address
from demo_app.serving.decoding import bound_files
from demo_app.serving.gate import Answer, Gate
from demo_app.serving.metrics import Gauges
from demo_app.serving.routes import API, Routes
from demo_app.serving.uploads import Uploads
from demo_app.serving.warming import check_preload, warm, warm_for_gpu
from demo_app.settings import Settings

log = logging.getLogger(__name__)

ENDS = (signal.SIGTERM, signal.SIGINT)
KEEP_SECONDS = 75.0  # of an idle connection; longer than proxies use one, or their next request meets its end
TELL_SECONDS = 1.5  # for answers to be sent once all handlers have ended
SEND_SECONDS = 0.7  # for the reason to be sent
STOP_SECONDS = 3.5  # after SIGTERM, for running requests to end; then they are answered with the reason


def run(settings: Settings | None = None, **defaults: Any) -> None:
    """Build the app and serve it until SIGTERM or SIGINT. Takes the same arguments as `create_app`."""
    # so that `python app.py` logs its address, as `demo-app run` does; no effect if logging is set up already
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logs.guard()
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with _Signals() as signals:
        server = launch(create_app(settings, **defaults))
        signals.listen()  # again, because with SSR Gradio replaces the handlers by some that end the process at once
        signals.wait()
    server.close()
    sys.stdout.flush()
    os._exit(0)  # handlers that are still running are in threads that cannot be interrupted


class _Signals:
    """SIGTERM and SIGINT, heard from `__enter__` on.

    A system may give a signal to any thread of the process. Python's handler then runs when the main thread next does
    something, which is never while that waits for a lock; so it reads what Python writes when a signal comes.
    """

    def __enter__(self) -> _Signals:
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._before = signal.set_wakeup_fd(self._waker.fileno())
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before)
        self._waker.close()
        self._woken.close()

    def listen(self) -> None:
        for number in ENDS:
            signal.signal(number, lambda *_: None)

    def wait(self) -> None:
        while self._woken.recv(1)[0] not in ENDS:
            pass


def launch(app: App) -> Server:
    """Start serving in the background and return at once."""
    server = Server(app)
    server.start()
    return server


class Server:
    """An app and the server that runs it. `url` is its address, with a slash at the end, once it is started."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.url = ""
        self.unqueued: set[Answer] = set()  # requests that wait for their answer; used in the event loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        app.registry.register(Gauges(app))

    def start(self) -> None:
        """Serve in the background. Raises `SettingsError` if the address, the device or MCP cannot be had."""
        app, settings = self.app, self.app.settings
        check_preload(app)
        machine.check_device(None if zerogpu.active() else settings.device)
        host = address.resolve(settings)
        environment.keep_direct((host.strip("[]"),))
        if zerogpu.active():
            warm_for_gpu(app)
        bound_files(self.app)
        routes = [("healthz", self._healthz), ("metrics", self._metrics)]
        uploads = Uploads(
            settings.max_uploads, partial(files.kept_files, app.blocks), partial(files.forget_files, app.blocks)
        )
        gate: dict[str, Any] = {
            "handlers": app.handlers,
            "unqueued": self.unqueued,
            "routes": Routes(gradio_internals.components(app.blocks).values()),
            "uploads": uploads,
        }
        with _mcp(settings), environment.direct(), _ports():
            _, self.url, _ = app.blocks.launch(
                prevent_thread_lock=True,
                share=False,  # whatever GRADIO_SHARE says: a tunnel is open to strangers
                quiet=True,
                show_error=False,
                server_name=host,
                server_port=settings.port,
                root_path=settings.root_path,
                allowed_paths=[],
                app_kwargs={
                    # with SSR a Node process answers every unknown path itself; only /gradio_api reaches Python
                    "routes": [Route(f"{prefix}/{name}", call) for name, call in routes for prefix in ("", API)],
                    "middleware": [Middleware(Gate, **gate), Middleware(Door, visits=app.visits)],
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
                **gradio_internals.UNCHECKED,
            )
        gradio_internals.keep_connections(app.blocks, KEEP_SECONDS)
        if problem := gradio_internals.mcp_problem(app.blocks):
            self.close()
            raise SettingsError(f"{problem}; try pip install 'demo-app[mcp]', or start without --mcp.")
        log.info("serving on %s", self.url)
        threading.Thread(target=warm, args=(app,), name="warm-up", daemon=True).start()

    def close(self) -> None:
        """Stop within 5 seconds: new requests are refused, running ones answered, or told that the server restarts."""
        app = self.app
        app.handlers.closing = True
        app.visits.close()
        end = time.monotonic() + STOP_SECONDS
        idle = app.handlers.wait_until_idle(STOP_SECONDS)
        end = min(end, time.monotonic() + TELL_SECONDS)
        while (waits := gradio_internals.untold(app.blocks) or bool(self.unqueued)) and time.monotonic() < end:
            time.sleep(0.02)  # a handler's last value is not yet the visitor's answer
        if (waits or not idle) and self._loop is not None:
            with contextlib.suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._answer_waiting(), self._loop).result(timeout=0.5)
            end = time.monotonic() + SEND_SECONDS
            while gradio_internals.unsent(app.blocks) and time.monotonic() < end:
                time.sleep(0.02)
        app.trainings.close()
        gradio_internals.close_connections_after(app.blocks, 0.3)
        app.blocks.close(verbose=False)
        app.examples.cleanup()
        zerogpu.end_copies()
        gradio_internals.end_node(app.blocks)  # SSR's proxy; the answers have passed it by now

    @contextlib.asynccontextmanager
    async def _lifespan(self, web_server: Any) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        visits = self.app.visits
        visits.sessions = use_sessions(web_server, self.app.blocks, visits.is_open)
        yield

    async def _healthz(self, _: Request) -> Response:
        """200 while visitors can be served; 503 once it stops, and where no demo works."""
        states = [plugin.state for plugin in self.app.plugins]
        works = any(tab.demo is not None and tab.blocks is not None for tab in self.app.tabs)
        status = "stopping" if self.app.handlers.closing else "ok" if works else "no demo works"
        counts = {state: states.count(state) for state in sorted(set(states))}
        return JSONResponse({"status": status, "plugins": counts}, status_code=200 if status == "ok" else 503)

    async def _metrics(self, request: Request) -> Response:
        wanted = self.app.settings.metrics
        if wanted == "closed":
            return Response("These metrics are closed; DEMO_APP_METRICS opens them.\n", 404)
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if wanted != "open" and not hmac.compare_digest(given.encode(), wanted.encode()):
            sentence = "These metrics need the token of DEMO_APP_METRICS, as Authorization: Bearer <token>.\n"
            return Response(sentence, 401, {"www-authenticate": "Bearer"})
        return Response(generate_latest(self.app.registry), media_type=CONTENT_TYPE_LATEST)

    async def _answer_waiting(self) -> None:
        """Answer every event that still waits or runs with the reason: the server restarts."""
        output = {"error": RESTARTING, "visible": True, "duration": 10, "title": "Restarting"}
        gradio_internals.end_events(self.app.blocks, output)
        for answer in list(self.unqueued):
            await answer.refuse(RESTARTING)


@contextlib.contextmanager
def _ports() -> Iterator[None]:
    """Gradio's error for having found no free port, as a `SettingsError`."""
    try:
        yield
    except OSError as error:
        if "Cannot find empty port" in str(error):
            raise address.no_port() from None
        raise


@contextlib.contextmanager
def _mcp(settings: Settings) -> Iterator[None]:
    """While inside, `launch()` serves the actions to MCP clients, if the settings say so.

    Raises `SettingsError` if that is not possible.
    """
    if not settings.mcp:
        yield
        return
    from demo_app.serving import mcp

    mcp.check_installed()
    with mcp.served(settings.max_upload):
        yield
