"""Many pictures: a label for each, and how the labels agree with the folders that the pictures are in."""

# B batch, L labels, S pixels of a side

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from demo_app import InputError
from demo_app.i18n import say
from demo_app.inputs.archives import Entry
from demo_app.inputs.pictures import SUFFIXES, open_picture
from demo_app.inputs.tables import write_csv

if TYPE_CHECKING:
    from torch import Tensor

    from demo_app_separable_conv.classifier import Classifier

BATCH = 32  # pictures in memory at a time
CLASSES = 20  # rows of a confusion grid
OTHER = "others"  # the row and column of all further classes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one picture, or the reason why it has none."""

    name: str  # its path
    folder: str  # the innermost folder of the path, "" for none
    label: str = ""
    probability: float = 0.0
    problem: InputError | None = None  # why it could not be read; then there is no label

    def problem_text(self) -> str:
        """The problem in the visitor's language; "" without one."""
        return say(self.problem.text, **self.problem.values) if self.problem is not None else ""


def is_archive(path: Path) -> bool:
    """Whether a single upload should be opened as an archive, by its suffix; opening it finds what is wrong with it."""
    return path.suffix.lower() not in SUFFIXES


def classify_all(classifier: Classifier, entries: Sequence[Entry], batch_size: int = BATCH) -> Iterator[list[Answer]]:
    """The answers, batch by batch, in the order of the entries. A picture that cannot be read has a problem instead.

    Pictures are decoded one at a time, and only the network's input is kept: a PNG of 100 kB can hold a strip of 50
    megapixels, which takes 150 MB.
    """
    for start in range(0, len(entries), batch_size):
        batch = entries[start : start + batch_size]
        opened = [_open(classifier, entry) for entry in batch]
        found = iter(_best(classifier, [pixels for pixels in opened if not isinstance(pixels, InputError)]))
        answers = []
        for entry, pixels in zip(batch, opened, strict=True):
            if isinstance(pixels, InputError):
                answers.append(Answer(name=entry.name, folder=entry.label, problem=pixels))
            else:
                label, share = next(found)
                answers.append(Answer(name=entry.name, folder=entry.label, label=label, probability=share))
        yield answers


def _open(classifier: Classifier, entry: Entry) -> Tensor | InputError:
    """The network's input, (1, 3, S, S), or the problem with the picture."""
    try:
        picture = open_picture(entry.read(), at_least=classifier.at_least)  # at the scale of a single picture
    except InputError as error:
        return error
    return classifier.read(np.asarray(classifier.see(picture)))


def _best(classifier: Classifier, pictures: Sequence[Tensor]) -> list[tuple[str, float]]:
    """The likeliest label of each picture, and its probability."""
    if not pictures:
        return []
    import torch  # here, since counting and writing answers needs no torch

    x = torch.cat(list(pictures))  # (B, 3, S, S)
    shares, places = classifier.logits(x).softmax(-1).max(dim=1)
    return [(classifier.labels[place], share) for place, share in zip(places.tolist(), shares.tolist(), strict=True)]


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """A CSV file with a row for each picture. Problems are in English, as for programs."""
    rows = (
        [a.name, a.folder, a.label, f"{a.probability:.6f}" if a.label else "", str(a.problem or "")] for a in answers
    )
    write_csv(path, ["file", "folder", "label", "probability", "problem"], rows)


def counts(answers: Iterable[Answer]) -> list[tuple[str, int]]:
    """How many pictures got each label, the most frequent first."""
    return Counter(answer.label for answer in answers if answer.label).most_common()


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Folders against answers."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]  # (L, L), row: the folder, column: the answer
    accuracy: float  # share of the compared pictures whose folder is the answer
    compared: int  # pictures in a folder that has the name of a label


def confusion(answers: Iterable[Answer], labels: Sequence[str]) -> Confusion | None:
    """How folders and answers agree, for the pictures in folders that have the name of a label; `None` without any.

    Names are compared without regard to case, spaces, hyphens and underscores. The grid has the labels that occur, in
    the network's order, at most `CLASSES`: the most frequent by folder, then by answer; all others are `OTHER`.
    """
    known = {_simple(label): label for label in labels}
    pairs = [(known[name], a.label) for a in answers if a.label and (name := _simple(a.folder)) in known]
    if not pairs:
        return None
    often = [label for label, _ in Counter(folder for folder, _ in pairs).most_common()]
    often += [label for label, _ in Counter(answer for _, answer in pairs).most_common()]
    chosen = list(dict.fromkeys(often))
    kept = set(chosen if len(chosen) <= CLASSES else chosen[: CLASSES - 1])
    shown = [label for label in dict.fromkeys(labels) if label in kept] + ([OTHER] if len(chosen) > CLASSES else [])
    place = {label: i for i, label in enumerate(shown)}
    grid = np.zeros((len(shown), len(shown)), dtype=np.int64)
    for folder, answer in pairs:
        grid[place.get(folder, len(shown) - 1), place.get(answer, len(shown) - 1)] += 1
    same = sum(folder == answer for folder, answer in pairs)
    return Confusion(labels=tuple(shown), counts=grid, accuracy=same / len(pairs), compared=len(pairs))


def _simple(name: str) -> str:
    """The name as it is compared."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
