"""Many at once: tags of one picture, captions ranked, rows of a table."""

# N questions or rows

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from demo_app import InputError
from demo_app.i18n import say
from demo_app.inputs.archives import Entry
from demo_app.inputs.pictures import open_picture
from demo_app.inputs.tables import read_csv, write_csv
from demo_app_image_text_fusion.published import FITS

if TYPE_CHECKING:
    from demo_app_image_text_fusion.answerer import Answerer

# Tags and the questions that find them: of photographs, and of scenes
PHOTOGRAPH = (
    ("main object", "What is the main object in the picture?"),
    ("other object", "What else is in the picture?"),
    ("colour", "What is the main color?"),
    ("place", "Where was this picture taken?"),
    ("indoors", "Is this indoors or outdoors?"),
    ("people", "How many people are there?"),
    ("animal", "What animal is in the picture?"),
    ("action", "What is happening?"),
    ("weather", "How is the weather?"),
    ("time of day", "Is it day or night?"),
)
SCENE = tuple((f"{shape}s", f"how many {shape}s are there?") for shape in ("circle", "square", "triangle")) + tuple(
    (colour, f"how many {colour} things are there?")
    for colour in ("red", "green", "blue", "yellow", "purple", "orange")
)


def tags(answerer: Answerer, picture: Image.Image) -> list[tuple[str, str, float]]:
    """The name of each tag, its answer and the answer's score: all questions in one batch, the picture read once."""
    if answerer.labels == (FITS,):
        raise InputError("This checkpoint compares captions and answers no questions; choose another.")
    asked = PHOTOGRAPH if answerer.config.preparation == "vilt" else SCENE
    scores, places = answerer.ask(picture, [question for _, question in asked]).max(dim=1)
    found = zip(asked, places.tolist(), scores.tolist(), strict=True)
    return [(name, answerer.labels[place], score) for (name, _), place, score in found]


def fits(answerer: Answerer, picture: Image.Image, captions: Sequence[str]) -> list[float]:
    """How well each caption fits the picture, from 0 to 1, by a checkpoint that was trained to rank captions."""
    if answerer.labels != (FITS,):
        raise InputError("This checkpoint answers questions and does not rank captions; choose ViLT for captions.")
    return answerer.ask(picture, captions)[:, 0].tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table with its answer, or the reason why it has none."""

    number: int  # the first below the header is 1
    image: str
    text: str
    answer: str = ""
    score: float = 0.0
    problem: InputError | None = None

    def problem_text(self) -> str:
        """The problem in the visitor's language; "" without one."""
        return say(self.problem.text, **self.problem.values) if self.problem is not None else ""


def read_rows(file: Path, most: int) -> list[Row]:
    """The rows of a CSV with the columns image and text. Raises `InputError` as `read_csv` does."""
    table = read_csv(file, ("image", "text"), max_rows=most)
    return [Row(number=i, image=row["image"].strip(), text=row["text"]) for i, row in enumerate(table.rows, start=1)]


def answer_rows(answerer: Answerer, rows: Sequence[Row], pictures: Mapping[str, Entry]) -> Iterator[Row]:
    """Each row with its answer, or with its problem, which does not stop the others; rows about one picture together.

    So each picture is read once, however the table is sorted: reading a large one takes a second.
    """
    name, seen, problem = "", None, None
    first = {image: place for place, image in reversed(list(enumerate(row.image for row in rows)))}
    for row in sorted(rows, key=lambda row: first[row.image]):
        if row.image != name:
            name, seen, problem = row.image, None, None
            try:
                if row.image not in pictures:
                    raise InputError("the picture {name} is not among the uploaded ones.", name=repr(row.image[:80]))
                seen = answerer.look(open_picture(pictures[row.image].read(), at_least=answerer.at_least))
            except InputError as error:
                problem = error
        if seen is None:
            yield replace(row, problem=problem)
        elif not row.text.strip():
            yield replace(row, problem=InputError("the question is empty."))
        else:
            scores = answerer.scores(answerer.fuse(seen, answerer.listen([row.text])).logits)[0]
            place = int(scores.argmax())
            yield replace(row, answer=answerer.labels[place], score=float(scores[place]))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """The table that was read, with the columns answer, score and problem. Problems are in English, as for programs."""
    cells = ([r.image, r.text, r.answer, f"{r.score:.6f}" if r.answer else "", str(r.problem or "")] for r in rows)
    write_csv(path, ["image", "text", "answer", "score", "problem"], cells)
