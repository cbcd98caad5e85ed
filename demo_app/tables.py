"""Tables that visitors take away: CSV files that spreadsheets open and never run."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def clean(text: str) -> str:
    """The text with half characters (lone surrogates), which JSON can carry and UTF-8 cannot, made question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def harmless(cell: str) -> str:
    """A cell that a spreadsheet shows and does not run (OWASP, CSV injection): a formula gets a leading apostrophe.

    >>> harmless("=1+1"), harmless("-0.5"), harmless("fine")
    ("'=1+1", '-0.5', 'fine')
    """
    risky = cell.startswith(("\t", "\r")) or cell.lstrip().startswith(("=", "+", "-", "@"))
    return "'" + cell if risky and not NUMBER.fullmatch(cell) else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of texts, each made `clean` and `harmless`; UTF-8 with the mark that spreadsheets look for."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        for row in (columns, *rows):
            writer.writerow([harmless(clean(cell)) for cell in row])
