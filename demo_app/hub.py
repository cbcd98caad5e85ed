"""A checkpoint's files on this disk: embedded, cached, or pulled from the Hugging Face Hub at a pinned commit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_app.api import Checkpoint, DemoError

Progress = Callable[[float], None]
"""Called with the fraction of bytes fetched, 0 to 1, about ten times a second."""


class HubError(DemoError):
    """The files of a checkpoint could not be had; the sentence says why and what to do."""


def locate(checkpoint: Checkpoint) -> Path | None:
    """Folder with all of the checkpoint's files, or `None` where one is not on this disk. Never uses the network."""
    if checkpoint.folder is not None:
        return checkpoint.folder if not _missing(checkpoint.folder, checkpoint.files) else None
    from huggingface_hub import try_to_load_from_cache

    assert checkpoint.repo_id is not None
    paths = [try_to_load_from_cache(checkpoint.repo_id, f, revision=checkpoint.revision) for f in checkpoint.files]
    if not all(isinstance(path, str) for path in paths):
        return None
    return _root(Path(str(paths[0])), checkpoint.files[0])


def fetch(checkpoint: Checkpoint, progress: Progress | None = None) -> Path:
    """Folder with the checkpoint's files, pulled from the Hub where they are not on this disk yet.

    Raises `HubError`: offline, no such repository, commit or file, gated, disk full, an embedded file is missing.
    """
    folder = locate(checkpoint)
    if folder is not None:
        return folder
    if checkpoint.folder is not None:
        missing = ", ".join(_missing(checkpoint.folder, checkpoint.files))
        raise HubError(f"Checkpoint {checkpoint.name} lacks {missing}; reinstall the plugin.")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    assert checkpoint.repo_id is not None
    bar = _progress_bar(progress, checkpoint.size) if progress is not None else None
    try:
        for file in checkpoint.files:
            path = hf_hub_download(checkpoint.repo_id, file, revision=checkpoint.revision, tqdm_class=bar)
    except GatedRepoError as error:
        raise HubError(f"{checkpoint.repo_id} asks for consent: accept its terms, then set HF_TOKEN.") from error
    except RepositoryNotFoundError as error:
        raise HubError(f"The Hub has no {checkpoint.repo_id} that we may read; check HF_TOKEN.") from error
    except LocalEntryNotFoundError as error:
        raise HubError(f"The Hub cannot be reached for {checkpoint.repo_id}; check the network, then retry.") from error
    except OSError as error:
        raise HubError(f"{checkpoint.repo_id} could not be fetched ({type(error).__name__}); try again.") from error
    return _root(Path(path), file)


def size_on_disk(folder: Path) -> int:
    """Bytes of all files in a checkpoint's folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _missing(folder: Path, files: tuple[str, ...]) -> list[str]:
    return [file for file in files if not (folder / file).is_file()]


def _root(path: Path, file: str) -> Path:
    """The snapshot folder that holds `file` at `path`."""
    return path.parents[len(Path(file).parts) - 1]


def _progress_bar(progress: Progress, total: int | None) -> Any:
    """A tqdm class that reports fractions of all the checkpoint's bytes to `progress` and draws nothing."""
    from huggingface_hub import utils

    base: Any = utils.tqdm  # type: ignore[attr-defined]
    done = 0

    class Bar(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs |= {"disable": False, "file": io.StringIO(), "mininterval": 0.1}
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> Any:
            nonlocal done
            done += int(n or 0)
            whole = total or self.total
            if whole:
                progress(min(1.0, done / whole))
            return super().update(n)

    return Bar
