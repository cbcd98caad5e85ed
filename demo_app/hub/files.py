"""A checkpoint's files on this disk: embedded, cached, or pulled from the Hugging Face Hub at a pinned commit.

`locate` never uses the network and `fetch` is the only thing that does. What was fetched is trusted only after its hash
was checked, once: `verify` remembers the size and the time of the file that it read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from demo_app.api import Checkpoint

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The Hub's cache on this disk, by the variables of huggingface_hub, which takes 0.3 s to import and is not."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(cache)).expanduser()


def locate(checkpoint: Checkpoint) -> Path | None:
    """Folder with all of the checkpoint's files, or `None` where one is not on this disk. Never uses the network."""
    folder = snapshot(checkpoint) if checkpoint.folder is None else checkpoint.folder
    return folder if not missing_files(folder, checkpoint.files) else None


def size_on_disk(folder: Path, files: Iterable[str] | None = None) -> int:
    """Bytes of those files of a checkpoint's folder, of all where none are named."""
    paths = folder.rglob("*") if files is None else (folder / file for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


def repo_folder(checkpoint: Checkpoint) -> Path:
    assert checkpoint.repo_id is not None
    return cache_folder() / f"models--{checkpoint.repo_id.replace('/', '--')}"


def snapshot(checkpoint: Checkpoint) -> Path:
    """Where the pinned commit's files are, or will be: the layout of the Hub's cache."""
    return repo_folder(checkpoint) / "snapshots" / str(checkpoint.revision)


def missing_files(folder: Path, files: Iterable[str]) -> list[str]:
    return [file for file in files if not (folder / file).is_file()]
