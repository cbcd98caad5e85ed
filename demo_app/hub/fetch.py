"""Pull the files of a checkpoint from the Hub, together with whoever else wants them, and check them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from demo_app.api import Checkpoint
from demo_app.hub.checksums import is_unverified, verify
from demo_app.hub.errors import Cancelled, Corrupt, HubError
from demo_app.hub.files import cache_folder, locate, missing_files, repo_folder, snapshot
from demo_app.hub.progress import Progress

if TYPE_CHECKING:
    from demo_app.hub.download import Download


log = logging.getLogger(__name__)

STALE = 3600.0  # seconds after which an *.incomplete file that nobody wrote to is what a killed process left
TICK = 0.1  # seconds between two looks at a download


def fetch(
    checkpoint: Checkpoint,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Path:
    """Folder with the checkpoint's files, each proved by its hash, pulled from the Hub where they are not on this disk.

    Threads and processes that ask for the same files fetch them once. `progress` is called about ten times a second,
    by the thread that called `fetch`. What is on disk and was checked before costs no request and no second reading.

    Raises `HubError`; the subclass says what went wrong. Where nothing arrives that is within 5 s, 20 s once a file
    was on its way. After `cancel` is set, `Cancelled` is raised at once, whatever the network does.
    """
    folder = locate(checkpoint)
    if checkpoint.folder is not None:
        if folder is None:
            missing = ", ".join(missing_files(checkpoint.folder, checkpoint.files))
            raise HubError(f"Checkpoint {checkpoint.name} lacks {missing}; reinstall the plugin.")
        return folder
    if folder is not None and not any(is_unverified(checkpoint, file) for file in checkpoint.files):
        return folder
    from demo_app.hub.download import Download

    download = Download(checkpoint, cache_folder())
    done: list[Path | BaseException] = []

    def work() -> None:
        try:
            done.append(_pull(checkpoint, download))
        except BaseException as error:
            done.append(download.explain(error))

    worker = threading.Thread(target=work, name=f"fetch {checkpoint.repo_id}", daemon=True)
    worker.start()
    try:
        while not done:
            worker.join(TICK)
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"Fetching {checkpoint.repo_id} was cancelled; fetch it again whenever you like.")
            download.check_patience()
            if progress is not None:
                progress(download.progress())
    finally:
        download.stop()
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def _pull(checkpoint: Checkpoint, download: Download) -> Path:
    """In the worker thread, one at a time for a repository: fetch what is missing, check what is new, if bad again."""
    folder, repo = snapshot(checkpoint), repo_folder(checkpoint)
    with download.lock(cache_folder() / ".locks" / repo.name / "demo-app.lock"):
        _clean(repo)
        for _ in range(2):
            missing = missing_files(folder, checkpoint.files)
            if missing:
                download.files(missing)
            download.note = "checking"
            bad = [file for file in checkpoint.files if not verify(checkpoint, file, download)]
            if not bad:
                return folder
            download.check_stopped()
            log.warning("%s: %s differ from what was published and are removed", checkpoint.repo_id, ", ".join(bad))
            for file in bad:
                (folder / file).resolve().unlink(missing_ok=True)
                (folder / file).unlink(missing_ok=True)
    raise Corrupt(
        f"{checkpoint.repo_id} arrived damaged twice ({', '.join(bad)}) and was removed: something on the way changes "
        "it, or the plugin's sha256 is wrong; try another network, then tell the plugin's author."
    )


def _clean(repo: Path) -> None:
    """Remove what killed downloads left: huggingface_hub neither resumes nor removes it."""
    for path in repo.glob("blobs/*.incomplete"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
