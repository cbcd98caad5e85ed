"""Checkpoints on this disk: which one is the default, where it is, and what it is called."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo_app.api import Checkpoint, Demo
from demo_app.errors import InputError
from demo_app.hub import files as hub_files

FOLDER = "+folder"  # what a picker's last choice stands for; no checkpoint can be named so


def default_checkpoint(demo: Demo[Any]) -> Checkpoint | None:
    """The one used when nobody chose: from the Hub if its files are on this disk already, else an embedded one."""
    on_disk = (c for c in demo.checkpoints if c.on_hub and hub_files.locate(c) is not None)
    embedded = (c for c in demo.checkpoints if not c.on_hub)
    return next(on_disk, None) or next(embedded, None) or demo.checkpoint()


def where(checkpoint: Checkpoint) -> str:
    """embedded, on disk, to be fetched; or missing, where an embedded file is not in its package."""
    here = hub_files.locate(checkpoint) is not None
    if checkpoint.on_hub:
        return "on disk" if here else "to be fetched"
    return "embedded" if here else "missing"


def files_in(demo: Demo[Any], folder: Path) -> tuple[str, ...]:
    """Those files of a folder that make it a checkpoint of that demo: all that one of the demo's own has.

    Raises `InputError` saying what is missing.
    """
    kinds = [checkpoint.files for checkpoint in sorted(demo.checkpoints, key=lambda checkpoint: checkpoint.on_hub)]
    if not kinds:
        raise InputError(f"{demo.title} has no checkpoints, so a folder cannot be one; choose another demo.")
    for files in sorted(kinds, key=len, reverse=True):
        if all((folder / file).is_file() for file in files):
            return files
    missing = ", ".join(file for file in kinds[0] if not (folder / file).is_file())
    raise InputError(f"The folder {folder.name} lacks {missing}; choose one that a training wrote.")


def label_of(checkpoint: Checkpoint, place: str) -> str:
    size = checkpoint.size
    if size is None and checkpoint.folder is not None and checkpoint.folder.is_dir():
        size = hub_files.size_on_disk(checkpoint.folder, checkpoint.files)
    notes: Iterable[str | None] = (size_text(size) if size else None, checkpoint.license, place)
    return f"{checkpoint.title} ({', '.join(note for note in notes if note)})"


def size_text(count: int) -> str:
    """Bytes for people.

    >>> size_text(1_500_000)
    '1.5 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"
