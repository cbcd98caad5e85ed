"""Labelled pairs: a CSV with the columns image, text and label, and the pictures that it names."""

# N examples, C classes

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from tqdm import tqdm

from demo_app import InputError
from demo_app.inputs.pictures import open_picture
from demo_app.inputs.tables import read_csv

if TYPE_CHECKING:
    from demo_app_image_text_fusion.answerer import Answerer

COLUMNS = ("image", "text", "label")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A row of the CSV: the picture's path, the text, and the label ("" where the file has none)."""

    row: int  # in the file, the first below the header is 1
    picture: Path
    text: str
    label: str


def read_pairs(file: Path, *, folder: Path | None = None, require_label: bool) -> list[Pair]:
    """The rows of a CSV. Pictures are in its folder or below it, or in `folder`.

    Raises `InputError` as `read_csv` does, and for a row that names a path outside the folder.
    """
    folder = (folder or file.parent).resolve()
    wanted, optional = (COLUMNS, ()) if require_label else (COLUMNS[:2], COLUMNS[2:])
    pairs = []
    for number, row in enumerate(read_csv(file, wanted, optional=optional).rows, start=1):
        picture = (folder / row["image"].strip()).resolve()
        if not picture.is_relative_to(folder):
            raise InputError(f"row {number} of {file.name} names a place outside of the folder; keep pictures in it.")
        pairs.append(Pair(row=number, picture=picture, text=row["text"], label=row.get("label", "").strip()))
    return pairs


def opened(pairs: Sequence[Pair], at_least: int) -> Iterator[tuple[Pair, Image.Image | str]]:
    """Each pair with its picture, or with the reason why it cannot be read."""
    for pair in tqdm(pairs, desc="read", file=sys.stderr, mininterval=2):
        try:
            if not pair.picture.is_file():
                raise InputError(f"{pair.picture.name} is not there; check its name.")
            yield pair, open_picture(pair.picture, at_least=at_least)
        except InputError as error:
            yield pair, str(error)


def on_pairs(answerer: Answerer, pairs: Sequence[Pair]) -> dict[str, float]:
    """Accuracy with both, with the picture alone and with the text alone; how many rows counted, and how many failed.

    Raises `InputError` for a label that the checkpoint does not have, and where no picture can be read.
    """
    right: dict[str, list[bool]] = {"accuracy": [], "image_only": [], "text_only": []}
    failed = 0
    for pair, picture in opened(pairs, answerer.at_least):
        if isinstance(picture, str):
            sys.stderr.write(f"row {pair.row}: {picture}\n")
            failed += 1
            continue
        if pair.label not in answerer.labels:
            raise InputError(f"row {pair.row}: {pair.label[:40]!r} is no answer of this checkpoint; correct it.")
        wanted = answerer.labels.index(pair.label)
        seen, heard = answerer.look(picture), answerer.listen([pair.text])
        for name, parts in (("accuracy", (seen, heard)), ("image_only", (seen, None)), ("text_only", (None, heard))):
            right[name].append(int(answerer.fuse(*parts).logits[0].argmax()) == wanted)
    if not right["accuracy"]:
        raise InputError("none of the pictures could be read; check the column 'image'.")
    shares = {name: round(sum(rows) / len(rows), 5) for name, rows in right.items()}
    return shares | {"examples": len(right["accuracy"]), "failed": failed}
