"""CSV files: those that visitors upload, read within bounds, and those they download, safe to open in a spreadsheet.

    table = read_csv(path, ("text", "label"), max_rows=10_000)
    texts = [row["text"] for row in table.rows]

Imports neither gradio nor torch.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast

from demo_app.errors import InputError
from demo_app.inputs.text import clean, reason_of, short

ENCODINGS = ("utf-8-sig", "gb18030")  # the first reads UTF-8 with or without a byte order mark
SEPARATORS = (",", ";", "\t")  # spreadsheets write semicolons if the comma is the decimal point; the first wins
MAX_BYTES = 200 * 2**20  # unpacked; a larger file is no table of sentences, or was made to fill the memory
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_WHOLE = re.compile(r"-?\d{1,18}")
_HEAD = 2**16
_EMPTY = 1000  # lines allowed before the header
_LONGEST = 2**20  # characters of a line; csv itself reads the whole line before it checks anything


@dataclass(frozen=True, kw_only=True)
class Table:
    """The content of a CSV file. A wanted column has the name by which it was asked for."""

    columns: list[str]
    rows: list[dict[str, str]]  # each has all columns; "" if the row ends early in the file


def read_csv(
    source: Path | bytes,
    wanted: Sequence[str],
    *,
    optional: Sequence[str] = (),
    name: str = "",
    max_rows: int | None = None,
    max_bytes: int | None = MAX_BYTES,
) -> Table:
    """Read a CSV file, gzipped or not, or the bytes of one. Errors call it `name`; the default is the file's name.

    Column names match regardless of case and of spaces around them, since spreadsheets write "Text " where a program
    writes "text"; an exact match is preferred. The separator may be a semicolon or a tab, if the header has them. Reads
    at most `max_rows` rows and one.

    Raises `InputError` if the file is not a CSV or has another encoding, lacks a wanted column or has it twice, has no
    rows or more than `max_rows`, or unpacks to more than `max_bytes`.
    """
    name = short(name or (source.name if isinstance(source, Path) else "The table"))
    for encoding in ENCODINGS:
        with _opened(source, name, max_bytes) as file:
            try:
                _check_kind(file, name)
                lines = _lines(io.TextIOWrapper(file, encoding, newline=""))
                return _parse(_cells(lines, (*wanted, *optional)), wanted, optional, name, max_rows)
            except UnicodeDecodeError:
                continue
            except (OSError, EOFError) as error:  # gzip raises them in the middle of a file
                raise InputError(
                    "{name} cannot be read ({error}); check the file.", name=name, error=str(error)
                ) from error
            except csv.Error as error:
                if "field limit" in str(error):
                    raise InputError(
                        "{name} has a cell of more than {count} characters; shorten it, or close the quotation mark "
                        "before it.",
                        name=name,
                        count=f"{csv.field_size_limit():,}",
                    ) from error
                raise InputError(
                    "{name} is not a CSV file that can be read ({error}); export it again as CSV.",
                    name=name,
                    error=str(error),
                ) from error
    raise InputError("{name} is neither UTF-8 nor GB18030 text; save it as UTF-8.", name=name)


@contextmanager
def _opened(source: Path | bytes, name: str, max_bytes: int | None) -> Iterator[IO[bytes]]:
    """The content as a stream, unpacked if it is gzipped. Reading more than `max_bytes` of it raises `InputError`."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    except FileNotFoundError:
        raise InputError("{name} does not exist; check the path.", name=str(source)) from None
    except OSError as error:
        raise InputError(
            "{name} cannot be read ({error}); check the file.", name=name, error=reason_of(error)
        ) from error
    with file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
        yield io.BufferedReader(_Bounded(content, name, max_bytes), _HEAD)


class _Bounded(io.RawIOBase):
    """A stream that raises `InputError` once it has given more than `most` bytes."""

    def __init__(self, file: IO[bytes], name: str, most: int | None) -> None:
        self._file, self._name, self._most, self._given = file, name, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._most is not None and self._given > self._most:
            raise InputError(
                "{name} is larger than {size} MB; split it into smaller files.",
                name=self._name,
                size=self._most // 2**20,
            )
        return len(data)


