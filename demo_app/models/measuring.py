"""How many bytes a loaded model takes: what can be seen of it, and an estimate of what cannot.

The walk over a model's objects runs no code of the model: it asks the garbage collector what each object refers to, so
that attributes, slots, closures, subclasses of containers and extension types are all followed in one way, and no
property, `__getattr__` or `__eq__` of a plugin can fail or hang. Objects of extension modules (an ONNX session, a
pointer to a library's memory) hide what they hold; so the walk says whether it saw all.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
import time
import types
import weakref
from array import array
from collections import deque
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

SECONDS = 1.0  # that a walk may take
OBJECTS = 500_000  # that it may visit
LEAST = 4096  # bytes of a string or container that counts by itself
MANY, EACH = 100_000, 64  # so many objects count, with that many bytes each
NOISE = 16 * 2**20  # bytes by which a process grows whatever it loads

CONTAINERS = (str, list, tuple, dict, set, frozenset, deque)  # bytes by their own `__sizeof__`
# No part of a model: code, and what belongs to the whole process
IGNORED = (type, types.ModuleType, types.CodeType, types.FrameType, types.TracebackType)
NUMBERS = (int, float, complex, type(None))
BUFFERS = (bytes, bytearray, memoryview, array, mmap, ctypes.Array)
KINDS: dict[int, str] = {  # by id of the type
    **{id(kind): "ignored" for kind in IGNORED},
    **{id(kind): "number" for kind in NUMBERS},
    **{id(kind): "buffer" for kind in BUFFERS},
    **{id(kind): kind.__name__ for kind in CONTAINERS},
    id(weakref.ref): "weakref",
    id(types.FunctionType): "function",
}
LIGHT = ("tokenizers", "sentencepiece", "numpy")  # packages whose extension types hold no weights
HIDING = ("_ctypes", "ctypes")  # of the standard library: pointers to the memory of others
HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, or by C as if it were


class Walk(NamedTuple):
    """What a walk over a model's objects found."""

    bytes: int
    whole: bool  # nothing was hidden, and the time sufficed


def size_of(model: Any) -> int:
    """Bytes of the tensors, arrays, buffers and large containers that a model holds; shared ones count once."""
    return walk(model).bytes


def estimate(model: Any, *, files: int, growth: int, imported: bool) -> int:
    """Bytes that a loaded model takes; never raises.

    What is visible counts. Where something is hidden, the model takes as much as its files or as the process has grown
    by, whichever is more; growth that comes with an import says little, and counts only where there are no files.

    Args:
        model: what the plugin's `load` returned.
        files: bytes of the checkpoint's files.
        growth: bytes of memory that the process gained during the load.
        imported: whether modules were imported during the load.
    """
    try:
        found = walk(model)
    except Exception:
        log.exception("a model of type %s cannot be measured", type(model).__name__)
        found = Walk(0, whole=False)
    if found.whole:
        return found.bytes
    trusted = growth > NOISE and (not imported or max(found.bytes, files) == 0)
    return max(found.bytes, files, growth if trusted else 0)


def process_memory() -> int:
    """Bytes of this process that are not mapped from files; 0 where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def walk(model: Any, *, seconds: float = SECONDS) -> Walk:
    """Follow what the model refers to, for at most that many seconds of this thread's CPU time."""
    deadline = time.thread_time() + seconds
    total, visited, whole = 0, 0, True
    kinds: dict[int, str] = {}  # by id of the type
    storages: set[tuple[str, int]] = set()
    seen = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)}
    todo = [model]
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        visited += 1
        if visited > OBJECTS or (visited % 64 == 0 and time.thread_time() > deadline):
            whole = False
            break
        kind = kinds.get(id(type(item))) or kinds.setdefault(id(type(item)), _kind(type(item)))
        if kind in ("ignored", "number"):
            continue
        try:
            if kind == "tensor":
                total += _tensor_bytes(item, storages)
            elif kind == "array":
                total += _array_bytes(item, todo, storages)
            elif kind == "buffer":
                total += _buffer_bytes(item, todo)
            elif kind == "weakref":
                todo.append(weakref.ref.__call__(item))
            elif kind == "hidden":
                whole = False
                total += _said_bytes(item)
            elif kind == "object":
                total += _stated_bytes(item)
            elif kind != "function":
                total += _own_bytes(item, kind)
        except Exception:  # an object in a state that its own methods refuse: freed, released, half made
            whole = False
        todo += _held_by(item) if kind == "function" else gc.get_referents(item)
    return Walk(total + (visited * EACH if visited > MANY else 0), whole)


