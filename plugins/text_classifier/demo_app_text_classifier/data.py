"""Texts and labels from CSV files. Imports neither gradio nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo_app import InputError
from demo_app.inputs import tables


@dataclass(frozen=True)
class Rows:
    """A CSV file with a text column; `records` and `columns` keep everything else in it."""

    texts: list[str]
    labels: list[str] | None  # as written in the file; None if it has no label column
    columns: list[str]
    records: list[dict[str, str]]


def read_csv(path: Path, *, require_label: bool, max_rows: int | None = None) -> Rows:
    """Read a CSV file (.gz too) with a column `text` and, unless `require_label`, perhaps a column `label`.

    Raises `InputError` as `demo_app.tables.read_csv` does.
    """
    wanted = ("text", "label") if require_label else ("text",)
    table = tables.read_csv(path, wanted, optional=("label",), max_rows=max_rows)
    labels = [row["label"].strip() for row in table.rows] if "label" in table.columns else None
    return Rows([row["text"] for row in table.rows], labels, table.columns, table.rows)


def class_ids(written: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The class of each row, whose label is one of `labels` or its index in them.

    Raises `InputError` for any other label.
    """
    known = {str(place): place for place in range(len(labels))} | {label: place for place, label in enumerate(labels)}
    for label in written:
        if label not in known:
            raise InputError(
                "label {label} is unknown; use one of: {labels}, or its number from 0.",
                label=repr(label[:40]),
                labels=", ".join(labels),
            )
    return [known[label] for label in written]
