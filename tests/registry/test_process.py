"""Each change of what a process shares is put back and named, once, and what is the same is not named."""

from __future__ import annotations

import gc
import json
import locale
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from demo_app.registry import process
from demo_app.registry.process import put_back


def state() -> dict[str, Any]:
    """All that the cases below change."""
    root = logging.getLogger()
    return {
        "environ": dict(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "json": sys.modules.get("json"),
        "torch": (
            torch.get_default_dtype(),
            str(torch.get_default_device()),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_float32_matmul_precision(),
            torch.is_anomaly_enabled(),
        ),
        "logging": (root.manager.disable, root.level, list(root.handlers)),
        "loggers": [
            (one.disabled, one.level, one.propagate, list(one.handlers))
            for one in (logging.getLogger("demo_app.registry"), logging.getLogger("of_another"))
        ][:1],
        "disabled": logging.getLogger("of_another").disabled,
        "warnings": list(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "signals": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)],
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
        "interpreter": (
            sys.getrecursionlimit(), sys.getswitchinterval(), socket.getdefaulttimeout(), gc.isenabled(),
            sys.excepthook, sys.displayhook, sys.stdin, sys.stdout, sys.stderr, sys.dont_write_bytecode,
            threading.excepthook,
        ),
        "functions": (json.dumps, os.path.join, subprocess.Popen, time.sleep, open),
    }  # fmt: skip


def set_logger(name: str, **values: Any) -> None:
    vars(logging.getLogger(name)).update(values)


OTHER_LOCALE = "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8"
CHANGES: list[tuple[str, Callable[[], Any]]] = [
    ("os.environ ADDED", lambda: os.environ.update(ADDED="1")),
    ("os.environ KEPT", lambda: os.environ.update(KEPT="other")),
    ("os.environ KEPT", lambda: os.environ.pop("KEPT")),
    ("os.chdir", lambda: os.chdir("/")),
    ("sys.path", lambda: sys.path.insert(0, "/nowhere")),
    ("sys.path", lambda: sys.path.pop(0)),
    ("sys.modules json", lambda: sys.modules.update(json=types.ModuleType("json"))),
    ("sys.modules json", lambda: sys.modules.pop("json")),
    ("torch.set_default_dtype", lambda: torch.set_default_dtype(torch.float64)),
    ("torch.set_default_device", lambda: torch.set_default_device("meta")),
    ("torch.set_grad_enabled", lambda: torch.set_grad_enabled(False)),
    ("torch.set_num_threads", lambda: torch.set_num_threads(torch.get_num_threads() + 1)),
    ("torch.use_deterministic_algorithms", lambda: torch.use_deterministic_algorithms(True)),
    ("torch.use_deterministic_algorithms", lambda: torch.use_deterministic_algorithms(True, warn_only=True)),
    ("torch.set_float32_matmul_precision", lambda: torch.set_float32_matmul_precision("medium")),
    ("torch.autograd.set_detect_anomaly", lambda: torch.autograd.set_detect_anomaly(True)),
    ("logging.disable", lambda: logging.disable(logging.ERROR)),
    ("logging.root.setLevel", lambda: logging.getLogger().setLevel(5)),
    ("logging.root.handlers", lambda: logging.getLogger().addHandler(logging.NullHandler())),
    ("logging.root.handlers", lambda: logging.getLogger().handlers.clear()),
    ("logging.Logger", lambda: set_logger("of_another", disabled=True)),
    ("logging.Logger", lambda: logging.getLogger("demo_app.registry").setLevel(50)),
    ("logging.Logger", lambda: set_logger("demo_app.registry", propagate=False)),
    ("logging.Logger", lambda: logging.getLogger("demo_app.registry").addHandler(logging.NullHandler())),
    ("warnings.filterwarnings", lambda: warnings.simplefilter("error")),
    ("warnings.filterwarnings", lambda: warnings.simplefilter("ignore", UserWarning)),
    ("warnings.resetwarnings", warnings.resetwarnings),
    ("locale.setlocale", lambda: locale.setlocale(locale.LC_ALL, OTHER_LOCALE)),
    ("signal.signal SIGTERM", lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
    ("signal.signal SIGUSR2", lambda: signal.signal(signal.SIGUSR2, print)),
    ("signal.alarm", lambda: signal.setitimer(signal.ITIMER_REAL, 1000)),
    ("sys.setrecursionlimit", lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1)),
    ("sys.setswitchinterval", lambda: sys.setswitchinterval(0.5)),
    ("socket.setdefaulttimeout", lambda: socket.setdefaulttimeout(1)),
    ("gc.enable", lambda: gc.disable() if gc.isenabled() else gc.enable()),
    ("sys.excepthook", lambda: setattr(sys, "excepthook", print)),
    ("sys.displayhook", lambda: setattr(sys, "displayhook", print)),
    ("sys.stdin", lambda: setattr(sys, "stdin", None)),
    ("sys.stdout", lambda: setattr(sys, "stdout", None)),
    ("sys.stderr", lambda: setattr(sys, "stderr", None)),
    ("sys.dont_write_bytecode", lambda: setattr(sys, "dont_write_bytecode", not sys.dont_write_bytecode)),
    ("threading.excepthook", lambda: setattr(threading, "excepthook", print)),
    ("json.dumps", lambda: setattr(json, "dumps", print)),
    ("json.dumps", lambda: delattr(json, "dumps")),
    ("time.sleep", lambda: setattr(time, "sleep", print)),
    ("subprocess.Popen", lambda: setattr(subprocess, "Popen", int)),
    ("builtins.open", lambda: setattr(sys.modules["builtins"], "open", print)),
]


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    torch.use_deterministic_algorithms(False)  # whose first call imports half of torch


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "it")
    logging.getLogger("of_another")


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[f"{n}-{name}" for n, (name, _) in enumerate(CHANGES)])
def test_a_change_is_put_back_and_named(name: str, change: Callable[[], Any]) -> None:
    before = state()
    with put_back() as changed:
        change()
        assert changed == []
    assert changed == [name]
    if "/nowhere" in sys.path:
        assert sys.path.pop() == "/nowhere"
    assert state() == before


