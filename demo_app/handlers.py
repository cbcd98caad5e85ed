"""Around every event handler of every demo: limits, one sentence for the visitor, the rest for log and metrics."""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import gradio as gr
from prometheus_client import CollectorRegistry, Counter, Histogram

from demo_app import zerogpu
from demo_app.api import DemoError, InputError
from demo_app.i18n import say, say_updates
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

    def wrap(
        self, fn: Callable[..., Any], demo: str, title: str, action: str, *, gpu: bool = False
    ) -> Callable[..., Any]:
        """`fn` guarded; of the same kind (function, generator, coroutine), with the same signature and docstring.

        With `gpu`, on ZeroGPU, it runs in a copy of the process; of its errors only the sentence comes back.
        """
        if gpu:
            fn = zerogpu.in_a_copy(_within(fn, lambda _: self._told(demo, title, action)))
        return _within(fn, lambda args: self._guarded(args, demo, title, action))

    @contextmanager
    def _guarded(self, args: tuple[Any, ...], demo: str, title: str, action: str) -> Iterator[None]:
        """Refuse what is too long or too late, and count."""
        if self.closing:
            raise gr.Error(say(RESTARTING), title=say(title), print_exception=False)
        with self._idle:
            self._running += 1
        started, outcome = time.perf_counter(), "ok"
        try:
            with self._told(demo, title, action):
                self._check_lengths(args)
                yield
        except GeneratorExit:  # the visitor cancelled, or closed the page
            outcome = "cancelled"
            raise
        except gr.Error as error:
            outcome = getattr(error, "outcome", "refused")
            raise
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()
            self._requests.labels(demo, action, outcome).inc()
            self._seconds.labels(demo, action).observe(time.perf_counter() - started)

    @contextmanager
    def _told(self, demo: str, title: str, action: str) -> Iterator[None]:
        """Make of an exception what a visitor reads, a `gr.Error` whose `outcome` is what is counted."""
        try:
            yield
        except gr.Error:
            raise
        except DemoError as error:
            log.info("%s/%s: %s", demo, action, error)
            outcome = "refused" if isinstance(error, InputError) else "error"
            raise _said(str(error), title, outcome) from error
        except Exception as error:
            number = secrets.token_hex(3)
            log.exception("%s/%s failed, error %s", demo, action, number)
            text = f"Something went wrong here. Try again; the host's log has the reason under error {number}."
            raise _said(text, title, "error") from error

    def _check_lengths(self, args: tuple[Any, ...]) -> None:
        limit = self.settings.max_text
        for arg in args:
            if isinstance(arg, str) and len(arg) > limit:
                raise InputError(f"The text has {len(arg):,} characters and the limit is {limit:,}; shorten it.")


def _said(text: str, title: str, outcome: str) -> gr.Error:
    error = gr.Error(say(text), title=say(title), print_exception=False)
    error.outcome = outcome
    return error


def _within(
    fn: Callable[..., Any], context: Callable[[tuple[Any, ...]], AbstractContextManager[None]]
) -> Callable[..., Any]:
    """`fn`, of the same kind, run within the context that is made of its arguments."""
    if inspect.isasyncgenfunction(fn):

        @functools.wraps(fn)
        async def call_async_generator(*args: Any, **kwargs: Any) -> Any:
            with context(args):
                async for value in fn(*args, **kwargs):
                    yield say_updates(value)

        return call_async_generator
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def call_generator(*args: Any, **kwargs: Any) -> Any:
            with context(args), closing(fn(*args, **kwargs)) as values:  # whoever cancels, cancels the handler
                for value in values:
                    yield say_updates(value)

        return call_generator
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def call_coroutine(*args: Any, **kwargs: Any) -> Any:
            with context(args):
                return say_updates(await fn(*args, **kwargs))

        return call_coroutine

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        with context(args):
            return say_updates(fn(*args, **kwargs))

    return call
