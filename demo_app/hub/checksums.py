"""Verify files by their hash, once: the size and time of a verified file are remembered in its repository's folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from demo_app.api import Checkpoint
from demo_app.hub.files import repo_folder, snapshot

VERIFIED = ".demo-app.json"  # in a repository's folder of the cache: revision/file -> identity of the verified file

_verified_here: dict[Path, Mapping[str, object]] = {}  # by this process, for a cache that it may not write


def is_unverified(checkpoint: Checkpoint, file: str) -> bool:
    """Whether the file has not been verified yet, or has changed since. Reads no file of the checkpoint."""
    return _verified(checkpoint).get(f"{checkpoint.revision}/{file}") != _identity(checkpoint, file)


def verify(checkpoint: Checkpoint, file: str, check_stopped: Callable[[], None] = lambda: None) -> bool:
    """Whether the file is the published one. Reads it only if that is not known yet.

    `check_stopped` is called every few megabytes; what it raises ends the reading.
    """
    if not is_unverified(checkpoint, file):
        return True
    expected = _expected(checkpoint, file)
    if expected is not None and _digest(snapshot(checkpoint) / file, expected[0], check_stopped) != expected[1]:
        return False
    verified = {**_verified(checkpoint), f"{checkpoint.revision}/{file}": _identity(checkpoint, file)}
    path = repo_folder(checkpoint) / VERIFIED
    _verified_here[path] = verified
    with suppress(OSError):  # a cache that we may not write: the next start reads the files again
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(verified, indent=1), "utf-8")
        unfinished.replace(path)
    return True


def _expected(checkpoint: Checkpoint, file: str) -> tuple[str, str] | None:
    """(algorithm, digest): from the plugin, else from the name that the Hub gave the file; `None` without either.

    In the cache a file is a link to a blob that is named by its hash: sha256 for large files, git's sha1 for others.
    """
    if file in checkpoint.sha256:
        return "sha256", checkpoint.sha256[file]
    name = (snapshot(checkpoint) / file).resolve().name
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        return None  # a cache without links, as on Windows
    return ("sha256" if len(name) == 64 else "git", name)


def _identity(checkpoint: Checkpoint, file: str) -> list[object]:
    """What tells a verified file from a changed one: its size, its time, and the hash it was verified against."""
    stat = (snapshot(checkpoint) / file).stat()
    return [stat.st_size, stat.st_mtime_ns, *(_expected(checkpoint, file) or ())]


def _verified(checkpoint: Checkpoint) -> Mapping[str, object]:
    path = repo_folder(checkpoint) / VERIFIED
    try:
        verified = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        verified = None
    return verified if isinstance(verified, dict) else _verified_here.get(path, {})


def _digest(path: Path, algorithm: str, check_stopped: Callable[[], None]) -> str:
    digest = hashlib.sha256() if algorithm == "sha256" else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            check_stopped()
            digest.update(chunk)
    return digest.hexdigest()
