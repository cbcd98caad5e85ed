"""Stands in for the package `spaces` on ZeroGPU: its decorator forks and pickles as that of 0.51.3 does, without a GPU.

A worker is forked at the first call of a function, keeps waiting for the next, and serves one call at a time; another
call that comes meanwhile forks another. Arguments and results go through pickle; of an exception only a `gr.Error`
comes back as it is; progress is sent back to the queue; a generator that is closed is closed in the worker at its next
value. What is wrapped, and when the page is launched, is printed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.queueing import Queue

if os.environ.get("SPACES_ZERO_GPU") != "true":
    raise ImportError("the stand-in is for a host that thinks it is on ZeroGPU")

_context = multiprocessing.get_context("fork")
_wrapped: dict[Any, Any] = {}
_launch = gr.Blocks.launch


def _first_launch(*args: Any, **kwargs: Any) -> Any:
    print(f"spaces: launched with {len(_wrapped)} functions", flush=True)  # noqa: T201
    if not _wrapped:
        raise RuntimeError("no function wants the GPU")
    gr.Blocks.launch = _launch
    return _launch(*args, **kwargs)


gr.Blocks.launch = _first_launch


def GPU(task: Any = None, *, duration: Any = None) -> Any:  # noqa: N802  # the name is the real one's
    if task is None:
        return functools.partial(GPU, duration=duration)
    if inspect.iscoroutinefunction(task):
        raise NotImplementedError
    if task not in _wrapped:
        print(f"spaces: wraps {task.__module__}.{task.__qualname__}", flush=True)  # noqa: T201
        _wrapped[task] = _generator(task) if inspect.isgeneratorfunction(task) else _function(task)
    return _wrapped[task]


class Worker:
    """A forked process that serves one function."""

    def __init__(self, task: Callable[..., Any]) -> None:
        self.calls: Any = SimpleQueue(ctx=_context)
        self.results: Any = SimpleQueue(ctx=_context)
        self.stop = _context.Event()
        self.process = _context.Process(target=self._serve, args=(task,), daemon=True)
        self.process.start()

    def ask(self, args: Any, kwargs: Any) -> None:
        """Send a call and where its progress belongs."""
        self.calls.put((args, kwargs, LocalContext.event_id.get(None), LocalContext.in_event_listener.get(False)))

    def answers(self) -> Iterator[Any]:
        """What the call gives: one value, or those of a generator."""
        while True:
            kind, value = self.results.get()
            if kind == "value":
                yield value
            elif kind == "progress":
                name, args, kwargs = value
                getattr(LocalContext.blocks.get()._queue, name)(*args, **kwargs)
            elif kind == "error":
                raise value if isinstance(value, gr.Error) else gr.Error(value, title="ZeroGPU worker error")
            else:
                return

    def _serve(self, task: Callable[..., Any]) -> None:
        for fd in Path("/proc/self/fd").iterdir():  # a visitor's connection ends when the host ends it
            with contextlib.suppress(OSError):
                if os.readlink(fd).startswith("socket:"):
                    os.close(int(fd.name))
        for name in ("set_progress", "log_message"):
            setattr(Queue, name, self._sender(name))
        while True:
            args, kwargs, event_id, listening = self.calls.get()
            self.stop.clear()
            LocalContext.event_id.set(event_id)
            LocalContext.in_event_listener.set(listening)
            with ThreadPoolExecutor() as pool:
                pool.submit(copy_context().run, self._run, task, args, kwargs).result()

    def _sender(self, name: str) -> Callable[..., None]:
        return lambda _, *args, **kwargs: self.results.put(("progress", (name, args, kwargs)))

    def _run(self, task: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            if inspect.isgeneratorfunction(task):
                values = task(*args, **kwargs)
                for value in values:
                    if self.stop.is_set():
                        values.close()
                        break
                    self.results.put(("value", value))
            else:
                self.results.put(("value", task(*args, **kwargs)))
        except Exception as error:
            self.results.put(("error", error if isinstance(error, gr.Error) else type(error).__name__))
        else:
            self.results.put(("end", None))


def _function(task: Callable[..., Any]) -> Callable[..., Any]:
    idle: list[Worker] = []

    @functools.wraps(task)
    def call(*args: Any, **kwargs: Any) -> Any:
        worker = idle.pop() if idle else Worker(task)
        worker.ask(args, kwargs)
        (value,) = worker.answers()
        idle.append(worker)
        return value

    return call


def _generator(task: Callable[..., Any]) -> Callable[..., Any]:
    idle: list[Worker] = []

    @functools.wraps(task)
    def iterate(*args: Any, **kwargs: Any) -> Any:
        worker = idle.pop() if idle else Worker(task)
        worker.ask(args, kwargs)
        try:
            yield from worker.answers()
        except GeneratorExit:
            worker.stop.set()
            for _ in worker.answers():  # what it made meanwhile
                pass
            raise
        finally:
            idle.append(worker)

    return iterate
