"""One fetch of a checkpoint's files through huggingface_hub: counted, bounded in time, stopped from outside.

Left to itself huggingface_hub tries a refused connection for 23 s and a silent host for minutes, and reports most
answers as "check your connection". So each file is asked for once beforehand, with a short timeout and no attempts of
its own, and the thread that waits gives up when nothing comes for long; see `demo_app.hub.client` for the rest.

Importing this imports huggingface_hub.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_hf_file_metadata, get_token, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # whichever version it uses

from demo_app.api import Checkpoint
from demo_app.hub import faults, network
from demo_app.hub.access import endpoint, is_offline, tokens_page
from demo_app.hub.checksums import verify
from demo_app.hub.client import Watch, watching
from demo_app.hub.errors import Cancelled, Corrupt, Gated, HubBroken, Offline
from demo_app.hub.files import cache_folder, missing_files, repo_folder, snapshot
from demo_app.hub.progress import Progress

log = logging.getLogger(__name__)
T = TypeVar("T")

ANSWER_SECONDS = 3.0  # for each step of the first request for a file, such as connecting
SILENT_SECONDS = 4.5  # for all of it, and for the name lookup, which has no timeout of its own
STALLED_SECONDS = 25.0  # without a byte: two read timeouts of huggingface_hub, after each of which it resumes
PAUSES = (0.5, 1.0)  # seconds before a file is asked for again that the Hub answered with an error of its own
SPARE = 2**20  # bytes of the disk that stay free
LEFTOVER_SECONDS = 3600.0  # after which an *.incomplete file that nobody wrote to was left by a killed process


class Download:
    """One fetch of a checkpoint's files: a worker thread runs it, the thread that waits for it reads how far it is."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.cache = cache_folder()
        self._name = str(checkpoint.repo_id)
        self._file = ""  # that is being fetched
        self._note = "asking the Hub"  # what happens instead, while no bytes come
        self._done = 0  # bytes
        self._total: int | None = None  # bytes
        self._asked: float | None = None  # time.monotonic() when the unanswered request for a file's size was sent
        self._heard = time.monotonic()  # when the last bytes came
        self._history: deque[tuple[float, int]] = deque(maxlen=30)  # (when, bytes), of the last three seconds
        self._token: bool | None = None  # False: without, because the Hub does not take it
        self._stopped = threading.Event()
        self._watch = Watch(self.check_stopped)
        self._lock: FileLock | None = None  # while it is held
        self._releasing = threading.Lock()

    # For the thread that waits

    def progress(self) -> Progress:
        """How far it is; to be called about ten times a second."""
        now, done = time.monotonic(), self._done
        self._history.append((now, done))
        since, before = self._history[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        return Progress(done=done, total=self._total, rate=max(0.0, rate), note=self._note)

    def check_patience(self) -> None:
        """Raises `Offline` or `HubBroken` when nothing has come for too long."""
        now, asked = time.monotonic(), self._asked
        if asked is not None and now - asked > SILENT_SECONDS:
            raise faults.offline(faults.DOES_NOT_ANSWER)
        receiving = self._file and not self._note
        if receiving and now - self._heard > STALLED_SECONDS:
            text = "The Hub stopped sending {file} of {name}; try again in a minute."
            raise HubBroken(text, file=self._file, name=self._name)

    def stop(self) -> None:
        """Abandon the worker. It ends at its next step; others who want the same files need not wait for that."""
        self._stopped.set()
        self._release()
        self._watch.cut()

    # For the worker

    def run(self) -> Path:
        """Fetch what is missing, verify what is new, and fetch again what is damaged. Returns the files' folder.

        One download of a repository runs at a time on this machine. Raises `HubError`.
        """
        try:
            return self._run()
        except BaseException as error:
            found = faults.explain(error, self._task())
        raise found  # out here: in there, Python would add `error` as its context, which may show the token

    def check_stopped(self) -> None:
        """Raises `Cancelled` once the download was stopped."""
        if self._stopped.is_set():
            raise Cancelled("Fetching {name} was cancelled.", name=self._name)

    def _run(self) -> Path:
        checkpoint, folder, repo = self.checkpoint, snapshot(self.checkpoint), repo_folder(self.checkpoint)
        complete = not missing_files(folder, checkpoint.files)
        with self._locked(self.cache / ".locks" / repo.name / "demo-app.lock", optional=complete):
            _remove_leftovers(repo)
            for _ in range(2):
                missing = missing_files(folder, checkpoint.files)
                if missing:
                    self._fetch(missing)
                self._note = "checking"
                bad = [file for file in checkpoint.files if not verify(checkpoint, file, self.check_stopped)]
                if not bad:
                    return folder
                self.check_stopped()
                log.warning("%s: %s differ from what was published and are removed", self._name, ", ".join(bad))
                for file in bad:
                    (folder / file).resolve().unlink(missing_ok=True)
                    (folder / file).unlink(missing_ok=True)
        raise Corrupt(
            "{name} arrived damaged twice ({files}) and was removed: something on the way changes it, or the plugin's "
            "sha256 is wrong; try another network, then tell the plugin's author.",
            name=self._name,
            files=", ".join(bad),
        )

    def _fetch(self, files: Sequence[str]) -> None:
        """Bring the files into the cache. Raises `HubError` and what `faults.explain` knows."""
        if is_offline() or constants.is_offline_mode():
            text = "{name} is not on this disk and HF_HUB_OFFLINE is set; unset it, then try again."
            raise Offline(text, name=self._name)
        self._note, self._done = "asking the Hub", 0
        network.check()
        with watching(self._watch):
            sizes = [self._insist(self._first_answer, file) for file in files]
            self._total = sum(sizes)
            if self._total + SPARE > faults.free_bytes(self.cache):
                raise faults.disk_full(self._task())
            before = 0  # bytes of the files before this one
            for file, size in zip(files, sizes, strict=True):
                self._file, self._note = file, ""
                self._insist(self._fetch_file, file, before)
                before = self._done = before + size

    def _first_answer(self, file: str) -> int:
        """Bytes of the file. A token that the Hub does not take is left out: the file may be for everybody."""
        try:
            return self._ask_size(file)
        except HfHubHTTPError as error:
            if error.response.status_code != 401 or self._token is False or not get_token():
                raise
            self._token = False
            try:
                size = self._ask_size(file)
            except HfHubHTTPError:
                if "invalid" in str(error).lower() or "expired" in str(error).lower():
                    raise Gated(faults.BAD_TOKEN, status=401, name=self._name, tokens=tokens_page()) from None
                raise error from None
        log.warning("the Hub does not take the token in HF_TOKEN; %s is fetched without it", self._name)
        return size

    def _ask_size(self, file: str) -> int:
        """Bytes of the file. Finds out, without huggingface_hub's attempts, whether the Hub is there and has it."""
        self._file = file
        url = hf_hub_url(self._name, file, revision=self.checkpoint.revision, endpoint=endpoint())
        self._asked = time.monotonic()
        # addresses are tried one after the other: the dead ones of a name with several must leave time for a good one
        each = max(0.25, ANSWER_SECONDS / network.addresses())
        timeout: Any = httpx.Timeout(ANSWER_SECONDS, connect=min(each, ANSWER_SECONDS))
        try:
            return get_hf_file_metadata(url, timeout=timeout, endpoint=endpoint(), token=self._token).size or 0
        finally:
            self._asked = None

    def _fetch_file(self, file: str, before: int) -> None:
        """Bring one file into the cache; `before` are the bytes of the files before it."""
        self._done, self._heard = before, time.monotonic()
        where: dict[str, Any] = {"revision": self.checkpoint.revision, "cache_dir": self.cache, "token": self._token}
        bar: Any = functools.partial(_Bar, self._received)
        hf_hub_download(self._name, file, **where, endpoint=endpoint(), tqdm_class=bar)

    def _received(self, count: int) -> None:
        self.check_stopped()
        self._done += count
        self._heard = time.monotonic()

    def _insist(self, ask: Callable[..., T], *arguments: Any) -> T:
        """What `ask` returns, after further attempts where the Hub answers with an error of its own."""
        for pause in PAUSES:
            try:
                return ask(*arguments)
            except HfHubHTTPError as error:
                if error.response.status_code < 500:
                    raise
            self._stopped.wait(pause)
            self.check_stopped()
        return ask(*arguments)

    def _task(self) -> faults.Fetching:
        return faults.Fetching(
            name=self._name,
            commit=str(self.checkpoint.revision),
            file=self._file,
            cache=self.cache,
            needed=self._total or self.checkpoint.size or 0,
        )

    # The lock of the repository on this machine

    @contextmanager
    def _locked(self, path: Path, optional: bool) -> Iterator[None]:
        """Hold the lock. It is `optional` where nothing is to be fetched: a cache may be read-only."""
        lock = FileLock(path, thread_local=False)  # `stop` releases it in another thread
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0.1)
                break
            except (OSError, NotImplementedError) as error:
                if not isinstance(error, Timeout) and optional:
                    yield
                    return
                if not isinstance(error, Timeout):
                    raise
                self.check_stopped()
                self._note = "waiting for another download of the same files"
        self._lock = lock
        try:
            self.check_stopped()
            yield
        finally:
            self._release()

    def _release(self) -> None:
        with self._releasing:
            if self._lock is not None:
                self._lock.release()
                self._lock = None


class _Bar:
    """What huggingface_hub takes for a progress bar: reports the bytes of each chunk and draws nothing."""

    def __init__(self, received: Callable[[int], None], **_: Any) -> None:
        self._received = received

    def update(self, count: float | None = 1) -> None:
        self._received(int(count or 0))

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _remove_leftovers(repo: Path) -> None:
    """Remove what killed downloads left, which huggingface_hub neither resumes nor removes."""
    for path in repo.glob("blobs/*.incomplete"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                path.unlink()