def _stated_bytes(item: Any) -> int:
    """What an object's own attribute `nbytes` says, as that of weights which torch has packed out of sight."""
    found = next((fields["__dict__"] for base in _bases(type(item)) if "__dict__" in (fields := _fields(base))), None)
    if not isinstance(found, types.GetSetDescriptorType):  # it has no attributes, or a class that makes them up
        return 0
    stated = found.__get__(item).get("nbytes")
    return stated if type(stated) is int and stated > 0 else 0


def _kind(kind: type) -> str:
    """How objects of that type are measured. Compares by identity alone, since a metaclass may define `__eq__`."""
    bases = _bases(kind)
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    marks = {id(getattr(torch, "Tensor", None)): "tensor", id(getattr(numpy, "ndarray", None)): "array"} | KINDS
    for base in bases:
        if id(base) in marks:
            return marks[id(base)]
    return "hidden" if any(_hides(base) for base in bases) else "object"


def _bases(kind: type) -> tuple[type, ...]:
    """Not `kind.__mro__`, which a metaclass may replace."""
    return tuple(type.__dict__["__mro__"].__get__(kind))


def _fields(kind: type) -> Any:
    return type.__dict__["__dict__"].__get__(kind)


def _hides(kind: type) -> bool:
    """Whether it is a type of an extension module, whose objects may hold memory that Python does not see."""
    module = str(type.__dict__["__module__"].__get__(kind))
    root = module.partition(".")[0]
    if module == "torch" or root in LIGHT:
        return False
    name = type.__dict__["__name__"].__get__(kind)
    if root in HIDING or name in ("PyCapsule", "weakproxy", "weakcallableproxy", "ProxyType", "CallableProxyType"):
        return name not in ("CDLL", "CFuncPtr")
    if root in sys.stdlib_module_names or root == "builtins":
        return False
    made_by_c = isinstance(_fields(kind).get("__new__"), types.BuiltinFunctionType)
    return made_by_c or not type.__dict__["__flags__"].__get__(kind) & HEAP


def _tensor_bytes(item: Any, storages: set[tuple[str, int]]) -> int:
    """Of the tensor's storage, which views share."""
    try:
        storage = item.untyped_storage()
    except NotImplementedError:  # opaque, as weights that oneDNN has packed
        return int(item.numel() * item.element_size())
    return _once(("torch", storage.data_ptr()), storage.nbytes(), storages)


def _array_bytes(item: Any, todo: list[Any], storages: set[tuple[str, int]]) -> int:
    """Of a numpy array that owns its memory; a view's belongs to its base."""
    if item.base is not None:
        todo.append(item.base)
        seen_there = _kind(type(item.base)) in ("array", "buffer", "tensor")
        return 0 if seen_there else _once(("memory", item.__array_interface__["data"][0]), item.nbytes, storages)
    if item.dtype.hasobject:
        todo += item.ravel().tolist()
    return _once(("memory", item.__array_interface__["data"][0]), item.nbytes, storages)


def _buffer_bytes(item: Any, todo: list[Any]) -> int:
    with memoryview(item) as view:
        if type(item) is memoryview:
            todo.append(view.obj)
            return 0
        return int(view.nbytes)


def _own_bytes(item: Any, kind: str) -> int:
    """Of a string, number or container without its members, if it is large."""
    own = next(base for base in CONTAINERS if base.__name__ == kind).__sizeof__(item)
    return own if own >= LEAST else 0


def _said_bytes(item: Any) -> int:
    """What an array of another library says about itself."""
    size = item.nbytes if any("nbytes" in _fields(base) for base in _bases(type(item))) else 0
    return size if isinstance(size, int) and size >= 0 else 0


def _held_by(function: Any) -> list[Any]:
    """What a function keeps for itself; its globals belong to its module."""
    return [function.__closure__, function.__defaults__, function.__kwdefaults__, function.__dict__]


def _once(key: tuple[str, int], size: int, storages: set[tuple[str, int]]) -> int:
    if key in storages:
        return 0
    storages.add(key)
    return size
