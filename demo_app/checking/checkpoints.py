"""The checkpoints that a demo states: valid, with license and size, complete, and in a format that runs no code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from demo_app.api import Checkpoint
from demo_app.checking.report import Findings
from demo_app.models import checkpoints
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


def check_checkpoint(where: str, checkpoint: Checkpoint, found: Findings) -> None:
    """Check one checkpoint; `where` names it in the problems: "demo/checkpoint"."""
    try:
        VALIDATE(checkpoint)
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        found.add("checkpoints", f"{where}: {what}{'.' if fix else ''}", f"{fix[:1].upper()}{fix[1:]}")
    if not checkpoint.license:
        found.add("checkpoints", f"{where} states no license.", "Give license='apache-2.0' or so.")
    if checkpoint.on_hub and checkpoint.size is None:
        found.add("checkpoints", f"{where} states no size.", "Give the bytes to fetch.")
    if checkpoint.folder is not None and checkpoints.where(checkpoint) == "missing":
        found.add("checkpoints", f"{where} lacks files of its own.", "Add them to the package.")
    for file in checkpoint.files:
        published = checkpoint.on_hub and PurePosixPath(file).name == PUBLISHED_STATE_DICT
        if is_unsafe(file) and not published:
            found.add(
                "checkpoints",
                f"{where}: {file} is a pickle, or may hold one, and can run code when it is loaded.",
                "Publish safetensors.",
            )
