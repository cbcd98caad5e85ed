"""All models of this process: by demo and name of the checkpoint, the demos' own and the visitors'."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from demo_app import machine, zerogpu
from demo_app.api import OWN, Checkpoint, Demo
from demo_app.errors import InputError
from demo_app.hub import files as hub_files
from demo_app.hub import progress as hub_progress
from demo_app.hub.shared import Fetches
from demo_app.models.checkpoints import FOLDER, default_checkpoint
from demo_app.models.own import Key, Own, OwnCheckpoints, own_checkpoint
from demo_app.models.slots import Slot, Slots
from demo_app.models.state import State
from demo_app.settings import Settings

M = TypeVar("M")


class Models:
    """The models of all demos, inside one memory budget: named, fetched, leased, unloaded."""

    def __init__(self, settings: Settings, *, patience: float = 60.0) -> None:
        self.settings = settings
        self.threads = settings.threads or machine.cpus()
        self.fetches = Fetches()
        self._slots = Slots(settings.budget, patience, settings.device)
        self._own = OwnCheckpoints()  # guarded by `_changed`

    def add(self, demo: Demo[Any]) -> None:
        """List the demo's checkpoints among the `states`."""
        for checkpoint in demo.checkpoints or (None,):
            self._slots.slot(demo, checkpoint)

    def checkpoint(self, demo: Demo[Any], name: str | None = None) -> Checkpoint | None:
        """The demo's checkpoint of that name, or a visitor's own; without a name the demo's first.

        Raises `InputError` if there is none. The name of a visitor's own checkpoint is a secret that lets anybody who
        knows it use the checkpoint.
        """
        if name == FOLDER:
            raise InputError("No folder is chosen yet; write its path below the picker and press Use it.")
        theirs = [checkpoint.name for checkpoint in demo.checkpoints]
        if not isinstance(name, str) or name in theirs or not OWN.fullmatch(name):
            return demo.checkpoint(name)
        with self._changed:
            own = self._own.find((demo.name, name))
        if zerogpu.on_gpu():  # a copy of the process may be older than the checkpoint
            raise InputError(
                "On the GPU of this Space a checkpoint of your own cannot answer; choose another one for this."
            )
        if own is None:
            raise InputError(
                "{demo} has no checkpoint of your own of that name, or not any more; choose another, or add it again.",
                demo=demo.title,
            )
        return own.checkpoint

    # Loaded models

    @contextmanager
    def use(self, demo: Demo[M], name: str | None = None) -> Iterator[M]:
        """Lease the model: it is loaded if need be, and stays loaded until the `with` ends.

        Concurrent first uses load it once; the others wait. Never waits for the network: raises `NotFetched` if the
        files are not on this disk. Raises `DemoError` also for an unknown checkpoint, a damaged file, a model that does
        not fit, or a `load` that failed. A failure is not remembered: the next use tries again.
        """
        with self._changed:  # or it could be removed in between, and its slot stay for ever
            checkpoint = self.checkpoint(demo, name) if name is not None else default_checkpoint(demo)
            slot = self._slots.slot(demo, checkpoint)
        with self._slots.lease(slot) as model:
            machine.use_threads(slot.state.bytes, self.threads)  # each time: handlers run in threads that come and go
            try:
                yield model
            finally:
                del model  # or this frame would keep it alive until after its memory was given back

    def unload(self, demo: Demo[Any], name: str | None = None) -> bool:
        """Drop a loaded model that nobody uses; returns whether that was done."""
        return self._slots.unload(self._slots.slot(demo, self.checkpoint(demo, name)))

    def borrow(self, need: int) -> AbstractContextManager[None]:
        """Count `need` bytes of other work as memory in use until the `with` ends; idle models make room for it."""
        return self._slots.borrow(need)

    @property
    def bytes(self) -> int:
        """Bytes that loaded models take."""
        return self._slots.bytes

    @property
    def budget(self) -> int:
        """Bytes that loaded models may take."""
        return self._slots.budget

    @property
    def loaded(self) -> int:
        """How many models are in memory."""
        return self._slots.loaded

    @property
    def loads(self) -> int:
        """How many models were loaded so far."""
        return self._slots.loads

    @property
    def evictions(self) -> int:
        """How many models were unloaded to make room for others so far."""
        return self._slots.evictions

    # Downloads

    def fetch(self, demo: Demo[Any], name: str, visitor: str) -> Iterator[hub_progress.Progress]:
        """Fetch a checkpoint's files from the Hub, in one download for all who want them; yields its progress.

        Raises what `demo_app.hub.fetch.fetch` raises, to all of them; the next call tries again. The download goes on
        if the caller stops iterating.
        """
        checkpoint = self.checkpoint(demo, name)
        if checkpoint is not None and checkpoint.on_hub and hub_files.locate(checkpoint) is None:
            yield from self.fetches.follow(checkpoint, visitor)

    def cancel(self, demo: Demo[Any], name: str, visitor: str) -> bool:
        """End this visitor's wait for the files, and the download unless others wait. Returns whether they waited."""
        checkpoint = self.checkpoint(demo, name)
        return checkpoint is not None and self.fetches.cancel(checkpoint, visitor)

    # Visitors' own checkpoints

    def add_own(self, demo: Demo[Any], folder: Path, *, title: str, visitor: str) -> Checkpoint:
        """Make a folder's files a checkpoint of that visitor's own, until `remove_own` or until the visitor leaves.

        Nothing is loaded. `visitor` is what `demo_app.page.visitors.visitor` returns. Raises `InputError` if files are
        missing.
        """
        checkpoint = own_checkpoint(demo, folder, title)
        with self._changed:
            self._own.add(Own(demo=demo, checkpoint=checkpoint, visitor=visitor))
        return checkpoint

    def remove_own(self, demo: Demo[Any], name: str) -> bool:
        """Forget a visitor's own checkpoint; returns whether there was one.

        Its model is dropped at once, or when its last use ends.
        """
        return self._release([(demo.name, name)]) > 0

    def leave(self, visitor: str) -> None:
        """Forget all checkpoints of a visitor who is gone."""
        with self._changed:
            keys = self._own.keys_of(visitor)
        self._release(keys)

    def own(self, demo: Demo[Any], visitor: str) -> list[Checkpoint]:
        """The visitor's own checkpoints of that demo, in the order in which they were added."""
        with self._changed:
            return self._own.of(demo, visitor)

    def visitor_of(self, demo: Demo[Any], name: str) -> str | None:
        """Whose own that checkpoint is; `None` if it is nobody's."""
        with self._changed:
            own = self._own.find((demo.name, name))
        return own.visitor if own is not None else None

    def _release(self, keys: list[Key]) -> int:
        """Forget these checkpoints and release their slots; returns how many were known."""
        with self._changed:
            removed = [key for key in keys if self._own.remove(key)]
            slots = [slot for key in removed if (slot := self._slots.find(*key)) is not None]
            for slot in slots:
                slot.released = True  # under the same lock, so that no lease begins in between
        self._slots.release(slots)
        return len(removed)

    # States

    def states(self) -> list[tuple[Demo[Any], Checkpoint | None, State]]:
        """Of all checkpoints of the demos; without visitors' own, whose names are secret."""
        with self._changed:
            slots = [slot for slot in self._slots.all() if not self._is_own(slot)]
        return [(slot.demo, slot.checkpoint, self._state(slot)) for slot in slots]

    def own_states(self) -> list[tuple[Demo[Any], list[State]]]:
        """Of visitors' own checkpoints, by demo."""
        with self._changed:
            return [
                (demo, [self._own_state(demo, checkpoint) for checkpoint in self._own.of(demo)])
                for demo in self._own.demos()
            ]

    def state(self, demo: Demo[Any], name: str | None = None) -> State:
        """Of one checkpoint; without a name, of the demo's first. Raises `InputError` if there is none."""
        with self._changed:
            slot = self._slots.slot(demo, self.checkpoint(demo, name))
        return self._state(slot)

    def _state(self, slot: Slot) -> State:
        """The slot's state, or that of the download of its files."""
        if slot.checkpoint is None or not slot.checkpoint.on_hub or slot.state.status != "absent":
            return slot.state
        progress = self.fetches.progress(slot.checkpoint)
        if progress is not None:
            return State(status="fetching", fraction=progress.fraction)
        error = self.fetches.failure(slot.checkpoint)
        if error is not None and hub_files.locate(slot.checkpoint) is None:
            return State(status="failed", error=error)
        return slot.state

    def _own_state(self, demo: Demo[Any], checkpoint: Checkpoint) -> State:
        slot = self._slots.find(demo.name, checkpoint.name)
        return slot.state if slot is not None else State()

    def _is_own(self, slot: Slot) -> bool:
        own = slot.checkpoint is not None and (slot.demo.name, slot.checkpoint.name) in self._own
        return own or slot.released

    @property
    def _changed(self) -> threading.Condition:
        return self._slots.changed  # another one in a forked copy