def test_nothing_that_stays_the_same_is_named() -> None:
    before = state()
    with put_back() as changed:
        os.environ["KEPT"] = "it"
        os.chdir(".")
        sys.path.append("/appended")
        sys.modules["a_new_module_of_a_plugin"] = types.ModuleType("a_new_module_of_a_plugin")
        torch.set_num_threads(torch.get_num_threads())
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        warnings.filterwarnings("ignore", message="of a library", module="a_library")
        logging.getLogger("a_new_logger_of_a_plugin").disabled = True
        json.a_new_name = 1  # type: ignore[attr-defined]
    assert changed == []
    assert sys.path.pop() == "/appended"
    del sys.modules["a_new_module_of_a_plugin"], json.a_new_name  # type: ignore[attr-defined]
    warnings.filters.pop(0)  # type: ignore[attr-defined]
    assert state() == before


def test_what_is_new_on_the_path_comes_last() -> None:
    before = list(sys.path)
    with put_back() as changed:
        sys.path[:] = ["/new", *reversed(sys.path), 5]  # type: ignore[list-item]
    assert (changed, sys.path) == (["sys.path"], [*before, "/new"])
    sys.path[:] = before


def test_the_folder_stays_where_it_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with put_back() as changed:
        pass
    assert changed == []


def test_many_changes_are_all_named_also_of_code_that_raises() -> None:
    before = state()

    def change() -> None:
        os.environ["B"] = os.environ["A"] = "1"
        os.chdir("/")
        time.sleep = print  # type: ignore[assignment]
        raise SystemExit

    with pytest.raises(SystemExit), put_back() as changed:
        change()
    assert changed == ["time.sleep", "os.environ A", "os.environ B", "os.chdir"]
    assert state() == before


def test_one_comparison_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> process.Compare:
        def compare() -> Any:
            yield "half of it"
            raise ValueError

        return compare

    monkeypatch.setattr(process, "WATCHES", (broken, *process.WATCHES))
    with put_back() as changed:
        os.environ["A"] = "1"
    assert changed == ["half of it", "os.environ A"]


def test_torch_that_a_plugin_imported_is_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    real, before, calls = process._torch_state, state(), []

    def not_at_first() -> dict[str, Any]:
        calls.append(1)
        return real() if len(calls) > 1 else {}

    monkeypatch.setattr(process, "_torch_state", not_at_first)
    with put_back() as changed:
        torch.set_grad_enabled(False)
    assert "torch.set_grad_enabled" in changed
    assert torch.is_grad_enabled()
    torch.set_num_threads(before["torch"][3])
    assert state() == before


def test_without_torch_and_gradio_nothing_of_theirs_is_looked_at() -> None:
    code = """
import os, sys
from demo_app.registry.process import put_back
with put_back() as changed:
    os.chdir("/")
assert "torch" not in sys.modules and "gradio" not in sys.modules
print(changed)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "['os.chdir']\n"
