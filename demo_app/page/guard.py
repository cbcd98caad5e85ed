"""The guard around every event handler: it checks limits, translates, counts, and turns exceptions into sentences."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

import gradio as gr
from prometheus_client import CollectorRegistry, Counter, Histogram

from demo_app import zerogpu
from demo_app.errors import DISK_FULL, DemoError, InputError, disk_is_full
from demo_app.gradio_internals import Listener, current_request
from demo_app.i18n import Catalog, say, speaking
from demo_app.i18n.components import translate_updates
from demo_app.page.visits import visits_of
from demo_app.settings import Settings

log = logging.getLogger(__name__)

_GUARDED = "__demo_app__"  # attribute of a guarded handler: its demo's name and title, the name of the event
MOST_SAID = 2000  # characters of an error
RESTARTING = "The server is restarting; please try again in a minute."


class Handlers:
    """Wraps the handlers of a page, counts the running ones, and refuses new events while the server closes."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.settings = settings
        self.catalog = Catalog({})  # translations of the host and its demos; `shell.compose` sets it
        self.closing = False
        self._running = 0
        self._idle = threading.Condition()
        self._requests = Counter(
            "demo_app_requests", "Events handled", ["demo", "action", "outcome"], registry=registry
        )
        self._seconds = Histogram("demo_app_request_seconds", "Time of an event", ["demo", "action"], registry=registry)

    @property
    def running(self) -> int:
        """How many handlers are running."""
        return self._running

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait for the running handlers; returns whether all of them ended in time."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout=seconds)

    def wrap(
        self, fn: Callable[..., Any], demo: str, title: str, action: str, *, gpu: bool = False
    ) -> Callable[..., Any]:
        """Guard a handler. The result is of the same kind (function, generator, coroutine), signature and docstring.

        Args:
            fn: the handler.
            demo: the name of its demo, for log and metrics.
            title: the demo's title, shown above an error.
            action: the name of the event, for log and metrics.
            gpu: run it in one of ZeroGPU's copies of the process. Of its errors only the sentence comes back.
        """
        if gpu:
            fn = self._in_a_copy(fn, demo, title, action)
        guarded = _within(fn, lambda args: self._guarded(args, demo, title, action), self._speaking)
        setattr(guarded, _GUARDED, (demo, title, action))
        return guarded

    def guards(self, fn: Callable[..., Any] | None) -> bool:
        """Whether that handler is guarded already."""
        return hasattr(fn, _GUARDED)

    def _in_a_copy(self, fn: Callable[..., Any], demo: str, title: str, action: str) -> Callable[..., Any]:
        """`fn`, run in a copy of the process. A copy has no request, so the visitor's language is sent along."""
        return zerogpu.in_a_copy(
            _within(fn, lambda _: self._translated(demo, title, action)),
            sent=self._language,
            within=lambda language: speaking(self.catalog, language),
        )

    def _language(self) -> str | None:
        """The language of the visitor whose event is being handled; `None` for English."""
        return self._language_of(current_request())

    def _language_of(self, request: gr.Request | None) -> str | None:
        headers = getattr(request, "headers", None)  # there are none at start, and none once the visitor has left
        return self.catalog.language_of(headers.get("accept-language", "")) if headers is not None else None

    def _speaking(self) -> AbstractContextManager[None]:
        return speaking(self.catalog, self._language())

    @contextmanager
    def _guarded(self, args: tuple[Any, ...], demo: str, title: str, action: str) -> Iterator[None]:
        """Check limits, refuse events while the server closes, and count."""
        if self.closing:
            with self._speaking():
                raise gr.Error(say(RESTARTING), title=say(title), print_exception=False)
        with self._idle:
            self._running += 1
        started, outcome = time.perf_counter(), "ok"
        try:
            with self._translated(demo, title, action):
                self._check_lengths(args)
                yield
        except (GeneratorExit, asyncio.CancelledError):  # the visitor cancelled or closed the page
            outcome = "cancelled"
            raise
        except gr.Error as error:
            outcome, error.counted = outcome_of(error), True
            raise
        except BaseException:
            outcome = "error"
            raise
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()
            self._requests.labels(demo, action, outcome).inc()
            self._seconds.labels(demo, action).observe(time.perf_counter() - started)

    @contextmanager
    def _translated(self, demo: str, title: str, action: str) -> Iterator[None]:
        """Turn whatever is raised into a `gr.Error`, but for Ctrl-C and a cancellation that the host asked for."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _asked_to_end(error):
                raise
            answer = self._answer(error, demo, title, action)
            if answer is error:
                raise
            raise answer from error

    @contextmanager
    def around(self, listener: Listener, request: gr.Request | None) -> Iterator[None]:
        """Around all that Gradio does for an event, its handler included: what the guard inside has not seen.

        That is what is wrong with the arguments before the handler is called, and with what it returned.
        """
        demo, title, action = getattr(listener.handler, _GUARDED, ("host", self.settings.title, listener.name))
        visits = visits_of(request) if request is not None else None
        if request is not None and visits is not None:
            visits.seen(str(request.session_hash))
        try:
            with speaking(self.catalog, self._language_of(request)), self._translated(demo, title, action):
                yield
        except gr.Error as error:
            if not getattr(error, "counted", False):
                self._requests.labels(demo, action, outcome_of(error)).inc()
            raise

    def _answer(self, error: BaseException, demo: str, title: str, action: str) -> gr.Error:
        """What the visitor is told, in their language; its `outcome` is counted. One record in the log says why."""
        try:
            if isinstance(error, gr.Error):
                if not hasattr(error, "outcome"):  # raised by a plugin; all but `print_exception` is sent as JSON
                    error.message, error.title = _sendable(str(error.message)), _sendable(str(error.title))
                    error.visible = bool(error.visible)
                    error.duration = error.duration if isinstance(error.duration, int | float) else 10
                    error.print_exception, error.outcome = False, "refused"
                return error
            if isinstance(error, DemoError):
                log.info("%s/%s: %s", demo, action, error)
                outcome = "refused" if isinstance(error, InputError) else "error"
                return self._error(error.text, title, outcome, **error.values)
        except Exception:
            log.exception("%s/%s: its error cannot be told", demo, action)
        number = secrets.token_hex(3)
        log.error("%s/%s failed, error %s", demo, action, number, exc_info=error)
        if disk_is_full(error):
            return self._error(DISK_FULL, title, "error")
        text = "Something went wrong here. Try again; the host's log has the reason under error {number}."
        return self._error(text, title, "error", number=number)

    def _check_lengths(self, args: tuple[Any, ...]) -> None:
        limit = self.settings.max_text
        for arg in args:
            if isinstance(arg, str) and len(arg) > limit:
                raise InputError(
                    "The text has {count} characters and the limit is {limit}; shorten it.",
                    count=f"{len(arg):,}",
                    limit=f"{limit:,}",
                )

    def refusal(self, error: DemoError) -> gr.Error:
        """The error that shows a sentence, in the visitor's language, where no handler runs yet."""
        with self._speaking():
            return gr.Error(say(error.text, **error.values), print_exception=False)

    def _error(self, text: str, title: str, outcome: str, /, **values: Any) -> gr.Error:
        language = nullcontext() if zerogpu.on_gpu() or current_request() is None else self._speaking()
        with language:
            error = gr.Error(_sendable(say(text, **values)), title=_sendable(say(title)), print_exception=False)
        error.outcome = outcome
        return error


