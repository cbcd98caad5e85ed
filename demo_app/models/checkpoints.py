"""Checkpoints on this disk: which one is the default, where its files are, and how it is labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demo_app.api import OWN, Checkpoint, Demo
from demo_app.errors import InputError
from demo_app.hub import fetch as hub_fetch
from demo_app.hub import files as hub_files
from demo_app.i18n import say
from demo_app.models.state import LoadError, NotFetched

FOLDER = "+folder"  # the value of a picker's last choice, which asks for a folder; no checkpoint can have this name


def default_checkpoint(demo: Demo[Any]) -> Checkpoint | None:
    """The checkpoint to use when none was chosen: one from the Hub if it is on this disk, else an embedded one."""
    on_disk = (c for c in demo.checkpoints if c.on_hub and hub_files.locate(c) is not None)
    embedded = (c for c in demo.checkpoints if not c.on_hub)
    return next(on_disk, None) or next(embedded, None) or demo.checkpoint()


def where(checkpoint: Checkpoint) -> str:
    """embedded, on disk, to be fetched; or missing, if the package of an embedded checkpoint lacks a file."""
    here = hub_files.locate(checkpoint) is not None
    if checkpoint.on_hub:
        return "on disk" if here else "to be fetched"
    return "embedded" if here else "missing"


def folder_of(demo: Demo[Any], checkpoint: Checkpoint | None) -> Path | None:
    """The folder with the checkpoint's files, each verified once; `None` for a demo that has no checkpoints.

    Never uses the network. Raises `NotFetched` if the files are only on the Hub, `LoadError` if a visitor's own folder
    lacks files by now, and `HubError` if an embedded one does.
    """
    if checkpoint is None:
        return None
    here = hub_files.locate(checkpoint) is not None
    if checkpoint.on_hub and not here:
        raise NotFetched(
            "{name} is not on this disk yet{size}: press Fetch below the picker, or run {command}.",
            name=full_title(demo, checkpoint),
            size=f" ({size_text(checkpoint.size)})" if checkpoint.size else "",
            command=f"demo-app download {demo.name}/{checkpoint.name}",
        )
    if OWN.fullmatch(checkpoint.name) and not here:
        raise LoadError(
            "{name} lacks files by now, for its folder was changed or removed; choose another checkpoint.",
            name=full_title(demo, checkpoint),
        )
    return hub_fetch.fetch(checkpoint)


def files_in(demo: Demo[Any], folder: Path) -> tuple[str, ...]:
    """Those files of a folder that make it a checkpoint of that demo: all that one of the demo's own checkpoints has.

    Raises `InputError` that names the missing ones.
    """
    kinds = [checkpoint.files for checkpoint in sorted(demo.checkpoints, key=lambda checkpoint: checkpoint.on_hub)]
    if not kinds:
        text = "{demo} has no checkpoints, so a folder cannot be one; choose another demo."
        raise InputError(text, demo=demo.title)
    for files in sorted(kinds, key=len, reverse=True):
        if all((folder / file).is_file() for file in files):
            return files
    raise InputError(
        "The folder {name} lacks {files}; choose one that a training wrote.",
        name=folder.name,
        files=", ".join(hub_files.missing_files(folder, kinds[0])),
    )


def full_title(demo: Demo[Any], checkpoint: Checkpoint | None) -> str:
    """What messages call a checkpoint: "Demo: Checkpoint", or the demo alone if it has no checkpoints."""
    return demo.title if checkpoint is None else f"{demo.title}: {checkpoint.title}"


def label_of(checkpoint: Checkpoint, place: str) -> str:
    """What a picker shows: the title, the size, the licence and the place, which is `where` or "your own"."""
    size = checkpoint.size
    if size is None and checkpoint.folder is not None and checkpoint.folder.is_dir():
        size = hub_files.size_on_disk(checkpoint.folder, checkpoint.files)
    facts = [*(["{size}"] if size else []), *(["{license}"] if checkpoint.license else []), place]
    values = {"title": checkpoint.title, "size": size_text(size or 0), "license": checkpoint.license}
    return say(f"{{title}} ({', '.join(facts)})", **values)


def size_text(count: int) -> str:
    """Bytes for people.

    >>> size_text(1_500_000)
    '1.5 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"
