"""The checkpoints that a demo states: valid, with license and size, complete, and in a format that runs no code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from demo_app.api import Checkpoint
from demo_app.checking.report import Findings
from demo_app.hub import files
from demo_app.unsafe_files import PUBLISHED_STATE_DICT, is_unsafe

VALIDATE = Checkpoint.__post_init__


@contextmanager
def without_validation() -> Iterator[None]:
    """Let plugins create invalid checkpoints, so that the first one does not hide everything after it.

    `check_checkpoint` validates each of them later.
    """
    Checkpoint.__post_init__ = lambda checkpoint: None  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Checkpoint.__post_init__ = VALIDATE  # type: ignore[method-assign]


def check_checkpoint(where: str, checkpoint: Checkpoint, plugin: Path | None, found: Findings) -> None:
    """Check one checkpoint.

    Args:
        where: names it in the problems, "demo/checkpoint".
        checkpoint: as the plugin made it, valid or not.
        plugin: the plugin's folder, if it is not installed.
        found: gets the problems.
    """
    try:
        VALIDATE(checkpoint)
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        found.add("checkpoints", f"{where}: {what}{'.' if fix else ''}", f"{fix[:1].upper()}{fix[1:]}")
    if not checkpoint.license:
        found.add("checkpoints", f"{where} states no license.", "Give license='apache-2.0' or so.")
    if checkpoint.on_hub and checkpoint.size is None:
        found.add("checkpoints", f"{where} states no size.", "Give the bytes to fetch.")
    if checkpoint.folder is not None:
        _check_folder(where, Path(checkpoint.folder), checkpoint.files, plugin, found)
    folder = files.locate(checkpoint)
    if folder is not None and checkpoint.size is not None:
        here = files.size_on_disk(folder, checkpoint.files)
        if here != checkpoint.size:
            found.add("checkpoints", f"{where} states size={checkpoint.size:_} and has {here:_} bytes.", "Correct it.")
    for file in checkpoint.files:
        published = checkpoint.on_hub and PurePosixPath(file).name == PUBLISHED_STATE_DICT
        if is_unsafe(file) and not published:
            found.add(
                "checkpoints",
                f"{where}: {file} is a pickle, or may hold one, and can run code when it is loaded.",
                "Publish safetensors.",
            )


def _check_folder(where: str, folder: Path, names: Sequence[str], plugin: Path | None, found: Findings) -> None:
    """Check the folder of an embedded checkpoint."""
    if not folder.is_absolute():
        what = f"{where}: its folder {folder} depends on where the host is started."
        found.add("checkpoints", what, "Write folder=Path(__file__).parent / ...")
    elif not folder.is_dir():
        near = next(parent for parent in folder.parents if parent.is_dir())
        has = sorted(path.name for path in near.iterdir() if path.is_dir() and path.name[0] not in "._")[:3]
        beside = f", and {near} has {', '.join(has)}" if has else ""
        found.add(
            "checkpoints",
            f"{where}: its folder {folder} is not there{beside}.",
            "Correct the path, and put the weights there: as Path(__file__).parent / ... they come with the package.",
        )
    elif missing := files.missing_files(folder, names):
        found.add(
            "checkpoints",
            f"{where} lacks {', '.join(missing)} in {folder}.",
            "Add them to the package, or list in files what `load` reads.",
        )
    elif plugin is not None and not folder.resolve().is_relative_to(plugin):
        what = f"{where}: its folder {folder} lies outside of the plugin, so nobody else gets it."
        found.add("checkpoints", what, "Put the weights into the package.")
