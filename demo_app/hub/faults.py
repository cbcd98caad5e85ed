"""Translate what huggingface_hub, httpx and the disk raise into `demo_app.hub.errors`.

The only place that knows their exceptions. Importing this imports huggingface_hub.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # whichever version it uses

from demo_app.hub import network
from demo_app.hub.access import bad_token, endpoint, tokens_page
from demo_app.hub.errors import DiskFull, Gated, HubBroken, HubError, NotFound, Offline, RateLimited, Refused, Taken

Answer = tuple[type[HubError], str]  # and the template of its sentence


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """What was being fetched when it failed."""

    name: str  # of the repository
    commit: str
    file: str
    cache: Path
    needed: int  # bytes of all files


@dataclass(frozen=True, kw_only=True)
class Uploading:
    """What was being uploaded when it failed."""

    name: str  # of the repository
    created: bool  # by this upload: the next attempt finds it there


CANNOT_BE_REACHED, DOES_NOT_ANSWER = "cannot be reached", "does not answer"
NO_HUB = "What answers for the Hub is not one; check HF_ENDPOINT and the proxy, then try again."
OWN_ERROR = "The Hub answered with an error of its own ({status}); try again in a minute."

BAD_TOKEN = (
    "The Hub does not take the token in HF_TOKEN (401), it may have expired, and {name} is not for everybody; make a "
    "new one at {tokens}."
)
PROXY_LOGIN = "The proxy {proxy} wants a name and a password (407); write them into HTTPS_PROXY, as http://NAME:PASSWORD@HOST:PORT."
NO_LOCKS = "{folder} is on a file system without locks ({reason}); set HF_HOME to a folder on a disk of this machine."

GATED: Answer = (
    Gated,
    "The Hub does not give {name} to everybody ({status}): accept its terms on its page if it has any, make an access "
    "token in the settings of your Hub account, and set HF_TOKEN.",
)
NO_FILE: Answer = (NotFound, "{name} has no file {file} at {commit}; update the plugin.")

FETCH_ERRORS: tuple[tuple[type[HfHubHTTPError], Answer], ...] = (  # the first that fits
    (GatedRepoError, GATED),
    (
        RepositoryNotFoundError,
        (NotFound, "The Hub has no repository {name} for us; check its name, or set HF_TOKEN if it is private."),
    ),
    (
        RevisionNotFoundError,
        (NotFound, "{name} has no commit {commit}; the pin is wrong: update the plugin."),
    ),
    (RemoteEntryNotFoundError, NO_FILE),
)
FETCH_STATUSES = {401: GATED, 403: GATED, 404: NO_FILE, 410: NO_FILE}
FETCH_OTHER: Answer = (HubBroken, "The Hub refuses {name} ({status}); see its page there, then try again.")

UPLOAD_STATUSES: dict[int, Answer] = {
    401: (Refused, "The Hub does not know the token in HF_TOKEN (401); make a new one at {tokens}."),
    402: (
        Refused,
        "The Hub wants a paid plan for {name} on this hardware (402); a free account may have Spaces on ZeroGPU: say "
        "--hardware zero-a10g, and leave out --cpu.",
    ),
    403: (
        Refused,
        "HF_TOKEN may not write to {name} (403): the name is somebody else's, or the token may only read; choose a "
        "name of your own account, or make a token that may write at {tokens}.",
    ),
    404: (NotFound, "{name} is not there any more (404); try again."),
    409: (Taken, "{name} was made or changed by somebody else just now (409); look at it, then try again."),
    412: (Taken, "{name} was changed by somebody else just now (412); look at it, then try again."),
}
UPLOAD_OTHER: Answer = (HubBroken, "The Hub refuses {name} ({status}{reason}); fix that, then try again.")
NOT_CREATED = (401, 402, 403)  # refused before anything was made


def explain(error: BaseException, task: Fetching | Uploading) -> BaseException:
    """The `HubError` that says what happened, with `error` as its cause.

    A `HubError` is returned as it is, and so is what is not the Hub's, the network's or the disk's fault: anything
    that is no `Exception`, and while uploading any error that is not known here.
    """
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # which has what the Hub said
    if isinstance(error, HubError) or not isinstance(error, Exception):
        return error
    if isinstance(error, UnicodeEncodeError) and "Bearer " in error.object:
        return bad_token()
    found = _of_http(error, task) or (_of_fetch(error, task) if isinstance(task, Fetching) else _of_upload(error, task))
    if found is None:
        return error
    found.__cause__ = error
    return found


def offline(what: str) -> Offline:
    """`what` is `CANNOT_BE_REACHED` or `DOES_NOT_ANSWER`."""
    host, proxy = httpx.URL(endpoint()).host, network.proxy()
    if proxy:
        text = "The Hub ({host}) {what} through the proxy {proxy}; check HTTPS_PROXY and the network, then try again."
        return Offline(text, host=host, what=what, proxy=proxy)
    return Offline("The Hub ({host}) {what}; check the network, then try again.", host=host, what=what)


def disk_full(task: Fetching) -> DiskFull:
    """The error for a cache that has no room for the task's files."""
    return DiskFull(
        "{name} needs {needed} MB in {folder} and {free} MB are free; make room, or set HF_HOME to a folder on another "
        "disk.",
        name=task.name,
        folder=str(task.cache),
        needed=task.needed,
        free=free_bytes(task.cache),
    )


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk of a folder, which need not exist yet."""
    there = (path for path in (folder, *folder.parents) if os.path.exists(path))  # which raises nothing
    return shutil.disk_usage(next(there, Path("/"))).free


# By what was raised


def _of_http(error: Exception, task: Fetching | Uploading) -> HubError | None:
    """For an answer with an error status, and for a host that cannot be reached."""
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code == 407:
            return Offline(PROXY_LOGIN, proxy=network.proxy())
        return _answered(error, task)
    if isinstance(error, httpx.ProxyError):
        if "407" in str(error):
            return Offline(PROXY_LOGIN, proxy=network.proxy())
        text = "The proxy {proxy} does not let us through to the Hub ({reason}); ask who runs it, or set NO_PROXY."
        return Offline(text, proxy=network.proxy(), reason=str(error) or "ProxyError")
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        text = (
            "The certificate of the Hub ({host}) is not trusted here, as behind a proxy that looks into connections; "
            "set SSL_CERT_FILE to a file that has the proxy's."
        )
        return Offline(text, host=httpx.URL(endpoint()).host)
    if isinstance(error, OfflineModeIsEnabled | httpx.ConnectError | httpx.ConnectTimeout):
        return offline(CANNOT_BE_REACHED)
    return None


def _of_fetch(error: Exception, task: Fetching) -> HubError:
    values: dict[str, Any] = {"name": task.name, "file": task.file}
    if isinstance(error, FileMetadataError):
        return HubBroken(NO_HUB)
    if isinstance(error, httpx.TransportError):
        timeout = isinstance(error, httpx.TimeoutException)
        if _method(error) == "HEAD":
            return offline(DOES_NOT_ANSWER if timeout else CANNOT_BE_REACHED)
        if timeout or isinstance(error, httpx.RemoteProtocolError):  # huggingface_hub has tried again five times
            return HubBroken("The Hub keeps breaking off while sending {file} of {name}; try again later.", **values)
    if isinstance(error, httpx.HTTPError):
        return HubBroken("The Hub broke off while sending {file} of {name}; try again in a minute.", **values)
    if isinstance(error, NotImplementedError):  # of the package filelock
        return HubError(NO_LOCKS, folder=str(task.cache), reason="flock")
    if isinstance(error, OSError):
        return _of_disk(error, task)
    text = "{name} could not be fetched ({reason}); try again, and see the log."
    return HubError(text, name=task.name, reason=type(error).__name__)


def _of_disk(error: OSError, task: Fetching) -> HubError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(task)
    folder = str(task.cache)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return HubError("{folder} cannot be written; set HF_HOME to a folder that can, then try again.", folder=folder)
    if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
        return HubError(NO_LOCKS, folder=folder, reason=error.strerror or "")
    if "Consistency check failed" in str(error):  # the one OSError of huggingface_hub's own
        return HubBroken(
            "The Hub sent another number of bytes of {file} than it announced; try again in a minute.", file=task.file
        )
    return HubError(
        "{name} could not be written to {folder} ({reason}); check the disk.",
        name=task.name,
        folder=folder,
        reason=error.strerror or type(error).__name__,
    )


def _of_upload(error: Exception, task: Uploading) -> HubError | None:
    host = httpx.URL(endpoint()).host
    if isinstance(error, HFValidationError):
        text = "{name} is no name for a repository; use letters, digits, '-', '_' and '.', up to 96."
        return HubError(text, name=repr(task.name))
    if isinstance(error, httpx.TimeoutException):
        return offline(DOES_NOT_ANSWER)
    if isinstance(error, httpx.HTTPError):
        text = "The connection to the Hub ({host}) broke; try again, with --force if {name} is there now."
        return HubBroken(text, host=host, name=task.name)
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata"):
        reason = " ".join(str(error).split())
        text = "The Hub does not take the header of README.md: {reason}; fix it, then try again."
        return HubError(text, reason=reason)
    if isinstance(error, ValueError | KeyError):  # an answer that is not a Hub's
        return HubBroken(NO_HUB)
    return None


# By status


def _answered(error: HfHubHTTPError, task: Fetching | Uploading) -> HubError:
    status: int = error.response.status_code
    if status == 429:
        return _rate_limited(error.response, task)
    if isinstance(task, Fetching):
        kind, text = _fetch_answer(error, status)
        return kind(text, status=status, name=task.name, file=task.file, commit=task.commit)
    kind, text = (HubBroken, OWN_ERROR) if status >= 500 else UPLOAD_STATUSES.get(status, UPLOAD_OTHER)
    reason = (error.server_message or "").strip().rstrip(".")
    values = {"name": task.name, "tokens": tokens_page(), "reason": f": {reason}" if reason else ""}
    return kind(_with_remedy(text, status, task), status=status, **values)


def _fetch_answer(error: HfHubHTTPError, status: int) -> Answer:
    for kind, answer in FETCH_ERRORS:
        if isinstance(error, kind):
            return answer
    return (HubBroken, OWN_ERROR) if status >= 500 else FETCH_STATUSES.get(status, FETCH_OTHER)


def _rate_limited(response: httpx.Response, task: Fetching | Uploading) -> RateLimited:
    after = response.headers.get("Retry-After", "")
    seconds = int(after) if after.isdecimal() else None
    answer: dict[str, Any] = {"status": response.status_code, "retry_after": seconds}
    if isinstance(task, Uploading):
        text = "The Hub has had too many requests from here; try again in a few minutes."
        return RateLimited(_with_remedy(text, response.status_code, task), **answer, name=task.name)
    if seconds is None:
        return RateLimited(
            "The Hub has had too many requests from here; try again in a few minutes, or set HF_TOKEN for a higher "
            "limit.",
            **answer,
        )
    return RateLimited(
        "The Hub has had too many requests from here; try again in {count} s, or set HF_TOKEN for a higher limit.",
        **answer,
        count=seconds,
    )


def _with_remedy(text: str, status: int, task: Uploading) -> str:
    created = task.created and status not in NOT_CREATED
    return f"{text} If {{name}} is there by now, say --force." if created else text


def _method(error: httpx.TransportError) -> str:
    try:
        return str(error.request.method)
    except RuntimeError:  # raised before there was a request
        return ""
