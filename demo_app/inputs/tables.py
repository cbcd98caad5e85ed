"""Tables: CSV files that visitors bring, read with care, and those that they take away, which spreadsheets never run.

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
from demo_app.inputs.text import clean, short

ENCODINGS = ("utf-8-sig", "gb18030")  # the first reads UTF-8 with and without a byte order mark
SEPARATORS = (",", ";", "\t")  # spreadsheets write a semicolon where the comma is a decimal point; the first one wins
MAX_BYTES = 200 * 2**20  # unpacked: more is no table of sentences, or an archive made to fill the memory
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_WHOLE = re.compile(r"-?\d{1,18}")
_HEAD = 2**16
_EMPTY = 1000  # lines that may stand before the header
_LONGEST = 2**20  # characters of a line: csv itself would look at a line only once it has all of it


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a CSV file holds; a wanted column has the name by which it was asked for."""

    columns: list[str]
    rows: list[dict[str, str]]  # each with all columns: "" where a row of the file ends early


def read_csv(
    source: Path | bytes,
    wanted: Sequence[str],
    *,
    optional: Sequence[str] = (),
    name: str = "",
    max_rows: int | None = None,
    max_bytes: int | None = MAX_BYTES,
) -> Table:
    """The rows of a CSV file, packed by gzip or not, or of its bytes, called `name` in what is said about them.

    Columns are found whatever their capitals and the spaces around them: spreadsheets write "Text " where a program
    writes "text", and nobody means two things by that. The very name wins over another spelling of it. Semicolons or
    tabs may stand for the commas, if the header has them. No more is read than `max_rows` rows and one.

    Raises `InputError` for a file that is no CSV or is encoded otherwise, that lacks a wanted column or has it twice,
    that has no rows, more than `max_rows`, or more than `max_bytes` when unpacked.
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
            except (OSError, EOFError) as error:  # of gzip, in the midst of it
                raise InputError(f"{name} cannot be read ({error}); check the file.") from error
            except csv.Error as error:
                if "field limit" in str(error):
                    raise InputError(
                        f"{name} has a cell of more than {csv.field_size_limit():,} characters; shorten it, or close "
                        "the quotation mark before it."
                    ) from error
                raise InputError(
                    f"{name} is not a CSV file that can be read ({error}); export it again as CSV."
                ) from error
    raise InputError(f"{name} is neither UTF-8 nor GB18030 text; save it as UTF-8.")


@contextmanager
def _opened(source: Path | bytes, name: str, max_bytes: int | None) -> Iterator[IO[bytes]]:
    """The content as a stream, unpacked where it is gzipped, that ends in the sentence after `max_bytes`."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    except FileNotFoundError:
        raise InputError(f"{source!s} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}); check the file.") from error
    with file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
        yield io.BufferedReader(_Bounded(content, name, max_bytes), _HEAD)


class _Bounded(io.RawIOBase):
    """A stream that gives no more than so many bytes, and then the sentence."""

    def __init__(self, file: IO[bytes], name: str, most: int | None) -> None:
        self._file, self._name, self._most, self._given = file, name, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._most is not None and self._given > self._most:
            raise InputError(f"{self._name} is larger than {self._most // 2**20} MB; split it into smaller files.")
        return len(data)


def _check_kind(file: IO[bytes], name: str) -> None:
    head = cast(io.BufferedReader, file).peek(_HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{name} is encoded in UTF-16; save it as UTF-8.")
    if b"\x00" in head:
        raise InputError(f"{name} is a binary file, not a CSV; export the table as CSV.")


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    while line := file.readline(_LONGEST + 1):
        if len(line) > _LONGEST:
            raise csv.Error(f"a line of more than {_LONGEST:,} characters")
        yield line


def _cells(lines: Iterator[str], wanted: Sequence[str]) -> Iterator[list[str]]:
    """The lines, cut where the header says: by the separator that gives it the most of the wanted columns."""
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
            row.update(zip(columns, line, strict=False))  # what stands past the header's end has no name
            rows.append(row)
        else:
            empty += 1  # a megabyte of gzip can hold a thousand megabytes of them
        if max_rows is not None and (len(rows) > max_rows or empty > max_rows + 1000):
            raise InputError(f"{name} has more than {max_rows:,} rows; split it into smaller files.")
    if not rows:
        raise InputError(f"{name} has a header but no rows; add some.")
    return Table(columns=columns, rows=rows)


def _named(columns: list[str], wanted: Sequence[str], optional: Sequence[str], name: str) -> list[str]:
    """The columns, those that are looked for by the names that they are looked for by."""
    named = list(columns)
    for column in (*wanted, *optional):
        places = [i for i, written in enumerate(columns) if written == column]
        places = places or [i for i, written in enumerate(columns) if written.casefold() == column.casefold()]
        if len(places) > 1:
            raise InputError(f"{name} has {len(places)} columns named {column!r}; rename all but one.")
        if not places and column in wanted:
            there = ", ".join(repr(short(known)) for known in columns[:12]) or "none"
            raise InputError(f"{name} has no column named {column!r} (its columns: {there}); rename or add one.")
        for place in places:
            named[place] = column
    return named


def label_names(written: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels in the order of the classes: by number where all are whole numbers, else by alphabet.

    >>> label_names(["10", "9", "10"]), label_names(["10", "9", "none"])
    (('9', '10'), ('10', '9', 'none'))
    """
    distinct = sorted(set(written))
    if all(_WHOLE.fullmatch(label) for label in distinct):
        distinct.sort(key=int)
    return tuple(distinct)


def escape_formula(cell: str) -> str:
    """A cell that a spreadsheet shows and does not run (OWASP, CSV injection): a formula gets a leading apostrophe.

    >>> escape_formula("=1+1"), escape_formula("-0.5"), escape_formula("fine")
    ("'=1+1", '-0.5', 'fine')
    """
    risky = cell.startswith(("\t", "\r")) or cell.lstrip().startswith(("=", "+", "-", "@"))
    return "'" + cell if risky and not NUMBER.fullmatch(cell) else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of texts, each made `clean` and `escape_formula`; UTF-8 with the mark that spreadsheets look for."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        for row in (columns, *rows):
            writer.writerow([escape_formula(clean(cell)) for cell in row])
