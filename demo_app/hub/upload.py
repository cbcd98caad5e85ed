"""Upload files to a repository of the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from demo_app.errors import DemoError
from demo_app.hub.errors import HubBroken, HubError, NotFound, Offline, RateLimited

Files = Mapping[str, Path | bytes]

ASK = 4.5  # seconds for the first question to the Hub, which finds out whether it is there
REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


class Taken(HubError):
    """There is something where the files were to go, and nobody said --force."""


class Refused(HubError):
    """The Hub does not let this token write there."""


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """What became of an upload."""

    url: str  # of the repository's page
    commit: str  # 40 hex digits
    removed: tuple[str, ...] = ()  # files that were there before and no longer belong


# The Hub


def token(given: str | None = None) -> str:
    """The one that is given, else that in the environment.

    Raises `Refused` where it is none, and `Offline` where nobody shall be asked.
    """
    value = (os.environ.get("HF_TOKEN", "") if given is None else given).strip()
    if not value:
        raise Refused(
            f"HF_TOKEN is not set; make an access token that may write, at {endpoint()}/settings/tokens, and set it."
            if given is None
            else f"There is no token yet; make one that may write, at {endpoint()}/settings/tokens, and paste it."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise Refused(
            "HF_TOKEN has a character that no token has; copy the token again, whole, and set HF_TOKEN."
            if given is None
            else "The token has a character that no token has; copy it again, whole."
        )
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise Offline("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it, then try again.")
    return value


def check_name(repo_id: str) -> None:
    if not REPO_ID.fullmatch(repo_id):
        raise DemoError(f"{repo_id!r} is no repository; write USER/NAME.")


def upload(
    files: Files,
    repo_id: str,
    *,
    kind: Literal["model", "space"],
    message: str,
    private: bool = False,
    force: bool = False,
    hardware: str | None = None,
    owned: tuple[str, ...] = (),
    given: str | None = None,
) -> Uploaded:
    """Make the repository and put the files there, in one commit. Raises `HubError`; before the first file mostly.

    `force` allows one that is there already: its files are written over, and those under the folders in `owned` that
    are not among the new ones are removed (its history keeps them). `given` is a token to use in place of the one in
    the environment; it goes into the requests and nowhere else.
    """
    check_name(repo_id)
    secret = token(given)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    from demo_app.hub.download import install_client

    install_client()
    api = HfApi(endpoint=endpoint(), token=secret)
    where: dict[str, Any] = {"repo_id": repo_id, "repo_type": kind}
    before: list[str] | None = None  # its files, where it is there
    made = False
    try:
        try:
            info: Any = api.repo_info(**where, timeout=ASK)
            before = [sibling.rfilename for sibling in info.siblings or ()]
        except RepositoryNotFoundError:
            made = True
            space: dict[str, Any] = {"space_sdk": "gradio", "space_hardware": hardware} if kind == "space" else {}
            api.create_repo(**where, private=private or None, **space)
        if before is not None and not force:
            raise Taken(
                f"{repo_id} is on the Hub already; choose another name, or say --force to write over its files."
            )
        stale = [name for name in before or () if name.startswith(owned) and name not in files] if owned else []
        commit = api.create_commit(
            **where,
            operations=[
                *(CommitOperationDelete(path_in_repo=name) for name in stale),
                *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in files.items()),
            ],
            commit_message=message,
        )
    except Exception as error:
        found = _explain(error, repo_id, made)
        if found is error:
            raise
        raise found from error
    page = f"{endpoint()}/{'spaces/' if kind == 'space' else ''}{repo_id}"
    return Uploaded(url=page, commit=str(commit.oid), removed=tuple(stale))


def endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _explain(error: Exception, repo_id: str, made: bool) -> Exception:
    """The `HubError` that says what happened; an error that is no fault of the Hub's or the network's stays itself."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # whichever version it uses

    if isinstance(error, HubError):
        return error
    if isinstance(error, HFValidationError):
        return HubError(f"{repo_id!r} is no name for a repository; use letters, digits, '-', '_' and '.', up to 96.")
    if isinstance(error, HfHubHTTPError):
        return _answered(error, repo_id, made)
    host = httpx.URL(endpoint()).host
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Offline(f"The Hub ({host}) cannot be reached; check the network, then try again.")
    if isinstance(error, httpx.TimeoutException):
        return Offline(f"The Hub ({host}) does not answer; check the network, then try again.")
    if isinstance(error, httpx.HTTPError):
        return HubBroken(
            f"The connection to the Hub ({host}) broke; try again, with --force if {repo_id} is there now."
        )
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata"):
        said = " ".join(str(error).split())
        return HubError(f"The Hub does not take the header of README.md: {said}; mend it, then try again.")
    if isinstance(error, ValueError | KeyError):  # what answered speaks another language
        return HubBroken("What answers for the Hub is not one; check HF_ENDPOINT and the proxy, then try again.")
    return error


def _answered(error: Any, repo_id: str, made: bool) -> HubError:
    status: int = error.response.status_code
    said = (getattr(error, "server_message", None) or "").strip().rstrip(".")
    tokens = f"{endpoint()}/settings/tokens"
    of: dict[int, Callable[[], HubError]] = {
        401: lambda: Refused(f"The Hub does not know the token in HF_TOKEN (401); make a new one at {tokens}."),
        402: lambda: Refused(
            f"The Hub wants a paid plan for {repo_id} on this hardware (402); a free account may have Spaces on "
            "ZeroGPU: say --hardware zero-a10g, and leave out --cpu."
        ),
        403: lambda: Refused(
            f"HF_TOKEN may not write to {repo_id} (403): the name is somebody else's, or the token may only read; "
            f"choose a name of your own account, or make a token that may write at {tokens}."
        ),
        404: lambda: NotFound(f"{repo_id} is not there any more (404); try again."),
        409: lambda: Taken(
            f"{repo_id} was made or changed by somebody else just now (409); look at it, then try again."
        ),
        412: lambda: Taken(f"{repo_id} was changed by somebody else just now (412); look at it, then try again."),
        429: lambda: RateLimited("The Hub has had too many requests from here; try again in a few minutes."),
    }
    if status in of:
        found = of[status]()
    elif status >= 500:
        found = HubBroken(f"The Hub answered with an error of its own ({status}); try again in a minute.")
    else:
        found = HubBroken(
            f"The Hub refuses {repo_id} ({status}{': ' + said if said else ''}); mend that, then try again."
        )
    found.status = status
    if made and status not in (401, 402, 403):
        found.args = (f"{found} If {repo_id} is there by now, say --force.",)
    return found
