"""Files are trusted once their hash was checked, which is done once: size and time of the file are remembered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from demo_app.api import Checkpoint
from demo_app.hub.files import repo_folder, snapshot

if TYPE_CHECKING:
    from demo_app.hub.download import Download
PROOFS = ".demo-app.json"  # in a repository's folder of the cache: which files were read and found right


def _expected(checkpoint: Checkpoint, file: str) -> tuple[str, str] | None:
    """(algorithm, digest) of a file: the plugin's own, else the one that the Hub named it by; `None` if neither is.

    In the cache a file is a link to a blob whose name is its hash: sha256 for large files, git's sha1 for others.
    """
    if file in checkpoint.sha256:
        return "sha256", checkpoint.sha256[file]
    name = (snapshot(checkpoint) / file).resolve().name
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        return None  # a cache without links, as on Windows
    return ("sha256" if len(name) == 64 else "git", name)


def _identity(checkpoint: Checkpoint, file: str) -> list[object]:
    """What makes a file the one that was checked: its size, its time, and what it was checked against."""
    stat = (snapshot(checkpoint) / file).stat()
    return [stat.st_size, stat.st_mtime_ns, *(_expected(checkpoint, file) or ())]


def is_unverified(checkpoint: Checkpoint, file: str) -> bool:
    return _proofs(checkpoint).get(f"{checkpoint.revision}/{file}") != _identity(checkpoint, file)


def verify(checkpoint: Checkpoint, file: str, download: Download) -> bool:
    """Whether the file is the published one; it is read once, and the result remembered beside the repository."""
    if not is_unverified(checkpoint, file):
        return True
    expected = _expected(checkpoint, file)
    if expected is not None and _digest(snapshot(checkpoint) / file, expected[0], download) != expected[1]:
        return False
    proofs = {**_proofs(checkpoint), f"{checkpoint.revision}/{file}": _identity(checkpoint, file)}
    path = repo_folder(checkpoint) / PROOFS
    with suppress(OSError):  # a cache that others own: then files are read again at the next start
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(proofs, indent=1), "utf-8")
        unfinished.replace(path)
    return True


def _proofs(checkpoint: Checkpoint) -> Mapping[str, object]:
    try:
        proofs = json.loads((repo_folder(checkpoint) / PROOFS).read_text("utf-8"))
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
