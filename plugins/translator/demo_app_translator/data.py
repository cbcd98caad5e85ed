"""Pairs of sentences from two files with one sentence per line, or from a CSV with a column for each language."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo_app import InputError
from demo_app.inputs import tables


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, in the same order."""

    source: list[str]
    target: list[str]

    def __len__(self) -> int:
        return len(self.source)


def read_text(path: Path) -> str:
    """Read a UTF-8 file, gzipped or not. Raises `InputError` for any other file."""
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            "{path} cannot be read as UTF-8 text ({error}); check the file.", path=str(path), error=str(error)
        ) from error


def read_lines(source: Path, target: Path) -> Pairs:
    """Line n of one file is the translation of line n of the other. Raises `InputError` if they differ in length."""
    lines = [read_text(path).rstrip("\n").split("\n") for path in (source, target)]
    if len(lines[0]) != len(lines[1]):
        raise InputError(
            "{source} has {lines} lines and {target} {others}; line n of one must be the translation of line n of the "
            "other.",
            source=source.name,
            lines=len(lines[0]),
            target=target.name,
            others=len(lines[1]),
        )
    return Pairs(*lines)


def read_csv(path: Path, languages: Sequence[str]) -> Pairs:
    """The columns named after the two languages. Raises `InputError` as `demo_app.tables.read_csv` does."""
    rows = tables.read_csv(path, languages, max_bytes=None).rows
    return Pairs(*([row[language] for row in rows] for language in languages))


def read_pairs(source: Path | None, target: Path | None, data: Path | None, languages: Sequence[str]) -> Pairs:
    """Read what a command line names: --source and --target, or --data. Raises `InputError` if it names neither."""
    if data is not None:
        return read_csv(data, languages)
    if source is None or target is None:
        raise InputError("Name the sentences: --source FILE and --target FILE, or --data CSV.")
    return read_lines(source, target)
