"""Files from the Hub through huggingface_hub, watched: bytes are counted, patience is bounded, errors become ours.

Left to itself huggingface_hub tries a refused connection for 23 s and a silent host for minutes, and reports most
answers as "check your connection". It lets its HTTP client be replaced, and ours is where all of that is decided:
how long a request may wait, which status is worth another try, and what a visitor reads.

Importing this imports huggingface_hub.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, set_client_factory
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # whichever version it uses
from huggingface_hub.utils._http import hf_request_event_hook  # of its default client: counts, refuses offline

from demo_app.api import Checkpoint
from demo_app.hub.errors import Cancelled, DiskFull, Gated, HubBroken, HubError, NotFound, Offline, RateLimited
from demo_app.hub.progress import Progress

CONNECT = 3.0  # seconds for a connection, and for the answer to a HEAD
READ = 5.0  # seconds between two pieces of a body; then huggingface_hub resumes
SILENT = 4.5  # seconds without an answer, name lookup included, that has no limit of its own
STALLED = 15.0  # seconds without a byte, tries to resume included
TRIES = 2  # in a row that bring nothing new: a body is resumed at a multiple of 10 MiB, so bytes alone prove little
PAUSES = (0.5, 1.0)  # seconds before a request is sent again that the Hub answered with an error of its own
OTHERS = 60.0  # seconds for one step of a request that belongs to no download, as those of an upload
SPARE = 2**20  # bytes that stay free


class Download:
    """One fetch of a checkpoint's files. A worker thread runs it; the thread that waits for it reads its fields."""

    def __init__(self, checkpoint: Checkpoint, cache: Path) -> None:
        self.checkpoint = checkpoint
        self.cache = cache
        self.endpoint = os.environ.get("HF_ENDPOINT") or None
        self.file = ""  # on its way now
        self.note = "asking the Hub"
        self.stopped = False
        self.done = 0  # bytes
        self.total: int | None = None  # bytes
        self._before = 0  # bytes of the files before this one
        self._asked: float | None = None  # when the request was sent that waits for its answer
        self._heard = time.monotonic()  # the last byte
        self._furthest = 0  # bytes, at the best of all tries
        self._fruitless = 0  # requests for a body since then
        self._body: httpx.Response | None = None  # that is coming in
        self._lock: FileLock | None = None  # while it is held
        self._letting_go = threading.Lock()
        self._history: deque[tuple[float, int]] = deque(maxlen=30)  # (when, bytes), of the last three seconds

    @property
    def name(self) -> str:
        return str(self.checkpoint.repo_id)

    # In the thread that waits

    def progress(self) -> Progress:
        now, done = time.monotonic(), self.done
        self._history.append((now, done))
        since, had = self._history[0]
        rate = (done - had) / (now - since) if now > since else 0.0
        return Progress(done=done, total=self.total, rate=max(0.0, rate), note=self.note)

    def check_patience(self) -> None:
        """Raises `Offline` or `HubBroken` when nothing has come for too long."""
        now, asked = time.monotonic(), self._asked
        if asked is not None and now - asked > SILENT:
            raise self._offline("does not answer")
        if self._sending and now - self._heard > STALLED:
            raise HubBroken(f"The Hub stopped sending {self.file} of {self.name}; try again in a minute.")

    def stop(self) -> None:
        """Abandon the worker: it ends at its next step, and whoever asks for the same files does not wait for that."""
        self.stopped = True
        self._unlock()
        body = self._body
        if body is not None and (stream := body.extensions.get("network_stream")) is not None:
            with suppress(OSError):  # wakes the worker where it reads; closing alone would not
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _unlock(self) -> None:
        with self._letting_go:
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    @property
    def _sending(self) -> bool:
        return self.file != "" and self.note == ""

    # In the worker

    def check_stopped(self) -> None:
        if self.stopped:
            raise Cancelled(f"Fetching {self.name} was cancelled.")

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """One download of a repository at a time on this machine; huggingface_hub's own locks cannot be left."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, thread_local=False)  # `stop` releases it from another thread
        while True:
            try:
                lock.acquire(timeout=0.1)
                break
            except Timeout:
                self.check_stopped()
                self.note = "waiting for another download of the same files"
        self._lock = lock
        try:
            self.check_stopped()
            yield
        finally:
            self._unlock()

    def files(self, files: Sequence[str]) -> None:
        """Bring the files into the cache. Raises `HubError`, and whatever `explain` knows."""
        if constants.is_offline_mode() or _is_true(os.environ.get("HF_HUB_OFFLINE", "")):
            raise Offline(f"{self.name} is not on this disk and HF_HUB_OFFLINE is set; unset it, then try again.")
        install_client()
        _watching.download = self
        try:
            self._fetch(files)
        finally:
            _watching.download = None

    def _fetch(self, files: Sequence[str]) -> None:
        revision = self.checkpoint.revision
        self.note, self.done, self._before, self._furthest = "asking the Hub", 0, 0, 0
        sizes = {}
        for self.file in files:  # also the preflight: a Hub that is not there is found out here, without retries
            url = hf_hub_url(self.name, self.file, revision=revision, endpoint=self.endpoint)
            sizes[self.file] = get_hf_file_metadata(url, timeout=CONNECT, endpoint=self.endpoint).size or 0
        self.total = sum(sizes.values())
        self._check_room(self.total)
        where: dict[str, Any] = {"revision": revision, "endpoint": self.endpoint, "cache_dir": self.cache}
        for self.file in files:
            self.note, self._heard, self._fruitless = "", time.monotonic(), 0
            hf_hub_download(self.name, self.file, **where, tqdm_class=_Silent)  # type: ignore[arg-type]
            self._before += sizes[self.file]
            self.done = self._before

    def _check_room(self, needed: int) -> None:
        folder = next(path for path in (self.cache, *self.cache.parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if needed + SPARE > free:
            raise self._disk_full(needed, free)

    def send(self, request: httpx.Request, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send a request of huggingface_hub's with our patience. Raises what it would otherwise try again for long."""
        head = request.method == "HEAD"
        if not head:
            self._fruitless += 1
            if self._fruitless > TRIES:
                raise HubBroken(
                    f"The Hub keeps breaking off while sending {self.file} of {self.name}; try again later."
                )
        _shorten(request, connect=CONNECT, pool=CONNECT, read=CONNECT if head else READ)
        pauses = iter(PAUSES)
        while True:
            self.check_stopped()
            self._asked = time.monotonic()
            try:
                response = send()
            except httpx.TransportError as error:
                if head or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    raise self._offline("cannot be reached") from error
                raise
            finally:
                self._asked = None
            if response.status_code == 429:
                response.close()
                raise self._rate_limited(response)
            pause = next(pauses, None) if response.status_code >= 500 else None
            if pause is None:
                break
            response.close()
            time.sleep(pause)
        if head and response.status_code >= 500:  # else huggingface_hub would wait and ask again
            raise self._broken(response.status_code)
        if not head:
            start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
            self.done = self._before + (int(start) if start.isdecimal() else 0)
            self._heard, self._body = time.monotonic(), response
        return response

    def received(self, count: int) -> None:
        self.check_stopped()
        self.done += count
        self._heard = time.monotonic()
        if self.done > self._furthest:
            self._furthest, self._fruitless = self.done, 0

    def received_all(self) -> None:
        self._body = None

    def explain(self, error: BaseException) -> BaseException:
        """The `HubError` that says what happened; other errors that are no fault of the Hub's stay as they are."""
        if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
            error = error.__cause__  # it hides what the Hub said
        if isinstance(error, UnicodeEncodeError) and "Bearer " in error.object:  # the token: not shown as the cause
            return HubError(
                "HF_TOKEN has a character that no token has; copy the token again, whole, and set HF_TOKEN."
            )
        found = error if isinstance(error, HubError) or not isinstance(error, Exception) else self._as_ours(error)
        if found is not error:
            found.__cause__ = error
        return found

    def _as_ours(self, error: Exception) -> HubError:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if isinstance(error, GatedRepoError):
            return self._gated(status)
        if isinstance(error, RepositoryNotFoundError):
            text = f"The Hub has no repository {self.name} for us; check its name, or set HF_TOKEN if it is private."
            return NotFound(text, status=status)
        if isinstance(error, RevisionNotFoundError):
            text = f"{self.name} has no commit {self.checkpoint.revision}; the pin is wrong: update the plugin."
            return NotFound(text, status=status)
        if isinstance(error, RemoteEntryNotFoundError) or status in (404, 410):
            text = f"{self.name} has no file {self.file} at {self.checkpoint.revision}; update the plugin."
            return NotFound(text, status=status)
        if status in (401, 403):
            return self._gated(status)
        if isinstance(error, HfHubHTTPError):
            return self._rate_limited(error.response) if status == 429 else self._broken(status)
        if isinstance(error, OfflineModeIsEnabled | httpx.ConnectError | httpx.ConnectTimeout):
            return self._offline("cannot be reached")
        if isinstance(error, FileMetadataError):
            return HubBroken("What answers for the Hub is not one; check HF_ENDPOINT and the proxy, then try again.")
        if isinstance(error, httpx.HTTPError):
            return HubBroken(f"The Hub broke off while sending {self.file} of {self.name}; try again in a minute.")
        if isinstance(error, OSError):
            return self._os_error(error)
        return HubError(f"{self.name} could not be fetched ({type(error).__name__}); try again, and see the log.")

    def _os_error(self, error: OSError) -> HubError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = next(path for path in (self.cache, *self.cache.parents) if path.exists())
            return self._disk_full(self.total or self.checkpoint.size or 0, shutil.disk_usage(folder).free)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return HubError(f"{self.cache} cannot be written; set HF_HOME to a folder that can, then try again.")
        if "Consistency check failed" in str(error):  # the one OSError of huggingface_hub's own
            return HubBroken(
                f"The Hub sent another number of bytes of {self.file} than it announced; try again in a minute."
            )
        return HubError(f"{self.name} could not be written to {self.cache} ({error.strerror}); check the disk.")

    def _offline(self, what: str) -> Offline:
        host = httpx.URL(self.endpoint or constants.ENDPOINT).host
        return Offline(f"The Hub ({host}) {what}; check the network, then try again.")

    def _broken(self, status: int | None) -> HubBroken:
        if status is not None and status < 500:
            return HubBroken(
                f"The Hub refuses {self.name} ({status}); see its page there, then try again.", status=status
            )
        return HubBroken(f"The Hub answered with an error of its own ({status}); try again in a minute.", status=status)

    def _gated(self, status: int | None) -> Gated:
        return Gated(
            f"The Hub does not give {self.name} to everybody ({status}): accept its terms on its page if it has any, "
            "make an access token in the settings of your Hub account, and set HF_TOKEN.",
            status=status,
        )

    def _rate_limited(self, response: httpx.Response) -> RateLimited:
        after = response.headers.get("Retry-After", "")
        seconds = int(after) if after.isdecimal() else None
        when = f"in {seconds} s" if seconds is not None else "in a few minutes"
        return RateLimited(
            f"The Hub has had too many requests from here; try again {when}, or set HF_TOKEN for a higher limit.",
            status=response.status_code,
            retry_after=seconds,
        )

    def _disk_full(self, needed: int, free: int) -> DiskFull:
        return DiskFull(
            f"{self.name} needs {needed / 1e6:,.1f} MB in {self.cache} and {free / 1e6:,.1f} MB are free; make room, "
            "or set HF_HOME to a folder on another disk.",
            needed=needed,
            free=free,
        )


