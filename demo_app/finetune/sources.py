"""Where tables and pictures are among a visitor's files, and which picture a row of a table means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from demo_app.errors import InputError
from demo_app.inputs.archives import Entry, by_name
from demo_app.inputs.text import short

T = TypeVar("T", Path, Entry)

TABLES = (".csv", ".csv.gz")  # suffixes of a table


def tables_in(folder: Path) -> list[Path]:
    """The tables directly in a folder, by name; hidden files do not count."""
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    return [folder / name for name in names if name.lower().endswith(TABLES)]


def only_table(tables: Sequence[T], columns: Sequence[str]) -> T:
    """The one table. Raises `InputError`, which names the needed columns, if there is none, or more than one."""
    if len(tables) > 1:
        names = ", ".join(short(table.name) for table in tables[:3])
        raise InputError("There are {count} tables ({names}); give one.", count=f"{len(tables):,}", names=names)
    if not tables:
        needed = f"{', '.join(columns[:-1])} and {columns[-1]}"
        raise InputError("There is no CSV, and one with the columns {columns} is needed; add it.", columns=needed)
    return tables[0]


def picture_finder(table: Entry, pictures: Sequence[Entry], names: Sequence[str]) -> Callable[[str], Entry | None]:
    """A function that finds the picture that a row names; `names` are those of all rows.

    It looks from the folder of the table, for the whole name, then for its end ("1.png" for "a/1.png") if one picture
    alone ends so. Pictures without a folder, as browsers upload them, are found by the end of the row's name if one row
    alone ends so. Without any pictures, it looks for files in the folder of the table, and nowhere above.
    """
    if not pictures and table.path is not None:
        folder = table.path.resolve().parent
        beside = {name: path for name in set(map(_tidy, names)) if name and (path := _file_inside(folder, name))}
        entries = {name: Entry.in_file(name, path) for name, path in beside.items()}
        return lambda name: entries.get(_tidy(name))
    whole = {picture.name: picture for picture in pictures}
    known = by_name(pictures)
    ends = Counter(PurePosixPath(name).name for name in set(map(_tidy, names)))
    folder_of_table = PurePosixPath(table.name).parent

    def find(name: str) -> Entry | None:
        name = _tidy(name)
        end = PurePosixPath(name).name
        found = whole.get(str(folder_of_table / name)) or known.get(name)
        return found or (whole.get(end) if ends[end] == 1 else None)

    return find


def _tidy(name: str) -> str:
    """With forward slashes and without `./`; an empty name stays empty."""
    return str(PurePosixPath(name.strip().replace("\\", "/"))) if name.strip() else ""


def _file_inside(folder: Path, name: str) -> Path | None:
    """The file of that name if it really is in the folder, links resolved."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return None
