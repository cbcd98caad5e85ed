"""Fetch the files of a checkpoint from the Hub, together with whoever else wants them, and verify them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from demo_app.api import Checkpoint
from demo_app.hub.checksums import is_unverified
from demo_app.hub.errors import Cancelled, HubError
from demo_app.hub.files import locate, missing_files
from demo_app.hub.progress import Progress

TICK = 0.1  # seconds between two calls of `progress`


def fetch(
    checkpoint: Checkpoint,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Path:
    """The folder with the checkpoint's files, each verified by its hash, fetched from the Hub if not on this disk.

    Threads and processes that ask for the same files fetch them once. `progress` is called about ten times a second,
    in the thread that called `fetch`. Files that are on disk and were verified before cost no request and are not read.

    Raises `HubError`; its subclass says what went wrong. If nothing arrives, it does so within 5 s, or within 30 s once
    a file was on its way. After `cancel` is set, `Cancelled` is raised at once, whatever the network does.
    """
    folder = locate(checkpoint)
    if checkpoint.folder is not None:
        if folder is None:
            raise HubError(
                "Checkpoint {name} lacks {files}; reinstall the plugin.",
                name=checkpoint.name,
                files=", ".join(missing_files(checkpoint.folder, checkpoint.files)),
            )
        return folder
    if folder is not None and not any(is_unverified(checkpoint, file) for file in checkpoint.files):
        return folder
    from demo_app.hub.download import Download

    download = Download(checkpoint)
    result: list[Path | BaseException] = []

    def work() -> None:
        try:
            result.append(download.run())
        except BaseException as error:
            result.append(error)

    worker = threading.Thread(target=work, name=f"fetch {checkpoint.repo_id}", daemon=True)
    worker.start()
    try:
        while not result:
            worker.join(TICK)
            if cancel is not None and cancel.is_set():
                raise Cancelled(
                    "Fetching {name} was cancelled; fetch it again whenever you like.", name=checkpoint.repo_id
                )
            download.check_patience()
            if progress is not None:
                progress(download.progress())
    finally:
        download.stop()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]
