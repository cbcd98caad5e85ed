"""Bytes of a loaded model, whatever it is made of: nothing raises, nothing of the model's runs, and time is bounded."""

from __future__ import annotations

import ctypes
import functools
import gc
import mmap
import re
import sys
import time
import types
import weakref
from array import array
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sized_models import MB, demo_of, models_of

from demo_app import machine
from demo_app.models import measuring
from demo_app.models.measuring import estimate, size_of, walk


class Slots:
    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held


@dataclass
class Record:
    held: Any


class Named(dict[str, Any]):
    pass


def hostile(held: Any) -> Any:
    """A class and its object: whatever is asked of either fails, and may end the process."""

    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            raise RuntimeError("compared")

        def __hash__(cls) -> int:
            raise RuntimeError("hashed")

        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError(name)

    class Hostile(metaclass=Meta):
        def __init__(self, held: Any) -> None:
            object.__setattr__(self, "held", held)

        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(name)

        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

        def __eq__(self, other: object) -> bool:
            raise SystemExit

        def __len__(self) -> int:
            raise SystemExit

        def __sizeof__(self) -> int:
            raise SystemExit

    return Hostile, type.__call__(Hostile, held)


def closure(held: Any) -> Any:
    return lambda: held


def generator(held: Any) -> Any:
    yield
    del held


def started(held: Any) -> Any:
    steps = generator(held)
    next(steps)
    return steps


def cyclic(held: Any) -> Any:
    one = Record(None)
    one.held = [held, one]
    return one


ONE_MB = {
    "bytes": lambda: bytes(MB),
    "bytearray": lambda: bytearray(MB),
    "a memoryview": lambda: memoryview(bytes(MB))[5:],
    "a map": lambda: mmap.mmap(-1, MB),
    "an array of a map": lambda: np.frombuffer(mmap.mmap(-1, MB), np.uint8)[::2],
    "array.array": lambda: array("d", bytes(MB)),
    "an array of ctypes": lambda: (ctypes.c_ubyte * MB)(),
    "an array of numpy": lambda: np.zeros((1000, 1000), np.uint8).T[::3],
    "an array of objects": lambda: np.array([bytes(MB), None], dtype=object)[:1],
    "a tensor and its view": lambda: [one := torch.zeros(MB, dtype=torch.uint8), one[5:], one.numpy()],
    "a deque": lambda: deque([bytes(MB)]),
    "slots": lambda: Slots(bytes(MB)),
    "a data class": lambda: Record(bytes(MB)),
    "a dict's subclass": lambda: Named(held=bytes(MB)),
    "a closure": lambda: closure(bytes(MB)),
    "a partial": lambda: functools.partial(print, sep=bytes(MB)),
    "a bound method": lambda: Record(bytes(MB)).__repr__,
    "a generator": lambda: started(bytes(MB)),
    "a weak reference": lambda: weakref.ref(KEPT),
    "a namespace": lambda: types.SimpleNamespace(held=bytes(MB), module=sys, other=ctypes),
    "a cycle": lambda: cyclic(bytes(MB)),
    "hostile": lambda: hostile(bytes(MB)),
}
KEPT = Record(bytes(MB))


@pytest.mark.parametrize("name", ONE_MB)
def test_a_million_bytes_are_found_once(name: str) -> None:
    model = ONE_MB[name]()
    assert size_of([model, model, {"again": model}]) == pytest.approx(MB, rel=0.002)
    assert walk(model).whole


def test_tensors_of_modules_count_once() -> None:
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(10, 10, bias=False), "b": torch.nn.Linear(10, 10, bias=False)})
    assert size_of(module) == 800
    module["b"].weight = module["a"].weight
    assert size_of(module) == 400
    assert size_of({"model": [module], "labels": ("x", "y")}) == 400


def test_an_array_that_repeats_a_row_takes_one_row() -> None:
    assert size_of(np.broadcast_to(np.zeros(1000, np.uint8), (10**6, 1000))) == 1000


def nested(depth: int) -> Any:
    found: Any = bytes(MB)
    for _ in range(depth):
        found = [found]
    return found


def closed() -> mmap.mmap:
    mapped = mmap.mmap(-1, 4096)
    mapped.close()
    return mapped


@pytest.mark.parametrize(
    "make",
    [lambda: nested(50_000), lambda: [float(i) for i in range(800_000)], gc.get_objects, closed, lambda: hostile(1)],
    ids=["deep", "wide", "everything", "closed", "hostile"],
)
def test_any_graph_is_measured_in_bounded_time(make: Any) -> None:
    model = make()
    before = time.thread_time()
    walk(model, seconds=0.2)
    assert time.thread_time() - before < 0.2 + 1.0


HIDDEN = [ctypes.pointer(ctypes.c_int(1)), torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), re.compile("")]


@pytest.mark.parametrize(("model", "whole"), zip(HIDDEN, [False, False, True], strict=True))
def test_what_may_hide_memory_is_told_from_what_does_not(model: Any, whole: bool) -> None:
    assert walk(model).whole == whole


@pytest.mark.parametrize(
    ("files", "growth", "imported", "size"),
    [
        (5 * MB, 0, False, 5 * MB),
        (5 * MB, 90 * MB, False, 90 * MB),
        (5 * MB, 90 * MB, True, 5 * MB),  # an import takes memory too
        (0, 90 * MB, True, 90 * MB),
        (0, 3 * MB, False, 0),
        (0, -3 * MB, False, 0),
    ],
)
def test_what_is_hidden_is_estimated(files: int, growth: int, imported: bool, size: int) -> None:
    hidden = ctypes.pointer(ctypes.c_int(1))
    assert estimate([hidden], files=files, growth=growth, imported=imported) == pytest.approx(size, abs=100)
    assert estimate(bytes(MB), files=files, growth=growth, imported=imported) == pytest.approx(MB, abs=100)


def test_a_walk_that_fails_fails_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "walk", lambda model: 1 / 0)
    assert estimate(object(), files=7, growth=0, imported=False) == 7


def test_the_budget_sees_what_a_library_holds(tmp_path: Path) -> None:
    """A model of 40 MB that Python cannot see, in a checkpoint of no bytes."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p

    class Session:
        def __init__(self) -> None:
            self.memory = ctypes.c_void_p(library.malloc(40 * MB))
            ctypes.memset(self.memory, 1, 40 * MB)

    machine.give_back_memory()  # or the library is given what other tests have freed, and the process does not grow
    models = models_of(100 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Session())
    with models.use(demo) as session:
        assert models.bytes > 30 * MB
        library.free(session.memory)
