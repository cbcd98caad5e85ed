"""The files of a repository that is about to be made, for `demo-app space` and `demo-app publish`.

`upload` puts them on the Hub in one commit; only it uses the network, and imports huggingface_hub.
"""

from __future__ import annotations

from pathlib import Path

from demo_app.errors import DemoError
from demo_app.hub.upload import Files

"""Name in the repository, and the file on this disk or its content."""


# Files


def size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def listing(files: Files) -> str:
    """One line a file with its size, and the sum."""
    sizes = {name: size(content) for name, content in sorted(files.items())}
    lines = [f"{count:>12,}  {name}" for name, count in sizes.items()]
    return "\n".join([*lines, f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files"]) + "\n"


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise `DemoError` where `write` must not write: into a folder that has files, unless `force` allows it.

    A clone of an empty repository counts as empty.
    """
    if folder.exists() and not folder.is_dir():
        raise DemoError(f"{folder} is a file; name a folder.")
    there = [path.name for path in folder.iterdir() if path.name != ".git"] if folder.is_dir() else []
    if there and not force:
        some = ", ".join(sorted(there)[:3])
        raise DemoError(f"{folder} is not empty ({some}); name another folder, or say --force to write over its files.")


def write(files: Files, folder: Path, *, force: bool) -> None:
    """Write the files into a folder; with `force` over those that are there, of which none is removed.

    Raises `DemoError`.
    """
    check_folder(folder, force=force)
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    except OSError as error:
        raise DemoError(f"{error.filename or folder} cannot be written ({error.strerror}); check the folder.") from None