def _check_kind(file: IO[bytes], name: str) -> None:
    """Raise `InputError` for UTF-16 and for binary files."""
    head = cast(io.BufferedReader, file).peek(_HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("{name} is encoded in UTF-16; save it as UTF-8.", name=name)
    if b"\x00" in head:
        raise InputError("{name} is a binary file, not a CSV; export the table as CSV.", name=name)


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    while line := file.readline(_LONGEST + 1):
        if len(line) > _LONGEST:
            raise csv.Error(f"a line of more than {_LONGEST:,} characters")
        yield line


def _cells(lines: Iterator[str], wanted: Sequence[str]) -> Iterator[list[str]]:
    """The lines, cut into cells by the separator that finds the most wanted columns in the header."""
    header = next((line for line in islice(lines, _EMPTY) if line.strip(",; \t\r\n")), "")
    names = {column.casefold() for column in wanted}

    def found(separator: str) -> int:
        return sum(cell.strip().casefold() in names for cell in next(csv.reader([header], delimiter=separator), []))

    return csv.reader(chain([header], lines), delimiter=max(SEPARATORS, key=found))


def _parse(
    lines: Iterator[list[str]], wanted: Sequence[str], optional: Sequence[str], name: str, max_rows: int | None
) -> Table:
    columns = _named([column.strip() for column in next(lines, [])], wanted, optional, name)
    rows: list[dict[str, str]] = []
    empty = 0
    for line in lines:
        if line:
            row = dict.fromkeys(columns, "")
            row.update(zip(columns, line, strict=False))  # cells beyond the end of the header have no name
            rows.append(row)
        else:
            empty += 1  # a megabyte of gzip can hold a thousand megabytes of empty lines
        if max_rows is not None and (len(rows) > max_rows or empty > max_rows + 1000):
            raise InputError(
                "{name} has more than {rows} rows; split it into smaller files.", name=name, rows=f"{max_rows:,}"
            )
    if not rows:
        raise InputError("{name} has a header but no rows; add some.", name=name)
    return Table(columns=columns, rows=rows)


def _named(columns: list[str], wanted: Sequence[str], optional: Sequence[str], name: str) -> list[str]:
    """The names of the columns; each wanted or optional one as it was asked for."""
    named = list(columns)
    for column in (*wanted, *optional):
        places = [i for i, written in enumerate(columns) if written == column]
        places = places or [i for i, written in enumerate(columns) if written.casefold() == column.casefold()]
        if len(places) > 1:
            raise InputError(
                "{name} has {count} columns named {column}; rename all but one.",
                name=name,
                count=len(places),
                column=repr(column),
            )
        if not places and column in wanted:
            raise InputError(
                "{name} has no column named {column} (its columns: {columns}); rename or add one.",
                name=name,
                column=repr(column),
                columns=", ".join(repr(short(known)) for known in columns[:12]) or "none",
            )
        for place in places:
            named[place] = column
    return named


def label_names(written: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels in the order of the classes: by number if all are whole numbers, else alphabetical.

    >>> label_names(["10", "9", "10"]), label_names(["10", "9", "none"])
    (('9', '10'), ('10', '9', 'none'))
    """
    distinct = sorted(set(written))
    if all(_WHOLE.fullmatch(label) for label in distinct):
        distinct.sort(key=int)
    return tuple(distinct)


def escape_formula(cell: str) -> str:
    """The cell with a leading apostrophe if a spreadsheet would run it as a formula (OWASP, CSV injection).

    >>> escape_formula("=1+1"), escape_formula("-0.5"), escape_formula("fine")
    ("'=1+1", '-0.5', 'fine')
    """
    risky = cell.startswith(("\t", "\r")) or cell.lstrip().startswith(("=", "+", "-", "@"))
    return "'" + cell if risky and not NUMBER.fullmatch(cell) else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table of texts, each through `clean` and `escape_formula`, in UTF-8 with the mark spreadsheets expect."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        for row in (columns, *rows):
            writer.writerow([escape_formula(clean(cell)) for cell in row])
