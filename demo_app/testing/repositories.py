"""Repositories of the test Hub: their commits and files, and how the Hub's API describes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

LARGE = (".safetensors", ".bin", ".spm", ".onnx")  # stored apart from the repository, under their sha256
LARGE_FROM = 10_000_000  # bytes; a larger file is stored apart too, whatever its name
FRONT_MATTER = re.compile(r"---\s*\n(?P<yaml>.*?)\n---\s*(?:\n|$)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repository at the last commit of its only branch, `main`."""

    files: Mapping[str, bytes]
    sha: str
    gated: bool = False
    private: bool = False
    sdk: str | None = None  # of a Space
    earlier: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  # files by commit

    def at(self, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """The commit and its files; `None` if there is no such commit."""
        if revision in ("main", self.sha):
            return self.sha, self.files
        return (revision, self.earlier[revision]) if revision in self.earlier else None


def commit_id(files: Mapping[str, bytes], parent: str = "") -> str:
    """40 hex digits for a commit with these files after the commit `parent`."""
    content = b"".join(name.encode() + data for name, data in sorted(files.items()))
    return hashlib.sha1(parent.encode() + content).hexdigest()


def blob_id(data: bytes) -> str:
    """Git's id of a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name: str, data: bytes) -> bool:
    """Whether the Hub stores the file apart, as LFS does."""
    return name.endswith(LARGE) or len(data) > LARGE_FROM


def facts(repo_id: str, repo: Repo, sha: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The answer to `model_info` and `space_info`, for the commit `sha`."""
    name = "/".join(repo_id.split("/")[-2:])
    return {
        "_id": "0" * 24,
        "id": name,
        "modelId": name,
        "sha": sha,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "sdk": repo.sdk,
        "createdAt": "2024-01-01T00:00:00.000Z",
        "lastModified": "2024-01-01T00:00:00.000Z",
        "cardData": header(files.get("README.md", b"").decode()),
        "siblings": [_sibling(file, data) for file, data in files.items()],
    }


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    listed = entry(name, data)
    sibling = {"rfilename": name, "size": len(data), "blobId": listed["oid"]}
    return sibling | ({"lfs": {"sha256": listed["lfs"]["oid"], **listed["lfs"]}} if "lfs" in listed else {})


def entry(name: str, data: bytes) -> dict[str, Any]:
    """A file in the list of a repository's files."""
    listed = {"type": "file", "path": name, "size": len(data), "oid": blob_id(data)}
    if not is_large(name, data):
        return listed
    return listed | {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}


def upload_mode(path: str, size: int, existing: bytes | None) -> dict[str, Any]:
    """How a client has to send a file of this name and size, and the hash of the existing file of that name."""
    large = path.endswith(LARGE) or size > LARGE_FROM
    oid = None
    if existing is not None:
        oid = hashlib.sha256(existing).hexdigest() if large else blob_id(existing)
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def header(text: str) -> Any:
    """The YAML at the start of a README. Raises `yaml.YAMLError`."""
    front = FRONT_MATTER.match(text)
    return yaml.safe_load(front["yaml"]) if front else {}
