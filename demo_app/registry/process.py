"""What all plugins share in this process, and what one must not change for the others.

A plugin is free to call whatever it likes; what it leaves changed is put back and named, so that the next plugin, the
host and every handler find the process as it was.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import functools
import gc
import json
import locale
import logging
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from demo_app import machine

# Modules whose functions and classes nobody may replace; of Gradio and the host what is imported by then
WATCHED = (asyncio, builtins, json, os, random, socket, ssl, subprocess, threading, time, warnings)
PACKAGES = ("gradio.components.", "gradio.layouts.", "gradio.blocks", "gradio.events", "gradio.routes", "demo_app.")

MEMBERS = (types.FunctionType, types.BuiltinFunctionType, type, staticmethod, classmethod, property)
OF_LIBRARIES = ("HF_HUB_DISABLE_TELEMETRY", "TORCHINDUCTOR_CACHE_DIR")  # gradio and torch set these when they load


@contextmanager
def put_back() -> Iterator[list[str]]:
    """Run a plugin's code; what it changes of the process is put back when the `with` ends, also if it raises.

    Yields a list that is empty until then: the calls that made the changes, such as `os.chdir` or
    `torch.set_default_dtype`, for the log and the Status tab.

    >>> with put_back() as changed:
    ...     os.environ["DEMO_APP_DOCTEST"] = "1"
    >>> changed, os.environ.get("DEMO_APP_DOCTEST")
    (['os.environ DEMO_APP_DOCTEST'], None)
    """
    changed: list[str] = []
    undo = [watch() for watch in WATCHES]
    try:
        yield changed
    finally:
        for compare in undo:
            # A plugin may have broken what the comparison itself uses; the others are put back nevertheless
            with contextlib.suppress(Exception):
                changed += compare()


Compare = Callable[[], Iterator[str]]  # puts back what is different by now, and says what that was


def _environment() -> Compare:
    before = dict(os.environ)

    def compare() -> Iterator[str]:
        for name in sorted({*before, *os.environ}):
            if os.environ.get(name) != before.get(name) and name not in OF_LIBRARIES:
                if name in before:
                    os.environ[name] = before[name]
                else:
                    del os.environ[name]
                yield f"os.environ {name}"

    return compare


def _folder() -> Compare:
    before = _or_none(os.getcwd)

    def compare() -> Iterator[str]:
        if before is not None and _or_none(os.getcwd) != before:
            os.chdir(before)
            yield "os.chdir"

    return compare


def _path() -> Compare:
    before = list(sys.path)

    def compare() -> Iterator[str]:
        after = [entry for entry in sys.path if isinstance(entry, str)]
        if after[: len(before)] != before:
            sys.path[:] = [*before, *(entry for entry in after if entry not in before)]  # what is new comes last
            yield "sys.path"

    return compare


def _modules() -> Compare:
    before = dict(sys.modules)

    def compare() -> Iterator[str]:
        for name, module in before.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                yield f"sys.modules {name}"

    return compare


def _torch() -> Compare:
    before = _torch_state()

    def compare() -> Iterator[str]:
        torch = sys.modules.get("torch")
        if torch is None:
            return
        after, fresh = _torch_state(), not before
        for name, (value, restore) in after.items():
            expected = before[name][0] if not fresh else _torch_fresh(torch).get(name, value)
            if value != expected:
                restore(expected)
                yield f"torch.{name}"

    return compare


def _torch_state() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Function of torch that changes a setting -> its value, what sets it; nothing before torch is imported."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_num_threads"):  # half imported
        return {}
    return {
        "set_default_dtype": (torch.get_default_dtype(), torch.set_default_dtype),
        "set_default_device": (
            str(torch.get_default_device()),
            lambda name: torch.set_default_device(None if name == "cpu" else name),
        ),
        "set_grad_enabled": (torch.is_grad_enabled(), torch.set_grad_enabled),
        "set_num_threads": (torch.get_num_threads(), torch.set_num_threads),
        "use_deterministic_algorithms": (
            (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
            lambda state: torch.use_deterministic_algorithms(state[0], warn_only=state[1]),
        ),
        "set_float32_matmul_precision": (torch.get_float32_matmul_precision(), torch.set_float32_matmul_precision),
        "autograd.set_detect_anomaly": (torch.is_anomaly_enabled(), torch.autograd.set_detect_anomaly),
    }


def _torch_fresh(torch: Any) -> dict[str, Any]:
    """The settings of a torch that was imported just now, by the plugin whose changes are looked for."""
    return {
        "set_default_dtype": torch.float32,
        "set_default_device": "cpu",
        "set_grad_enabled": True,
        "set_num_threads": machine.threads(),
        "use_deterministic_algorithms": (False, False),
        "set_float32_matmul_precision": "highest",
        "autograd.set_detect_anomaly": False,
    }


def _logging() -> Compare:
    root = logging.getLogger()
    disabled_up_to, level, handlers = root.manager.disable, root.level, list(root.handlers)
    known = {name: one for name, one in list(root.manager.loggerDict.items()) if isinstance(one, logging.Logger)}
    off = {name: one.disabled for name, one in known.items()}
    own = {name: (one.level, one.propagate, list(one.handlers)) for name, one in known.items() if _of_host(name)}

    def compare() -> Iterator[str]:
        if root.manager.disable != disabled_up_to:
            logging.disable(disabled_up_to)
            yield "logging.disable"
        if root.level != level:
            root.setLevel(level)
            yield "logging.root.setLevel"
        if root.handlers != handlers:
            root.handlers[:] = handlers
            yield "logging.root.handlers"
        silenced = False
        for name, one in known.items():  # `logging.config` disables all loggers that it does not know
            if one.disabled != off[name]:
                one.disabled = off[name]
                silenced = True
        for name, (level_before, propagate, handlers_before) in own.items():
            one = known[name]
            if (one.level, one.propagate, one.handlers) != (level_before, propagate, handlers_before):
                one.setLevel(level_before)
                one.propagate, one.handlers[:] = propagate, handlers_before
                silenced = True
        if silenced:
            yield "logging.Logger"

    return compare


def _of_host(name: str) -> bool:
    return name.partition(".")[0] in ("demo_app", "gradio", "uvicorn")


def _warnings() -> Compare:
    before = list(warnings.filters)

    def compare() -> Iterator[str]:
        # Libraries add filters for their own warnings; those that hold for every module's are meant here
        new = [f for f in warnings.filters if f not in before and f[1] is None and f[3] is None]
        all_of_them = [f for f in new if f[2].__module__ == "builtins"]
        if all_of_them:
            warnings.filters[:] = [f for f in warnings.filters if f not in all_of_them]  # type: ignore[index]
            yield "warnings.filterwarnings"
        lost = [f for f in before if f not in warnings.filters]
        if lost:
            warnings.filters[:] = [*(f for f in warnings.filters if f not in before), *before]  # type: ignore[index]
            yield "warnings.resetwarnings"

    return compare


def _locale() -> Compare:
    before = locale.setlocale(locale.LC_ALL)

    def compare() -> Iterator[str]:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)
            yield "locale.setlocale"

    return compare


def _signals() -> Compare:
    numbers = sorted(signal.valid_signals())
    before = {number: signal.getsignal(number) for number in numbers}

    def compare() -> Iterator[str]:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler and signal.getsignal(number) != handler:
                if handler is not None:  # None: set outside of Python, and cannot be put back
                    signal.signal(number, handler)
                yield f"signal.signal {signal.Signals(number).name}"
        if before_alarm == 0 and _alarm() != 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            yield "signal.alarm"

    before_alarm = _alarm()
    return compare


def _alarm() -> float:
    return signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0.0


def _interpreter() -> Compare:
    before: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "sys.setrecursionlimit": (sys.getrecursionlimit, sys.setrecursionlimit),
        "sys.setswitchinterval": (sys.getswitchinterval, sys.setswitchinterval),
        "socket.setdefaulttimeout": (socket.getdefaulttimeout, socket.setdefaulttimeout),
        "gc.enable": (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    }
    for name in ("excepthook", "displayhook", "stdin", "stdout", "stderr", "dont_write_bytecode"):
        before[f"sys.{name}"] = (_getter(sys, name), _setter(sys, name))
    before["threading.excepthook"] = (_getter(threading, "excepthook"), _setter(threading, "excepthook"))
    values = {name: get() for name, (get, _) in before.items()}

    def compare() -> Iterator[str]:
        for name, (get, restore) in before.items():
            if get() is not values[name] and get() != values[name]:
                restore(values[name])
                yield name

    return compare


def _getter(owner: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(owner, name, None)


def _setter(owner: Any, name: str) -> Callable[[Any], Any]:
    return lambda value: setattr(owner, name, value)


def _functions() -> Compare:
    """Functions and classes of modules, and methods of Gradio's components, that were replaced (monkeypatched)."""
    before = [(owner, name, dict(vars(owner))) for name, owner in _owners(len(sys.modules))]

    def compare() -> Iterator[str]:
        for owner, where, members in before:
            with contextlib.suppress(Exception):  # values may be arrays, which do not compare
                if vars(owner) == members:  # a hundred times faster than name by name
                    continue
            for name, value in members.items():
                if isinstance(value, MEMBERS) and vars(owner).get(name) is not value:
                    setattr(owner, name, value)
                    yield f"{where}.{name}"

    return compare


@functools.lru_cache(maxsize=1)
def _owners(modules: int) -> list[tuple[str, Any]]:
    """(name, module or class) of all whose functions are compared; looked up again when `modules` are loaded."""
    gradio = sys.modules.get("gradio")
    found: list[tuple[str, Any]] = [(one.__name__, one) for one in (*WATCHED, gradio) if one is not None]
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGES) and isinstance(module, types.ModuleType):
            found.append((name, module))
            found += [
                (f"{name}.{value.__qualname__}", value)
                for value in list(vars(module).values())
                if isinstance(value, type) and value.__module__ == name
            ]
    return found


def _or_none(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except OSError:  # the folder was deleted
        return None


# Functions first: with `os.chdir` or `logging.disable` replaced, the others could not be put back
WATCHES: tuple[Callable[[], Compare], ...] = (
    _functions,
    _modules,
    _interpreter,
    _signals,
    _environment,
    _folder,
    _path,
    _torch,
    _logging,
    _warnings,
    _locale,
)
