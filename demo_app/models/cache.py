"""Loaded models: load on first use, one load at a time, leases, least recently used out under a byte budget."""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from demo_app import machine, zerogpu
from demo_app.api import OWN, Checkpoint, Demo
from demo_app.errors import DemoError, InputError
from demo_app.hub import fetch as hub_fetch
from demo_app.hub import files as hub_files
from demo_app.hub import progress as hub_progress
from demo_app.hub.shared import Fetches
from demo_app.models.checkpoints import FOLDER, default_checkpoint, files_in, size_text
from demo_app.models.state import LoadError, NotFetched, State
from demo_app.settings import Settings

log = logging.getLogger(__name__)
M = TypeVar("M")


@dataclass(eq=False)
class _Slot:
    """One checkpoint of one demo: its model while loaded, and who uses it. Guarded by `Models._changed`."""

    demo: Demo[Any]
    checkpoint: Checkpoint | None
    gpu: bool = False  # on ZeroGPU: the one for the GPU, whose memory is not this process's
    state: State = field(default_factory=State)
    model: Any = None
    leases: int = 0
    attempt: Future[None] | None = None  # the load that is under way
    used: float = 0.0  # time.monotonic(), to find the least recently used
    disowned: bool = False  # goes as soon as nobody uses or loads it

    @property
    def label(self) -> str:
        return self.demo.title if self.checkpoint is None else f"{self.demo.title}: {self.checkpoint.title}"


@dataclass(frozen=True, kw_only=True)
class _Own:
    """A checkpoint that is not the demo's but a visitor's."""

    demo: Demo[Any]
    checkpoint: Checkpoint
    visitor: str


