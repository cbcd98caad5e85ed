"""The files of a checkpoint's folder that may be published: weights as safetensors, texts and pictures."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from demo_app.publishing.errors import PublishError
from demo_app.unsafe_files import is_unsafe

PLAIN = (
    *(".safetensors", ".json", ".jsonl", ".txt", ".md", ".csv", ".tsv", ".yaml", ".yml", ".jinja", ".vocab", ".merges"),
    *(".model", ".spm", ".png", ".jpg", ".jpeg", ".webp", ".svg"),
)
LEGAL = ("LICENSE", "NOTICE", "LICENCE")  # files that need no suffix


def plain_files(folder: Path) -> dict[str, Path]:
    """All files of a checkpoint's folder by name, without hidden ones.

    Raises `PublishError` for a file that can run code, is of an unknown kind, or is no valid safetensors file.
    """
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {
        name.as_posix(): path
        for name, path in paths.items()
        if not any(part.startswith((".", "__pycache__")) for part in name.parts)
    }
    for name, path in files.items():
        suffix = PurePosixPath(name).suffix.lower()
        if is_unsafe(name) or _starts_like_a_pickle(path):
            raise PublishError(
                "{name} is a pickle, or may hold one, and can run code when it is loaded; save the weights as "
                "safetensors, and take {name} out of {folder}.",
                name=name,
                folder=str(folder),
            )
        if suffix not in PLAIN and not is_legal(name):
            raise PublishError(
                "{name} is neither weights nor text ({kinds}); take it out of {folder}.",
                name=name,
                kinds=", ".join(PLAIN),
                folder=str(folder),
            )
        if suffix == ".safetensors":
            _check_weights(path)
    return files


def is_legal(name: str) -> bool:
    """Whether the file holds a license or a notice."""
    return PurePosixPath(name).stem in LEGAL


def _starts_like_a_pickle(path: Path) -> bool:
    """Whether the content, whatever the name, is a pickle of protocol 2 or later, or a ZIP as torch.save writes."""
    with path.open("rb") as file:
        return re.match(rb"\x80[\x02-\x0f]|PK\x03\x04", file.read(4)) is not None


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        raise PublishError(
            "{name} is no safetensors file ({error}); save the weights again.", name=path.name, error=str(error)
        ) from None
