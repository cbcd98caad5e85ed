"""The arithmetic of measuring: which bytes count, from which size on, and what is told of the rest."""

from __future__ import annotations

import ctypes
import types
import weakref
from array import array
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demo_app.models import measuring
from demo_app.models.measuring import Walk, process_memory, walk

LEAST, MANY, EACH, NOISE = 4096, 100_000, 64, 16 * 2**20


class Holder:
    """A model with attributes."""

    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


class Slots:
    """A model without a `__dict__`."""

    __slots__ = ("held",)


def text_of(size: int) -> str:
    """A string that takes that many bytes."""
    return "x" * (size - "".__sizeof__())


@pytest.mark.parametrize(("size", "counted"), [(LEAST - 1, 0), (LEAST, LEAST), (LEAST + 1, LEAST + 1)])
def test_a_string_counts_from_one_page_on(size: int, counted: int) -> None:
    assert text_of(size).__sizeof__() == size
    assert walk(text_of(size)) == Walk(counted, whole=True)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, deque, lambda numbers: dict.fromkeys(numbers)])
def test_a_large_container_counts_with_its_own_table(kind: Any) -> None:
    large = kind(range(5000))
    assert walk(large) == Walk(large.__sizeof__(), whole=True)
    assert walk(kind(range(3))) == Walk(0, whole=True)


def test_very_many_small_objects_count_each() -> None:
    for count, each in ((MANY - 1, 0), (MANY, EACH)):  # and the list itself is visited
        many = [[] for _ in range(count)]  # type: ignore[var-annotated]
        assert walk(many).bytes == many.__sizeof__() + each * (count + 1)


def test_a_walk_stops_after_so_many_objects_or_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [[] for _ in range(999)]  # type: ignore[var-annotated]
    monkeypatch.setattr(measuring, "OBJECTS", 1000)
    assert walk(many).whole
    assert not walk([*many, []]).whole
    assert not walk(many, seconds=-1).whole
    assert walk(many[:10], seconds=-1).whole, "the clock is read every 64 objects"


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (b"x" * 100, 100),
        (bytearray(100), 100),
        (array("d", [0.0] * 100), 800),
        ((ctypes.c_int32 * 100)(), 400),
        (memoryview(bytearray(100))[10:20], 100),
        (torch.zeros(10, 10), 400),
        (torch.zeros(10, 10)[2:4], 400),
        (torch.zeros(10, dtype=torch.int8), 10),
        ([torch.zeros(100)] * 3, 400),
        (np.zeros(100), 800),
        (np.zeros(100)[3:5], 800),
        (np.frombuffer(b"x" * 64, dtype=np.int32), 64),
        (np.array([b"x" * 100, "y"], dtype=object), 116),
        (torch.nn.Linear(10, 5), 4 * 55),
        (Holder(a=b"x" * 7, b={"c": [b"y" * 8]}), 15),
        (weakref.ref(Holder), 0),
        (types.SimpleNamespace(a=bytearray(9)), 9),
        (Holder(nbytes=50), 50),
        (Holder(nbytes=-50), 0),
        (Holder(nbytes=True), 0),
        (Holder(nbytes=2.5), 0),
        (Holder(nbytes="50"), 0),
        (7, 0),
        (None, 0),
        (Holder, 0),
        (np, 0),
    ],
)
def test_what_is_seen_counts_exactly(model: Any, size: int) -> None:
    assert walk(model) == Walk(size, whole=True)


def test_slots_closures_defaults_and_weak_references_are_followed() -> None:
    slots, kept = Slots(), b"x" * 100
    slots.held = kept
    held = Holder(it=b"y" * 30)

    def closure() -> Any:
        return kept

    def default(it: Any = kept, *, other: Any = b"z" * 5) -> Any:
        return it, other

    closure.extra = b"e" * 3  # type: ignore[attr-defined]
    assert walk(slots).bytes == 100
    assert walk(closure).bytes == 103
    assert walk(default).bytes == 105
    assert walk(weakref.ref(held)).bytes == 30


def test_a_global_of_a_function_belongs_to_its_module() -> None:
    made: dict[str, Any] = {"big": b"x" * 10_000}
    exec("def small(): return big", made)
    assert walk(made["small"]).bytes == 0


def test_what_is_freed_in_the_middle_is_not_whole() -> None:
    released = memoryview(b"x" * 10)
    released.release()
    assert not walk(released).whole
    assert walk([released, b"x" * 10]).bytes == 10


@pytest.mark.parametrize(
    ("status", "size"),
    [
        ("VmRSS:\t 9 kB\nRssAnon:\t    123 kB\n", 123 * 1024),
        ("VmRSS:\t 9 kB\n", 0),
        ("RssAnon:\n", 0),
        ("RssAnon:\tmuch kB\n", 0),
    ],
)
def test_the_memory_of_the_process_is_what_the_system_says(
    status: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, *_: status if str(self) == "/proc/self/status" else "")
    assert process_memory() == size


def test_where_the_system_says_nothing_the_memory_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert process_memory() == 0


@pytest.mark.parametrize(
    ("found", "files", "growth", "imported", "size"),
    [
        (Walk(7, whole=True), 100, 10**9, False, 7),
        (Walk(7, whole=False), 100, 0, False, 100),
        (Walk(700, whole=False), 100, 0, False, 700),
        (Walk(7, whole=False), 100, NOISE, False, 100),
        (Walk(7, whole=False), 100, NOISE + 1, False, NOISE + 1),
        (Walk(7, whole=False), 10**9, NOISE + 1, False, 10**9),
        (Walk(0, whole=False), 0, NOISE + 1, True, NOISE + 1),
        (Walk(1, whole=False), 0, NOISE + 1, True, 1),
        (Walk(0, whole=False), 1, NOISE + 1, True, 1),
    ],
)
def test_what_is_hidden_is_estimated_from_files_and_growth(
    found: Walk, files: int, growth: int, imported: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "walk", lambda model: found)
    assert measuring.estimate(None, files=files, growth=growth, imported=imported) == size
