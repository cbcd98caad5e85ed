"""The files of a checkpoint's folder that may be published: weights as safetensors, texts and pictures, no secrets."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from demo_app.publishing.errors import PublishError
from demo_app.publishing.secrets import refuse_secrets
from demo_app.publishing.selection import selected
from demo_app.unsafe_files import is_unsafe

PLAIN = (
    *(".safetensors", ".json", ".jsonl", ".txt", ".md", ".csv", ".tsv", ".yaml", ".yml", ".jinja", ".vocab", ".merges"),
    *(".model", ".spm", ".png", ".jpg", ".jpeg", ".webp", ".svg"),
)
LEGAL = ("LICENSE", "NOTICE", "LICENCE")  # files that need no suffix


def plain_files(folder: Path, only: Collection[str] | None = None) -> dict[str, Path]:
    """The files of a checkpoint's folder by name, without hidden and ignored ones; with `only`, no others than those.

    Raises `PublishError` for a file that can run code, looks like a secret, is of an unknown kind, is no valid
    safetensors file, or is a link that leads out of the folder.
    """
    files = selected(folder, above=False, needed=only or ())
    files = {name: path for name, path in files.items() if only is None or name in only}
    refuse_secrets(files)
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
