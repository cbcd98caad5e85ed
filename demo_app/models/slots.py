"""Loaded models in memory: load on first use, one load at a time, leases, least recently used out under a budget."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_app import machine, zerogpu
from demo_app.api import Checkpoint, Demo
from demo_app.errors import DemoError, InputError
from demo_app.hub import files as hub_files
from demo_app.models import measuring
from demo_app.models.checkpoints import folder_of, full_title, size_text
from demo_app.models.state import LoadError, NotFetched, State
from demo_app.registry.process import put_back

log = logging.getLogger(__name__)

UNNAMED = ("os.environ TORCHINDUCTOR", "warnings.filterwarnings")  # what torch does when parts of it are imported
LOADS = 5  # times its patience that a load waits for another one


@dataclass(eq=False)
class Slot:
    """One checkpoint of one demo: its model while loaded, and who uses it. Guarded by `Slots.changed`."""

    demo: Demo[Any]
    checkpoint: Checkpoint | None
    gpu: bool = False  # on ZeroGPU, the slot of the GPU, whose memory is not this process's
    state: State = field(default_factory=State)
    model: Any = None
    leases: int = 0
    attempt: Future[None] | None = None  # the load that is under way
    used: float = 0.0  # time.monotonic(), to find the least recently used
    released: bool = False  # to be removed as soon as nobody uses or loads the model

    @property
    def title(self) -> str:
        return full_title(self.demo, self.checkpoint)

    @property
    def evictable(self) -> bool:
        return self.model is not None and self.leases == 0 and not self.gpu


class Slots:
    """The models of this process, inside one memory budget.

    `changed` is the lock of all slots, and notified whenever memory or a slot becomes free. Memory is given back after
    the lock was released; see `_unloading`.
    """

    def __init__(self, budget: int, patience: float, device: str | None) -> None:
        self.budget = budget  # bytes
        self.patience = patience  # seconds to wait for memory that running requests hold
        self.loads = 0
        self.evictions = 0
        self.changed = threading.Condition()
        self._device = device
        self._loading = threading.Lock()
        self._loads_now = ""  # title of what is being loaded
        self._borrowed = 0  # bytes, see `borrow`
        self._slots: dict[tuple[str, str | None, bool], Slot] = {}  # by demo, checkpoint, on the GPU
        zerogpu.after_fork(self._renew)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def bytes(self) -> int:
        """Bytes that loaded models take."""
        with self.changed:
            return self._in_use() - self._borrowed

    @property
    def loaded(self) -> int:
        """How many models are in memory."""
        with self.changed:
            return sum(slot.model is not None for slot in self._slots.values() if not slot.gpu)

    def all(self) -> list[Slot]:
        """All slots of this process's own memory."""
        with self.changed:
            return [slot for slot in self._slots.values() if not slot.gpu]

    def find(self, demo: str, checkpoint: str) -> Slot | None:
        """The slot of that demo and checkpoint, by name; `None` while there is none."""
        with self.changed:
            return self._slots.get((demo, checkpoint, False))

    def slot(self, demo: Demo[Any], checkpoint: Checkpoint | None) -> Slot:
        """The slot of that checkpoint, made at the first call."""
        with self.changed:
            gpu = zerogpu.on_gpu()
            key = (demo.name, checkpoint.name if checkpoint else None, gpu)
            return self._slots.setdefault(key, Slot(demo, checkpoint, gpu))

    @contextmanager
    def lease(self, slot: Slot) -> Iterator[Any]:
        """Lend the slot's model: it is loaded if need be, and stays loaded until the `with` ends.

        Concurrent first leases load it once; the others wait. Raises `DemoError`, to all who waited.
        """
        self._begin_lease(slot)
        try:
            yield slot.model  # not in a variable: this frame would keep it alive until after its memory was given back
        finally:
            self._end_lease(slot)

    def unload(self, slot: Slot) -> bool:
        """Drop a loaded model that nobody uses; returns whether that was done."""
        with self._unloading() as unloaded:
            if slot.model is None or slot.leases > 0:
                return False
            self._drop(slot, unloaded)
            return True

    def release(self, slots: list[Slot]) -> None:
        """Remove slots whose checkpoints are gone: now, or when the last use of their models ends."""
        with self._unloading() as unloaded:
            for slot in slots:
                slot.released = True
                self._remove(slot, unloaded)
            self.changed.notify_all()

    @contextmanager
    def borrow(self, need: int) -> Iterator[None]:
        """Count `need` bytes that are no model's, such as those of a picture that is decoded, until the `with` ends.

        Idle models are unloaded to make room. Neither waits nor refuses: who borrows may hold a lease.
        """
        with self._unloading() as unloaded:
            self._borrowed += need
            while self._in_use() > self.budget and self._evict(unloaded):
                pass
        try:
            yield
        finally:
            with self.changed:
                self._borrowed -= need
                self.changed.notify_all()

    # Leases

    def _begin_lease(self, slot: Slot) -> None:
        while True:
            with self._unloading() as unloaded:
                if slot.released:
                    self._remove(slot, unloaded)
                    raise InputError("{name} was given up meanwhile; choose another checkpoint.", name=slot.title)
                if slot.model is not None:
                    slot.leases += 1
                    self._touch(slot)
                    return
                first = slot.attempt is None
                attempt = slot.attempt = slot.attempt or Future()
            if first:
                self._load(slot, attempt)
            attempt.result()  # waits; raises what the load raised

    def _end_lease(self, slot: Slot) -> None:
        with self._unloading() as unloaded:
            slot.leases -= 1
            self._touch(slot)
            if slot.released:
                self._remove(slot, unloaded)
            self.changed.notify_all()

    def _touch(self, slot: Slot) -> None:
        slot.used = time.monotonic()
        if slot.model is not None:
            state = slot.state
            slot.state = State(status="ready", bytes=state.bytes, seconds=state.seconds, last_used=time.time())

    # Loading

    def _load(self, slot: Slot, attempt: Future[None]) -> None:
        """Load the model, and end the attempt with success or with the `DemoError` that everybody who waits gets.

        A `KeyboardInterrupt` is raised here; those who wait are told, and the next use tries again.
        """
        error: DemoError | None = None
        interrupt: KeyboardInterrupt | None = None
        try:
            folder = folder_of(slot.demo, slot.checkpoint)
            with self._one_load(slot):
                self._load_from(slot, folder)
        except DemoError as caught:
            error = caught
        except MemoryError as caught:
            text = "{name} does not fit into memory; unload another model, then try again."
            error = LoadError(text, name=slot.title)
            error.__cause__ = caught
        except BaseException as caught:  # also SystemExit, or the panic of a library
            interrupt = caught if isinstance(caught, KeyboardInterrupt) else None
            log.error("%s: load failed", slot.title, exc_info=interrupt is None)
            text = "{name} could not be loaded ({reason}); the log says more."
            error = LoadError(text, name=slot.title, reason=type(caught).__name__)
            error.__cause__ = caught
        with self._unloading() as unloaded:
            slot.attempt = None
            if error is not None:
                absent = isinstance(error, NotFetched)
                slot.state = State() if absent else State(status="failed", error=error.sentence())
                if slot.released:
                    self._remove(slot, unloaded)
            self.changed.notify_all()
        if error is None:
            attempt.set_result(None)
        else:
            attempt.set_exception(error)
        if interrupt is not None:
            raise interrupt

    @contextmanager
    def _one_load(self, slot: Slot) -> Iterator[None]:
        """One load at a time, or two would fill the memory together. Raises `LoadError` if another one takes for ever.

        Nobody can end a load that hangs; so the others are told after `patience`, a few times over.
        """
        if not self._loading.acquire(timeout=LOADS * self.patience):
            raise LoadError(
                "{name} waits for {other}, which has been loading for {minutes} minutes; try again later, or restart "
                "the server.",
                name=slot.title,
                other=self._loads_now,
                minutes=f"{LOADS * self.patience / 60:.0f}",
            )
        self._loads_now = slot.title
        try:
            yield
        finally:
            self._loading.release()

    def _load_from(self, slot: Slot, folder: Path | None) -> None:
        """Load into the slot. The budget holds before, with the size of the files as the least it takes, and after."""
        slot.state = State(status="loading")
        files = slot.checkpoint.files if slot.checkpoint is not None else ()
        on_disk = hub_files.size_on_disk(folder, files) if folder is not None else 0
        self._make_room(slot, on_disk)
        memory, modules, started = measuring.process_memory(), len(sys.modules), time.perf_counter()
        model = self._called(slot, folder)
        if model is None:
            raise LoadError(
                "{name} could not be loaded: its load returned nothing; it must return a model.", name=slot.title
            )
        seconds = time.perf_counter() - started
        growth, imported = measuring.process_memory() - memory, len(sys.modules) > modules
        size = measuring.estimate(model, files=on_disk, growth=growth, imported=imported)
        self._make_room(slot, size)
        with self.changed:
            slot.model = model
            self.loads += 1
            slot.state = State(status="ready", bytes=size, seconds=seconds)
            self._touch(slot)
        log.info("%s: %.1f MB loaded in %.2f s", slot.title, size / 1e6, slot.state.seconds)

    def _called(self, slot: Slot, folder: Path | None) -> Any:
        """What the demo's `load` returns. What it changes of the process is put back, and named in the log."""
        device = self._device or zerogpu.device() or machine.best_device()
        changed: list[str] = []
        try:
            with put_back() as changed:
                return slot.demo.load(folder, device)
        finally:
            named = [one for one in changed if not one.startswith(UNNAMED)]
            if named:
                log.warning("%s: loading it changed %s; put back", slot.title, ", ".join(named))

    # Memory

    def _make_room(self, slot: Slot, need: int) -> None:
        """Evict least recently used models until `need` bytes fit; wait for leases to end where nothing is idle."""
        if slot.gpu:
            return
        if need > self.budget:
            raise LoadError(
                "{name} needs {need} of memory and the budget is {budget}; choose a smaller checkpoint, or raise "
                "DEMO_APP_MEMORY_BUDGET.",
                name=slot.title,
                need=size_text(need),
                budget=size_text(self.budget),
            )
        deadline = time.monotonic() + self.patience
        while True:
            with self._unloading() as unloaded:
                if self._in_use() + need <= self.budget:
                    return
                if not self._evict(unloaded) and not self.changed.wait(deadline - time.monotonic()):
                    raise LoadError(
                        "{name} needs {need}, but running requests use {used} of {budget}; try again in a minute.",
                        name=slot.title,
                        need=size_text(need),
                        used=size_text(self._in_use()),
                        budget=size_text(self.budget),
                    )

    def _evict(self, unloaded: list[Any]) -> bool:
        """Unload the model that was idle for longest; returns whether there was one."""
        idle = [slot for slot in self._slots.values() if slot.evictable]
        if idle:
            self._drop(min(idle, key=lambda slot: slot.used), unloaded)
            self.evictions += 1
        return bool(idle)

    def _in_use(self) -> int:
        loaded = (slot for slot in self._slots.values() if slot.model is not None and not slot.gpu)
        return self._borrowed + sum(slot.state.bytes for slot in loaded)

    @contextmanager
    def _unloading(self) -> Iterator[list[Any]]:
        """Hold the lock; models that the block appends to the list are freed once the lock is released.

        Freeing a model takes a garbage collection and a walk through the allocator's memory, and every lease needs the
        lock. Not to be nested in a block that holds the lock already.
        """
        unloaded: list[Any] = []
        try:
            with self.changed:
                yield unloaded
        finally:
            if unloaded:
                unloaded.clear()
                machine.give_back_memory()

    def _drop(self, slot: Slot, unloaded: list[Any]) -> None:
        """Take the model out of its slot; `_unloading` frees it."""
        log.info("%s: unloaded", slot.title)
        unloaded.append(slot.model)
        slot.model, slot.state = None, State()

    def _remove(self, slot: Slot, unloaded: list[Any]) -> None:
        """Remove a released slot, unless its model is in use or being loaded."""
        if slot.leases == 0 and slot.attempt is None:
            self._slots.pop((slot.demo.name, slot.checkpoint.name if slot.checkpoint else None, slot.gpu), None)
            if slot.model is not None:
                self._drop(slot, unloaded)

    def _renew(self) -> None:
        """In a forked copy only the caller is left: no thread holds a lock or a lease, or loads."""
        self.changed = threading.Condition()
        self._loading = threading.Lock()
        self._borrowed = 0
        for slot in self._slots.values():
            slot.leases, slot.attempt = 0, None
