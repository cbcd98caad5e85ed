"""The files of a repository before it is uploaded: listed, or written into a folder. Uses no network."""

from __future__ import annotations

from pathlib import Path

from demo_app.errors import DemoError
from demo_app.hub.upload import Files


def size(content: Path | bytes) -> int:
    """Bytes of a file or of its content."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def listing(files: Files) -> str:
    """One line for each file with its bytes, and the total."""
    sizes = {name: size(content) for name, content in sorted(files.items())}
    lines = [f"{count:>12,}  {name}" for name, count in sizes.items()]
    return "\n".join([*lines, f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files"]) + "\n"


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise `DemoError` if `write` must not write there: to a file, or into a folder that has files unless `force`.

    A clone of an empty repository counts as empty.
    """
    if folder.exists() and not folder.is_dir():
        raise DemoError(f"{folder} is a file; name a folder.")
    existing = [path.name for path in folder.iterdir() if path.name != ".git"] if folder.is_dir() else []
    if existing and not force:
        some = ", ".join(sorted(existing)[:3])
        raise DemoError(f"{folder} is not empty ({some}); name another folder, or say --force to write over its files.")


def write(files: Files, folder: Path, *, force: bool) -> None:
    """Write the files into a folder. With `force` existing files may be overwritten; none is removed.

    Raises `DemoError` if the folder must not or cannot be written to.
    """
    check_folder(folder, force=force)
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    except OSError as error:
        raise DemoError(f"{error.filename or folder} cannot be written ({error.strerror}); check the folder.") from None
