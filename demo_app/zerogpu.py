"""ZeroGPU: a Space's GPU that is available only while an action runs, in a forked copy of the process.

On such a Space the queued actions of demos run in copies, on the GPU; the quick ones stay here, on the CPU. So
a checkpoint is held twice: for the CPU, loaded at its first use, and for the GPU, loaded before the page is served.
Outside of a copy, `spaces` emulates a GPU, keeps the weights on disk, and moves them to the GPU after the fork. Plugins
need not know any of this. Elsewhere these functions do nothing.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from demo_app.errors import SettingsError

_host = os.getpid()
_warming: ContextVar[bool] = ContextVar("warming", default=False)


def active() -> bool:
    """Whether this is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def on_gpu() -> bool:
    """Whether the caller has the GPU: in a forked copy, or while models are loaded for the GPU in advance."""
    return active() and (_warming.get() or os.getpid() != _host)


def device() -> str | None:
    """The device for a model that the caller asks for; `None` without ZeroGPU."""
    return ("cuda" if on_gpu() else "cpu") if active() else None


def prepare() -> None:
    """Set up `spaces`, before torch initialises CUDA and before a page is launched. Raises `SettingsError`."""
    global _host
    _host = os.getpid()
    if active():
        _spaces().GPU(_nothing)  # a Space that registers no GPU function is stopped


@contextmanager
def warming() -> Iterator[None]:
    """Inside, models are loaded for the GPU. Only in the thread that called `prepare`: that has the emulated GPU."""
    token = _warming.set(True)
    try:
        yield
    finally:
        _warming.reset(token)


def after_fork(renew: Callable[[], None]) -> None:
    """Call `renew` in each copy: a lock that another thread held at the fork is never released in the copy."""
    if active():
        os.register_at_fork(after_in_child=renew)


def in_a_copy(
    fn: Callable[..., Any],
    sent: Callable[[], Any] = lambda: None,
    within: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
) -> Callable[..., Any]:
    """A function of the same kind, signature and docstring that runs `fn` in a copy of the process, on the GPU.

    Args:
        fn: a function or generator function. What it takes and returns is pickled. A coroutine function is returned as
            it is, because `spaces` supports none.
        sent: called in this process; its result is pickled and sent to the copy.
        within: makes the context manager around `fn` in the copy, from what was sent.
    """
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        return fn
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def iterate_there(_sent: Any, *args: Any, **kwargs: Any) -> Any:
            with within(_sent):
                yield from fn(*map(_unpacked, args), **kwargs)

        iterate = _spaces().GPU(iterate_there)

        @functools.wraps(fn)
        def iterate_here(*args: Any, **kwargs: Any) -> Any:
            yield from iterate(sent(), *map(_packed, args), **kwargs)

        return iterate_here

    @functools.wraps(fn)
    def call_there(_sent: Any, *args: Any, **kwargs: Any) -> Any:
        with within(_sent):
            return fn(*map(_unpacked, args), **kwargs)

    call = _spaces().GPU(call_there)

    @functools.wraps(fn)
    def call_here(*args: Any, **kwargs: Any) -> Any:
        return call(sent(), *map(_packed, args), **kwargs)

    return call_here


def end_copies() -> None:
    """Kill the copies, which wait idle for their next action."""
    if active():
        for copy in multiprocessing.active_children():
            copy.kill()
            copy.join(0.2)


@dataclass(frozen=True)
class _Packed:
    """An argument of Gradio's that cannot be pickled, taken apart."""

    kind: type
    args: tuple[Any, ...]
    fields: dict[str, Any]


def _packed(arg: Any) -> Any:
    import gradio as gr

    if isinstance(arg, gr.Request):
        known = {"username": arg.username, "session_hash": arg.session_hash}
        seen = {name: dict(getattr(arg, name, None) or {}) for name in ("headers", "query_params", "cookies")}
        return _Packed(gr.Request, (), known | seen)
    if isinstance(arg, gr.EventData):
        from demo_app.gradio_internals import event_data

        return _Packed(type(arg), (None, event_data(arg)), {})
    return arg


def _unpacked(arg: Any) -> Any:
    return arg.kind(*arg.args, **arg.fields) if isinstance(arg, _Packed) else arg


def _spaces() -> Any:
    try:
        return importlib.import_module("spaces")
    except ImportError:
        raise SettingsError(
            "SPACES_ZERO_GPU is set and the package spaces is not installed: pip install spaces, or unset the variable."
        ) from None


def _nothing() -> None:
    """Registered as a GPU function, and never called."""
