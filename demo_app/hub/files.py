"""Where a checkpoint's files are on this disk: embedded in a package, or in the Hub's cache. Makes no request."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from demo_app.api import Checkpoint


def cache_folder() -> Path:
    """The Hub's cache on this disk, found by the same variables as huggingface_hub, which takes 0.3 s to import."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expanduser(os.path.expandvars(cache)))  # `Path.expanduser` raises where there is no home


def locate(checkpoint: Checkpoint) -> Path | None:
    """The folder with all of the checkpoint's files, or `None` if any is missing on this disk. Makes no request."""
    folder = snapshot(checkpoint) if checkpoint.folder is None else checkpoint.folder
    return folder if not missing_files(folder, checkpoint.files) else None


def size_on_disk(folder: Path, files: Iterable[str] | None = None) -> int:
    """Bytes of the named files in a folder, or of all files below it."""
    paths = folder.rglob("*") if files is None else (folder / file for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


def repo_folder(checkpoint: Checkpoint) -> Path:
    """The folder of the checkpoint's repository in the Hub's cache."""
    assert checkpoint.repo_id is not None
    return cache_folder() / f"models--{checkpoint.repo_id.replace('/', '--')}"


def snapshot(checkpoint: Checkpoint) -> Path:
    """Where the Hub's cache has the files of the pinned commit, fetched or not."""
    return repo_folder(checkpoint) / "snapshots" / str(checkpoint.revision)


def missing_files(folder: Path, files: Iterable[str]) -> list[str]:
    """Those of the files that the folder lacks; a link to a file that was removed counts as missing.

    In a folder that cannot be entered all are missing: unlike `Path.is_file`, `isfile` raises nothing for it.
    """
    return [file for file in files if not os.path.isfile(folder / file)]
