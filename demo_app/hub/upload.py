"""Upload files to a repository of the Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from demo_app.errors import DemoError
from demo_app.hub.access import endpoint, token
from demo_app.hub.errors import Taken

Files = Mapping[str, Path | bytes]  # by name in the repository

ASK = 4.5  # seconds for the answer to the first request, which finds out whether the Hub is there
REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """What an upload did."""

    url: str  # of the repository's page
    commit: str  # 40 hex digits
    removed: tuple[str, ...] = ()  # files of an earlier upload that no longer belong


def check_name(repo_id: str) -> None:
    """Raise `DemoError` unless the name reads USER/NAME."""
    if not REPO_ID.fullmatch(repo_id):
        raise DemoError("{name} is no repository; write USER/NAME.", name=repr(repo_id))


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
    """Make the repository and put the files there, in one commit.

    `force` allows a repository that exists: its files are overwritten, and those under the folders in `owned` that are
    not among the new ones are removed (its history keeps them). `given` is a token to use instead of the one in the
    environment; it goes into the requests and nowhere else.

    Raises `HubError`, in most cases before the first file is sent, and `DemoError` for a name that cannot be one.
    """
    check_name(repo_id)
    secret = token(given)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    from demo_app.hub import client, faults, network

    network.check()
    client.prepare()
    api = HfApi(endpoint=endpoint(), token=secret)
    where: dict[str, Any] = {"repo_id": repo_id, "repo_type": kind}
    before: list[str] | None = None  # the files of a repository that exists
    created = False
    try:
        try:
            info: Any = api.repo_info(**where, timeout=ASK)
            before = [sibling.rfilename for sibling in info.siblings or ()]
        except RepositoryNotFoundError:
            created = True
            space: dict[str, Any] = {"space_sdk": "gradio", "space_hardware": hardware} if kind == "space" else {}
            api.create_repo(**where, private=private or None, **space)
        if before is not None and not force:
            raise Taken(
                "{name} is on the Hub already; choose another name, or say --force to write over its files.",
                name=repo_id,
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
        found = faults.explain(error, faults.Uploading(name=repo_id, created=created))
    else:
        page = f"{endpoint()}/{'spaces/' if kind == 'space' else ''}{repo_id}"
        return Uploaded(url=page, commit=str(commit.oid), removed=tuple(stale))
    raise found
