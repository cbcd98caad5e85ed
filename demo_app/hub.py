"""A checkpoint's files on this disk: embedded, cached, or pulled from the Hugging Face Hub at a pinned commit.

`locate` never uses the network and `fetch` is the only thing that does. What was fetched is trusted only after its hash
was checked, once: `verify` remembers the size and the time of the file that it read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_app.api import Checkpoint, DemoError

if TYPE_CHECKING:
    from demo_app.download import Download

log = logging.getLogger(__name__)

STALE = 3600.0  # seconds after which an *.incomplete file that nobody wrote to is what a killed process left
TICK = 0.1  # seconds between two looks at a download
PROOFS = ".demo-app.json"  # in a repository's folder of the cache: which files were read and found right


class HubError(DemoError):
    """The files of a checkpoint could not be had; the sentence says why and what to do.

    `status` is the HTTP status that the Hub answered with, where it answered.
    """

    def __init__(self, text: str, /, *, status: int | None = None, **values: Any) -> None:
        super().__init__(text, **values)
        self.status = status


class Offline(HubError):
    """No answer: no network, no such host, connection refused, a silent host, or `HF_HUB_OFFLINE`."""


class NotFound(HubError):
    """The Hub has no such repository, commit or file."""


class Gated(HubError):
    """The Hub wants to know who asks: a token, or consent to the repository's terms."""


class RateLimited(HubError):
    """Too many requests; `retry_after` says in how many seconds to come back, where the Hub says so."""

    def __init__(
        self, text: str, /, *, status: int | None = None, retry_after: int | None = None, **values: Any
    ) -> None:
        super().__init__(text, status=status, **values)
        self.retry_after = retry_after


class HubBroken(HubError):
    """The Hub answered, but with an error of its own, or not as a Hub does, or it stopped in the middle."""


class DiskFull(HubError):
    """Not enough room in the cache; `needed` and `free` are bytes."""

    def __init__(self, text: str, /, *, needed: int | None = None, free: int | None = None, **values: Any) -> None:
        super().__init__(text, **values)
        self.needed = needed
        self.free = free


class Corrupt(HubError):
    """A file is not the published one, twice over; it was removed."""


class Cancelled(HubError):
    """Whoever asked for the files no longer wants them."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a fetch is."""

    done: int = 0  # bytes
    total: int | None = None  # bytes, once it is known
    rate: float = 0.0  # bytes a second, over the last few seconds
    note: str = ""  # "asking the Hub", "checking", "another process fetches it"

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0


def cache_folder() -> Path:
    """The Hub's cache on this disk, by the variables of huggingface_hub, which takes 0.3 s to import and is not."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(cache)).expanduser()


def locate(checkpoint: Checkpoint) -> Path | None:
    """Folder with all of the checkpoint's files, or `None` where one is not on this disk. Never uses the network."""
    folder = _snapshot(checkpoint) if checkpoint.folder is None else checkpoint.folder
    return folder if not _missing(folder, checkpoint.files) else None


def size_on_disk(folder: Path, files: Iterable[str] | None = None) -> int:
    """Bytes of those files of a checkpoint's folder, of all where none are named."""
    paths = folder.rglob("*") if files is None else (folder / file for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


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
            missing = ", ".join(_missing(checkpoint.folder, checkpoint.files))
            raise HubError(f"Checkpoint {checkpoint.name} lacks {missing}; reinstall the plugin.")
        return folder
    if folder is not None and not any(_unproved(checkpoint, file) for file in checkpoint.files):
        return folder
    from demo_app.download import Download

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
    folder, repo = _snapshot(checkpoint), _repo_folder(checkpoint)
    with download.lock(cache_folder() / ".locks" / repo.name / "demo-app.lock"):
        _clean(repo)
        for _ in range(2):
            missing = _missing(folder, checkpoint.files)
            if missing:
                download.files(missing)
            download.note = "checking"
            bad = [file for file in checkpoint.files if not _proved(checkpoint, file, download)]
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


def _repo_folder(checkpoint: Checkpoint) -> Path:
    assert checkpoint.repo_id is not None
    return cache_folder() / f"models--{checkpoint.repo_id.replace('/', '--')}"


def _snapshot(checkpoint: Checkpoint) -> Path:
    """Where the pinned commit's files are, or will be: the layout of the Hub's cache."""
    return _repo_folder(checkpoint) / "snapshots" / str(checkpoint.revision)


def _missing(folder: Path, files: Iterable[str]) -> list[str]:
    return [file for file in files if not (folder / file).is_file()]


def _clean(repo: Path) -> None:
    """Remove what killed downloads left: huggingface_hub neither resumes nor removes it."""
    for path in repo.glob("blobs/*.incomplete"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def _expected(checkpoint: Checkpoint, file: str) -> tuple[str, str] | None:
    """(algorithm, digest) of a file: the plugin's own, else the one that the Hub named it by; `None` if neither is.

    In the cache a file is a link to a blob whose name is its hash: sha256 for large files, git's sha1 for others.
    """
    if file in checkpoint.sha256:
        return "sha256", checkpoint.sha256[file]
    name = (_snapshot(checkpoint) / file).resolve().name
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        return None  # a cache without links, as on Windows
    return ("sha256" if len(name) == 64 else "git", name)


def _identity(checkpoint: Checkpoint, file: str) -> list[object]:
    """What makes a file the one that was checked: its size, its time, and what it was checked against."""
    stat = (_snapshot(checkpoint) / file).stat()
    return [stat.st_size, stat.st_mtime_ns, *(_expected(checkpoint, file) or ())]


def _unproved(checkpoint: Checkpoint, file: str) -> bool:
    return _proofs(checkpoint).get(f"{checkpoint.revision}/{file}") != _identity(checkpoint, file)


def _proved(checkpoint: Checkpoint, file: str, download: Download) -> bool:
    """Whether the file is the published one; it is read once, and the result remembered beside the repository."""
    if not _unproved(checkpoint, file):
        return True
    expected = _expected(checkpoint, file)
    if expected is not None and _digest(_snapshot(checkpoint) / file, expected[0], download) != expected[1]:
        return False
    proofs = {**_proofs(checkpoint), f"{checkpoint.revision}/{file}": _identity(checkpoint, file)}
    path = _repo_folder(checkpoint) / PROOFS
    with suppress(OSError):  # a cache that others own: then files are read again at the next start
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(proofs, indent=1), "utf-8")
        unfinished.replace(path)
    return True


def _proofs(checkpoint: Checkpoint) -> Mapping[str, object]:
    try:
        proofs = json.loads((_repo_folder(checkpoint) / PROOFS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return proofs if isinstance(proofs, dict) else {}


def _digest(path: Path, algorithm: str, download: Download) -> str:
    digest = hashlib.sha256() if algorithm == "sha256" else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            download.check_stopped()
            digest.update(chunk)
    return digest.hexdigest()
