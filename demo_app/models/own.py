"""Checkpoints that visitors added for themselves: a folder that they trained, or named."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_app.api import Checkpoint, Demo
from demo_app.models.checkpoints import files_in

Key = tuple[str, str]  # names of the demo and of the checkpoint


@dataclass(frozen=True, kw_only=True)
class Own:
    """A checkpoint that belongs to a visitor."""

    demo: Demo[Any]
    checkpoint: Checkpoint
    visitor: str  # what `demo_app.page.visitors.visitor` returns


class OwnCheckpoints:
    """Visitors' own checkpoints, by demo and name. Knows nothing of loaded models.

    A name ends in 64 random bits: who knows it may use the checkpoint, so nobody can guess it. Not thread-safe: the
    caller holds a lock.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, Own] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def add(self, own: Own) -> None:
        self._entries[own.demo.name, own.checkpoint.name] = own

    def find(self, key: Key) -> Own | None:
        return self._entries.get(key)

    def remove(self, key: Key) -> bool:
        """Forget a checkpoint; returns whether it was known."""
        return self._entries.pop(key, None) is not None

    def keys_of(self, visitor: str) -> list[Key]:
        """The keys of a visitor's own checkpoints, of all demos."""
        return [key for key, own in self._entries.items() if own.visitor == visitor]

    def of(self, demo: Demo[Any], visitor: str | None = None) -> list[Checkpoint]:
        """Those of one demo, in the order in which they were added; without a visitor, everybody's."""
        entries = [own for own in self._entries.values() if own.demo.name == demo.name]
        return [own.checkpoint for own in entries if visitor is None or own.visitor == visitor]

    def demos(self) -> list[Demo[Any]]:
        """The demos for which there are any."""
        return list({own.demo.name: own.demo for own in self._entries.values()}.values())


def own_checkpoint(demo: Demo[Any], folder: Path, title: str) -> Checkpoint:
    """A checkpoint, under a new secret name, of those files in the folder that the demo reads.

    Raises `InputError` if files are missing.
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", title)[:24].strip("_.-") or "model"
    return Checkpoint(
        name=f"own-{stem}-{secrets.token_hex(8)}",
        title=title.strip() or folder.name,
        folder=folder.resolve(),
        files=files_in(demo, folder),
    )
