"""Around every event handler of every demo: limits, one sentence for the visitor, the rest for log and metrics."""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from prometheus_client import CollectorRegistry, Counter, Histogram

from demo_app.api import DemoError, InputError
from demo_app.settings import Settings

log = logging.getLogger(__name__)

RESTARTING = "The server is restarting; please try again in a minute."


class Handlers:
    """Wraps handlers, counts what runs, and refuses new work once the server is closing."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.settings = settings
        self.closing = False
        self._running = 0
        self._idle = threading.Condition()
        self._requests = Counter(
            "demo_app_requests", "Events handled", ["demo", "action", "outcome"], registry=registry
        )
        self._seconds = Histogram("demo_app_request_seconds", "Time of an event", ["demo", "action"], registry=registry)

    @property
    def running(self) -> int:
        return self._running

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether all running handlers ended within that time."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout=seconds)

    def wrap(self, fn: Callable[..., Any], demo: str, title: str, action: str) -> Callable[..., Any]:
        """`fn` guarded; of the same kind (function, generator, coroutine), with the same signature and docstring."""

        def guarded(args: tuple[Any, ...]) -> Any:
            return self._guarded(args, demo, title, action)

        if inspect.isasyncgenfunction(fn):

            @functools.wraps(fn)
            async def call_async_generator(*args: Any, **kwargs: Any) -> Any:
                with guarded(args):
                    async for value in fn(*args, **kwargs):
                        yield value

            return call_async_generator
        if inspect.isgeneratorfunction(fn):

            @functools.wraps(fn)
            def call_generator(*args: Any, **kwargs: Any) -> Any:
                with guarded(args):
                    yield from fn(*args, **kwargs)

            return call_generator
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def call_coroutine(*args: Any, **kwargs: Any) -> Any:
                with guarded(args):
                    return await fn(*args, **kwargs)

            return call_coroutine

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with guarded(args):
                return fn(*args, **kwargs)

        return call

    @contextmanager
    def _guarded(self, args: tuple[Any, ...], demo: str, title: str, action: str) -> Iterator[None]:
        if self.closing:
            raise gr.Error(RESTARTING, title=title, print_exception=False)
        with self._idle:
            self._running += 1
        started, outcome = time.perf_counter(), "ok"
        try:
            self._check_lengths(args)
            yield
        except GeneratorExit:  # the visitor cancelled, or closed the page
            outcome = "cancelled"
            raise
        except gr.Error:
            outcome = "refused"
            raise
        except DemoError as error:
            outcome = "refused" if isinstance(error, InputError) else "error"
            log.info("%s/%s: %s", demo, action, error)
            raise gr.Error(str(error), title=title, print_exception=False) from error
        except Exception as error:
            outcome = "error"
            number = secrets.token_hex(3)
            log.exception("%s/%s failed, error %s", demo, action, number)
            text = f"Something went wrong here. Try again; the host's log has the reason under error {number}."
            raise gr.Error(text, title=title, print_exception=False) from error
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()
            self._requests.labels(demo, action, outcome).inc()
            self._seconds.labels(demo, action).observe(time.perf_counter() - started)

    def _check_lengths(self, args: tuple[Any, ...]) -> None:
        limit = self.settings.max_text
        for arg in args:
            if isinstance(arg, str) and len(arg) > limit:
                raise InputError(f"The text has {len(arg):,} characters and the limit is {limit:,}; shorten it.")