class Models:
    """All models of this process, inside one memory budget."""

    def __init__(self, settings: Settings, *, patience: float = 60.0) -> None:
        self.settings = settings
        self.budget = settings.budget  # bytes
        self.threads = settings.threads or machine.cpus()
        self.patience = patience  # seconds to wait for memory that running requests hold
        self.loads = 0
        self.evictions = 0
        self.fetches = Fetches()
        self._slots: dict[tuple[str, str | None, bool], _Slot] = {}
        self._own: dict[tuple[str, str], _Own] = {}  # by demo and name
        self._changed = threading.Condition()
        self._loading = threading.Lock()
        zerogpu.after_fork(self._renew)

    def add(self, demo: Demo[Any]) -> None:
        """List the demo's checkpoints among the `states`."""
        for checkpoint in demo.checkpoints or (None,):
            self._slot(demo, checkpoint)

    def checkpoint(self, demo: Demo[Any], name: str | None = None) -> Checkpoint | None:
        """The demo's checkpoint of that name, or a visitor's own; with no name the demo's first.

        Raises `InputError` where there is none. Whoever knows the name of one that is somebody's own may use it, which
        is why nobody can guess it.
        """
        if name == FOLDER:
            raise InputError("No folder is chosen yet; write its path below the picker and press Use it.")
        theirs = [checkpoint.name for checkpoint in demo.checkpoints]
        if not isinstance(name, str) or name in theirs or not OWN.fullmatch(name):
            return demo.checkpoint(name)
        with self._changed:
            own = self._own.get((demo.name, name))
        if zerogpu.on_gpu():  # a copy of the process may be older than the checkpoint
            raise InputError(
                "On the GPU of this Space a checkpoint of your own cannot answer; choose another one for this."
            )
        if own is None:
            raise InputError(
                f"{demo.title} has no checkpoint of your own of that name, or not any more; choose another, or add it "
                "again."
            )
        return own.checkpoint

    def add_own(self, demo: Demo[Any], folder: Path, *, title: str, visitor: str) -> Checkpoint:
        """Know a folder's files as a checkpoint of that visitor's own, until it is disowned or the visitor leaves.

        Nothing is loaded. `visitor` is what `visitors.visitor` returns. Raises `InputError` if files are missing.
        """
        files = files_in(demo, folder)
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", title)[:24].strip("_.-") or "model"
        name = f"own-{stem}-{secrets.token_hex(8)}"
        own = Checkpoint(name=name, title=title.strip() or folder.name, folder=folder.resolve(), files=files)
        with self._changed:
            self._own[demo.name, name] = _Own(demo=demo, checkpoint=own, visitor=visitor)
        return own

    def remove_own(self, demo: Demo[Any], name: str) -> bool:
        """Forget an adopted checkpoint; whether there was one. Its model goes at once, or when its last use ends."""
        with self._unloading() as unloaded:
            return self._remove_own((demo.name, name), unloaded)

    def leave(self, visitor: str) -> None:
        """That visitor is gone: forget what was their own."""
        with self._unloading() as unloaded:
            for key in [key for key, own in self._own.items() if own.visitor == visitor]:
                self._remove_own(key, unloaded)

    def own(self, demo: Demo[Any], visitor: str) -> list[Checkpoint]:
        """The checkpoints of that demo that are the visitor's own, in the order in which they came."""
        with self._changed:
            owned = [own for own in self._own.values() if own.demo.name == demo.name]
        return [own.checkpoint for own in owned if own.visitor == visitor]

    def visitor_of(self, demo: Demo[Any], name: str) -> str | None:
        """Whose own that checkpoint is; `None` where it is nobody's."""
        with self._changed:
            own = self._own.get((demo.name, name))
        return own.visitor if own is not None else None

    def _remove_own(self, key: tuple[str, str], unloaded: list[Any]) -> bool:
        if self._own.pop(key, None) is None:
            return False
        slot = self._slots.get((*key, False))
        if slot is not None:
            slot.disowned = True
            self._release(slot, unloaded)
        self._changed.notify_all()
        return True

    def _release(self, slot: _Slot, unloaded: list[Any]) -> None:
        """Leave nothing of a disowned checkpoint that nobody uses or loads."""
        assert slot.checkpoint is not None
        if slot.leases == 0 and slot.attempt is None:
            self._slots.pop((slot.demo.name, slot.checkpoint.name, slot.gpu), None)
            if slot.model is not None:
                self._drop(slot, unloaded)

    def states(self) -> list[tuple[Demo[Any], Checkpoint | None, State]]:
        """Of all checkpoints of the demos; without visitors' own, whose names are theirs."""
        with self._changed:
            slots = [slot for slot in self._slots.values() if not slot.gpu and not self._is_own(slot)]
        return [(slot.demo, slot.checkpoint, self._state(slot)) for slot in slots]

    def own_states(self) -> list[tuple[Demo[Any], list[State]]]:
        """Of visitors' own checkpoints, by demo."""
        found: dict[str, tuple[Demo[Any], list[State]]] = {}
        with self._changed:
            for key, own in self._own.items():
                slot = self._slots.get((*key, False))
                found.setdefault(own.demo.name, (own.demo, []))[1].append(slot.state if slot is not None else State())
        return list(found.values())

    def _is_own(self, slot: _Slot) -> bool:
        return slot.disowned or (slot.checkpoint is not None and (slot.demo.name, slot.checkpoint.name) in self._own)

    def state(self, demo: Demo[Any], name: str | None = None) -> State:
        with self._changed:
            slot = self._slot(demo, self.checkpoint(demo, name))
        return self._state(slot)

    def _state(self, slot: _Slot) -> State:
        """The slot's own, or that of the download of its files."""
        if slot.checkpoint is None or not slot.checkpoint.on_hub or slot.state.status != "absent":
            return slot.state
        progress = self.fetches.progress(slot.checkpoint)
        if progress is not None:
            return State(status="fetching", fraction=progress.fraction)
        reason = self.fetches.failure(slot.checkpoint)
        if reason and hub_files.locate(slot.checkpoint) is None:
            return State(status="failed", reason=reason)
        return slot.state

    @property
    def bytes(self) -> int:
        """Bytes that loaded models take."""
        with self._changed:
            return self._in_use()

    @property
    def loaded(self) -> int:
        """How many models are in memory."""
        with self._changed:
            return sum(slot.model is not None for slot in self._slots.values() if not slot.gpu)

    @contextmanager
    def use(self, demo: Demo[M], name: str | None = None) -> Iterator[M]:
        """Lease the model: it is loaded if need be, and stays loaded until the `with` ends.

        Concurrent first uses load it once; the others wait. Nobody waits for the network: raises `NotFetched` where
        the files are not on this disk, and `DemoError` also for no such checkpoint, a damaged file, a model that does
        not fit, a `load` that failed. A failure is not remembered: the next use tries again.
        """
        with self._changed:  # else it could be disowned between the two, and its slot stay for ever
            checkpoint = self.checkpoint(demo, name) if name is not None else default_checkpoint(demo)
            slot = self._slot(demo, checkpoint)
        model = self._lease(slot)
        machine.use_threads(slot.state.bytes, self.threads)  # each time: handlers run in threads that come and go
        try:
            yield model
        finally:
            del model  # else this frame keeps it alive until after its memory was given back
            with self._unloading() as unloaded:
                slot.leases -= 1
                self._touch(slot)
                if slot.disowned:
                    self._release(slot, unloaded)
                self._changed.notify_all()

    def fetch(self, demo: Demo[Any], name: str, visitor: str) -> Iterator[hub_progress.Progress]:
        """Pull a checkpoint's files from the Hub, together with all who want them: how far it is, until it is done.

        Raises what `hub.fetch` raises, to all of them; the next call tries again. Whoever stops iterating only leaves.
        """
        checkpoint = self.checkpoint(demo, name)
        if checkpoint is not None and checkpoint.on_hub and hub_files.locate(checkpoint) is None:
            yield from self.fetches.follow(checkpoint, visitor)

    def cancel(self, demo: Demo[Any], name: str, visitor: str) -> bool:
        """This visitor no longer waits for the files, and if nobody else does they are no longer pulled."""
        checkpoint = self.checkpoint(demo, name)
        return checkpoint is not None and self.fetches.cancel(checkpoint, visitor)

    def unload(self, demo: Demo[Any], name: str | None = None) -> bool:
        """Forget a loaded model that nobody uses; whether that was done."""
        with self._unloading() as unloaded:
            slot = self._slot(demo, self.checkpoint(demo, name))
            if slot.model is None or slot.leases > 0:
                return False
            self._drop(slot, unloaded)
            return True

    def _slot(self, demo: Demo[Any], checkpoint: Checkpoint | None) -> _Slot:
        with self._changed:
            gpu = zerogpu.on_gpu()
            key = (demo.name, checkpoint.name if checkpoint else None, gpu)
            return self._slots.setdefault(key, _Slot(demo, checkpoint, gpu))

    def _renew(self) -> None:
        """In a forked copy nobody but the caller is left: nobody holds a lock, a lease, or loads."""
        self._changed = threading.Condition()
        self._loading = threading.Lock()
        for slot in self._slots.values():
            slot.leases, slot.attempt = 0, None

    def _lease(self, slot: _Slot) -> Any:
        while True:
            with self._unloading() as unloaded:
                if slot.disowned:
                    self._release(slot, unloaded)
                    raise InputError(f"{slot.label} was given up meanwhile; choose another checkpoint.")
                if slot.model is not None:
                    slot.leases += 1
                    self._touch(slot)
                    return slot.model
                first = slot.attempt is None
                attempt = slot.attempt = slot.attempt or Future()
            if first:
                self._load(slot, attempt)
            attempt.result()  # waits; raises what the load raised

    def _load(self, slot: _Slot, attempt: Future[None]) -> None:
        error: BaseException | None = None
        try:
            folder = self._folder(slot)
            with self._loading:
                self._load_from(slot, folder)
        except DemoError as caught:
            error = caught
        except MemoryError as caught:
            error = LoadError(f"{slot.label} does not fit into memory; unload another model, then try again.")
            error.__cause__ = caught
        except BaseException as caught:
            log.exception("%s: load failed", slot.label)
            error = LoadError(f"{slot.label} could not be loaded ({type(caught).__name__}); the log says more.")
            error.__cause__ = caught
        with self._unloading() as unloaded:
            slot.attempt = None
            if error is not None:
                absent = isinstance(error, NotFetched)
                slot.state = State() if absent else State(status="failed", reason=str(error))
                if slot.disowned:
                    self._release(slot, unloaded)
            self._changed.notify_all()
        if error is None:
            attempt.set_result(None)
        else:
            attempt.set_exception(error)

    def _folder(self, slot: _Slot) -> Path | None:
        """Where the checkpoint's files are, each checked once against its hash."""
        checkpoint = slot.checkpoint
        if checkpoint is None:
            return None
        if checkpoint.on_hub and hub_files.locate(checkpoint) is None:
            size = f" ({size_text(checkpoint.size)})" if checkpoint.size else ""
            raise NotFetched(
                f"{slot.label} is not on this disk yet{size}: press Fetch below the picker, or run "
                f"demo-app download {slot.demo.name}/{checkpoint.name}."
            )
        if OWN.fullmatch(checkpoint.name) and hub_files.locate(checkpoint) is None:
            raise LoadError(
                f"{slot.label} lacks files by now, for its folder was changed or removed; choose another checkpoint."
            )
        return hub_fetch.fetch(checkpoint)

    def _load_from(self, slot: _Slot, folder: Path | None) -> None:
        """Load into `slot`, before and after which the budget holds. Files tell the least it can take."""
        slot.state = State(status="loading")
        files = slot.checkpoint.files if slot.checkpoint is not None else ()
        self._make_room(slot, hub_files.size_on_disk(folder, files) if folder is not None else 0)
        started = time.perf_counter()
        model = slot.demo.load(folder, self.device)
        if model is None:
            raise LoadError(f"{slot.label} could not be loaded: its load returned nothing; it must return a model.")
        size = machine.size_of(model)
        self._make_room(slot, size)
        with self._changed:
            slot.model = model
            self.loads += 1
            slot.state = State(status="ready", bytes=size, seconds=time.perf_counter() - started)
            self._touch(slot)
        log.info("%s: %.1f MB loaded in %.2f s", slot.label, size / 1e6, slot.state.seconds)

    @property
    def device(self) -> str:
        return self.settings.device or zerogpu.device() or machine.best_device()

    def _make_room(self, slot: _Slot, need: int) -> None:
        """Evict least recently used models until `need` bytes fit; wait for those that are leased."""
        if slot.gpu:
            return
        if need > self.budget:
            raise LoadError(
                f"{slot.label} needs {size_text(need)} of memory and the budget is {size_text(self.budget)}; "
                "choose a smaller checkpoint, or raise DEMO_APP_MEMORY_BUDGET."
            )
        deadline = time.monotonic() + self.patience
        while True:
            with self._unloading() as unloaded:
                if self._in_use() + need <= self.budget:
                    return
                idle = [other for other in self._slots.values() if _evictable(other)]
                if idle:
                    self._drop(min(idle, key=lambda other: other.used), unloaded)
                    self.evictions += 1
                elif not self._changed.wait(deadline - time.monotonic()):
                    raise LoadError(
                        f"{slot.label} needs {size_text(need)}, but running requests use {size_text(self._in_use())} "
                        f"of {size_text(self.budget)}; try again in a minute."
                    )

    def _in_use(self) -> int:
        return sum(slot.state.bytes for slot in self._slots.values() if slot.model is not None and not slot.gpu)

    @contextmanager
    def _unloading(self) -> Iterator[list[Any]]:
        """Hold the lock; models that the block appends to the list are freed once the lock is released.

        Freeing a model takes a garbage collection and a walk through the allocator's memory. Every lease needs the
        lock and would wait for that. Not to be nested in a block that holds the lock already.
        """
        unloaded: list[Any] = []
        try:
            with self._changed:
                yield unloaded
        finally:
            if unloaded:
                unloaded.clear()
                machine.give_back_memory()

    def _drop(self, slot: _Slot, unloaded: list[Any]) -> None:
        """Take the model out of its slot; `_unloading` frees it."""
        log.info("%s: unloaded", slot.label)
        unloaded.append(slot.model)
        slot.model, slot.state = None, State()

    def _touch(self, slot: _Slot) -> None:
        slot.used = time.monotonic()
        if slot.model is not None:
            state = slot.state
            slot.state = State(status="ready", bytes=state.bytes, seconds=state.seconds, last_used=time.time())


def _evictable(slot: _Slot) -> bool:
    return slot.model is not None and slot.leases == 0 and not slot.gpu