class _Watching(threading.local):
    download: Download | None = None  # that runs in this thread


_watching = _Watching()
_installing = threading.Lock()
_installed = False


def install_client() -> None:
    """Give huggingface_hub our client, once: setting it closes the one in use. Nothing else then asks the Hub.

    Gradio imports huggingface_hub, so its variables may have been read before `prepare_environment` set them. Through
    Xet no byte would be counted, no time limit kept and nothing cancelled.
    """
    global _installed
    with _installing:
        constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_TELEMETRY = True
        if not _installed:
            set_client_factory(lambda: _Client(event_hooks={"request": [hf_request_event_hook]}))
            _installed = True


class _Client(httpx.Client):
    """huggingface_hub's client, in which a request that belongs to a `Download` obeys it. Others get `OTHERS`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(follow_redirects=True, timeout=OTHERS, **kwargs)

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        download = _watching.download
        if download is None:
            return super().send(request, **kwargs)
        send = super().send
        response = download.send(request, lambda: send(request, **kwargs))
        if kwargs.get("stream"):
            assert isinstance(response.stream, httpx.SyncByteStream)
            response.stream = _Counted(response.stream, download)
        return response


class _Counted(httpx.SyncByteStream):
    """A body that tells its `Download` how much of it has come."""

    def __init__(self, stream: httpx.SyncByteStream, download: Download) -> None:
        self._stream = stream
        self._download = download

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._download.received(len(chunk))
            yield chunk

    def close(self) -> None:
        self._download.received_all()
        self._stream.close()


class _Silent:
    """In place of huggingface_hub's progress bar, which would draw on the terminal."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def update(self, _: float | None = 1) -> None:
        pass

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _shorten(request: httpx.Request, **seconds: float) -> None:
    """Lower the request's timeouts to these."""
    timeouts = request.extensions.get("timeout", {})
    shorter = {name: min(limit, timeouts.get(name) or limit) for name, limit in seconds.items()}
    request.extensions = {**request.extensions, "timeout": {**timeouts, **shorter}}


def _is_true(text: str) -> bool:
    return text.upper() in {"1", "ON", "YES", "TRUE"}