def _sendable(text: str) -> str:
    """The text as JSON can carry it, and of a bounded length: a sentence may quote what a visitor sent."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MOST_SAID else f"{text[: MOST_SAID - 1]}…"


def outcome_of(error: gr.Error) -> str:
    """How an error is counted: "refused", or "error"."""
    return getattr(error, "outcome", "refused")


def _asked_to_end(error: BaseException) -> bool:
    """Whether the host asked for this end of a handler: it closed the generator, or cancelled the task.

    A handler that raises either on its own has failed; `_within` has replaced its GeneratorExit.
    """
    if isinstance(error, GeneratorExit):
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in a thread, where nothing is cancelled
        return False
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


@contextmanager
def _no_exit() -> Iterator[None]:
    """Around each step of a handler: a GeneratorExit of its own is not the one with which the host ends it."""
    try:
        yield
    except GeneratorExit as error:
        raise RuntimeError("the handler raised GeneratorExit") from error


def _within(
    fn: Callable[..., Any],
    context: Callable[[tuple[Any, ...]], AbstractContextManager[None]],
    step: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Callable[..., Any]:
    """A handler of the same kind that runs `fn` inside a context, and translates the updates that it returns.

    Args:
        fn: a function, generator function or coroutine function, asynchronous ones included.
        context: makes the context manager around the whole call from the arguments.
        step: makes the context manager around each step of a generator: Gradio runs every step in a thread and a
            context of its own, so a ContextVar that was set in one is not seen in the next.
    """
    if inspect.isasyncgenfunction(fn):

        @functools.wraps(fn)
        async def call_async_generator(*args: Any, **kwargs: Any) -> Any:
            with context(args):
                values = fn(*args, **kwargs)
                try:
                    while True:
                        with step(), _no_exit():
                            try:
                                value = translate_updates(await anext(values))
                            except StopAsyncIteration:
                                return
                        yield value
                finally:
                    with _no_exit():
                        await values.aclose()

        return call_async_generator
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def call_generator(*args: Any, **kwargs: Any) -> Any:
            with context(args), closing(fn(*args, **kwargs)) as values:  # closed with the visitor's event
                while True:
                    with step(), _no_exit():
                        try:
                            value = translate_updates(next(values))
                        except StopIteration:
                            return
                    yield value

        return call_generator
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def call_coroutine(*args: Any, **kwargs: Any) -> Any:
            with context(args), step(), _no_exit():
                return translate_updates(await fn(*args, **kwargs))

        return call_coroutine

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        with context(args), step(), _no_exit():
            return translate_updates(fn(*args, **kwargs))

    return call
