"""A visitor's own examples: rows of a CSV, pictures in one folder per class, pictures with a CSV; and their faults.

    data = read_data([Path("pets.zip")], ("image",), max_rows=10_000)
    check(data)  # raises InputError if nothing can be learned from them
    data.examples[0].picture()  # bytes

Imports neither gradio nor torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image

from demo_app.errors import InputError
from demo_app.finetune.labels import and_more, is_blank, normalised, spellings
from demo_app.finetune.sources import TABLES, only_table, picture_finder, tables_in
from demo_app.i18n import say
from demo_app.inputs.archives import MAX_PIXELS, Entry, pictures_in
from demo_app.inputs.pictures import SUFFIXES, check_picture, open_picture
from demo_app.inputs.tables import MAX_BYTES, label_names, read_csv
from demo_app.inputs.text import short

MAX_CLASSES = 200
MAX_LABEL = 100  # characters; a longer one is probably a text in the wrong column
MAX_UNPACKED = 2 * 2**30  # bytes of an archive
UNBOUNDED = (10**7, 2**40)  # pictures and bytes, without `max_rows`


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text, a picture or both, and its label."""

    label: str
    text: str = ""
    picture: Callable[[], bytes] | None = None  # reads its bytes; keeps its archive open; raises `InputError`
    row: int = 0  # in the table, the first below the header is 1; or the number of the picture
    name: str = ""  # of the picture, with its folders


@dataclass(frozen=True, kw_only=True)
class Data:
    """Examples to learn from, and what was left out."""

    examples: tuple[Example, ...]
    labels: tuple[str, ...]  # the classes: by number if all are whole numbers, else alphabetically
    counts: Mapping[str, int]  # examples of each class
    problems: tuple[str, ...]  # a sentence for each row that is left out, then those about all rows
    left_out: int  # rows
    alike: tuple[tuple[str, ...], ...]  # groups of labels that look alike (see `read_data`), the most frequent first
    same: bool | None  # whether the labels of such a group are one class; None: not answered yet


@dataclass(frozen=True, kw_only=True)
class Share:
    """A class, and its share of the data."""

    label: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a page or a terminal shows of the data."""

    rows: int  # that can be used
    left_out: int
    classes: tuple[Share, ...]
    balance: float  # size of the largest class by that of the smallest; 1 is even


def read_data(sources: Sequence[Path], reads: Sequence[str], *, max_rows: int | None, same: bool | None = None) -> Data:
    """The examples in a visitor's files. `reads` is what each has beside its label: text, image or both.

    * ("text",): a CSV with the columns text and label, or a folder with one in it.
    * ("image",): pictures in one folder per class, in a folder, a ZIP or a TAR.
    * ("image",) or ("image", "text"): pictures, in any of these or one by one, and a CSV with the columns image, label
      and text, which may be among them. With a CSV alone the pictures are looked for beside it, and nowhere above.

    Labels may differ in capitals, spaces or Unicode form only. With `same` they become one class, spelled as the most
    frequent; with `same=False` they are different classes; with None too, until the question is answered (see `check`).
    Spaces around other labels are removed. Reading the same sources again, in another process too, gives the same data.
    Archives stay open as long as there are examples from them, and the examples come in the order in which they are
    quick to read.

    Of pictures in files only the header is read; those in archives are unpacked once, one at a time; none is decoded.
    A row without label, text or picture, or whose picture is not one, is left out and named in `problems`.

    Raises `InputError` for no source, files that cannot be read, no CSV where one is needed, two CSVs, wrong columns,
    more than `max_rows` rows or pictures, damaged archives or zip bombs, and a class without any of its pictures.
    """
    if not sources:
        raise InputError("There are no data yet; choose a file.")
    files = ExitStack()  # not closed on success: each picture holds it, and the archives close with the last of them
    try:
        found = _texts(sources, max_rows) if tuple(reads) == ("text",) else _pictures(sources, reads, max_rows, files)
    except BaseException:
        files.close()
        raise
    spelling, alike = spellings([example.label for example in found.examples], same)
    examples = tuple(replace(example, label=spelling[example.label]) for example in found.examples)
    return Data(
        examples=examples,
        labels=label_names(example.label for example in examples),
        counts=Counter(example.label for example in examples),
        problems=(*found.problems, *_contradictions(examples, apart=same is False), *found.remarks),
        left_out=len(found.problems),
        alike=alike,
        same=same,
    )


def open_example(example: Example, at_least: int) -> Image.Image:
    """The picture of an example, its shorter side at least that many pixels if it has them: see `open_picture`.

    Raises `InputError` with the picture's name if it is damaged further in than its header.
    """
    if example.picture is None:
        raise InputError("Example {row} has no picture; add one.", row=example.row)
    try:
        return open_picture(example.picture(), at_least=at_least)
    except InputError as error:
        name = short(example.name) or f"Picture {example.row}"
        raise InputError("{name}: {problem}", name=name, problem=_sentence(error)) from error


def check(data: Data) -> None:
    """Raises `InputError` if nothing can be learned from the data, or a question must be answered first."""
    count = len(data.examples)
    if not count:
        raise InputError("None of the rows can be used: {problem}", problem=data.problems[0])
    if count < 4:
        raise InputError(
            "4 examples are needed at least, 2 of each class, and {count} can be used; add some.", count=count
        )
    if data.alike and data.same is None:
        first, second = (short(label) for label in data.alike[0][:2])
        names = and_more(f"{first!r} and {second!r}", len(data.alike) - 1)
        raise InputError("Do {names} mean the same? Say so first.", names=names)
    if len(data.labels) == 1:
        label = repr(short(data.labels[0]))
        raise InputError("All examples are of the class {label}; add some of another.", label=label)
    if len(data.labels) > MAX_CLASSES:
        raise InputError(
            "There are {count} classes and the limit is {limit}; check what stands as labels.",
            count=f"{len(data.labels):,}",
            limit=MAX_CLASSES,
        )
    single = [label for label in data.labels if data.counts[label] < 2]
    if single:
        names = and_more(", ".join(repr(short(label)) for label in single[:3]), len(single) - 3)
        raise InputError(
            "A class needs 2 examples at least, and there is only one of {names}; add some, or leave it out.",
            names=names,
        )


def summary(data: Data) -> Summary:
    """The classes in their order, with counts and shares."""
    counts = [data.counts[label] for label in data.labels]
    total = sum(counts)
    return Summary(
        rows=total,
        left_out=data.left_out,
        classes=tuple(
            Share(label=label, count=count, share=count / total)
            for label, count in zip(data.labels, counts, strict=True)
        ),
        balance=max(counts) / min(counts) if counts else 1.0,
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was found so far, with labels as they are written."""

    examples: list[Example] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # one for each row that is left out
    remarks: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)  # label and name of each picture that was not found
    broken: list[tuple[str, str]] = field(default_factory=list)  # of each file that is not a picture

    def add_picture(self, label: str, text: str, picture: Entry, row: int, files: ExitStack) -> None:
        read = _Picture(entry=picture, files=files)
        self.examples.append(Example(label=label, text=text, picture=read, row=row, name=picture.name))

    def check_classes(self) -> None:
        """Raises `InputError` for a class that has lost all its pictures."""
        left = {normalised(example.label) for example in self.examples}
        if rows := [(label, name) for label, name in self.missing if normalised(label) not in left]:
            raise InputError(
                "None of the pictures of class {label} is there (the first is {name}); add them, or leave their rows "
                "out.",
                label=repr(short(rows[0][0].strip())),
                name=and_more(short(rows[0][1]), _of_first_label(rows) - 1),
            )
        if rows := [(label, name) for label, name in self.broken if normalised(label) not in left]:
            raise InputError(
                "None of the pictures of class {label} can be read (the first is {name}); save them anew, or leave "
                "them out.",
                label=repr(short(rows[0][0].strip())),
                name=and_more(short(rows[0][1]), _of_first_label(rows) - 1),
            )


@dataclass(frozen=True, kw_only=True)
class _Picture:
    entry: Entry
    files: ExitStack  # keeps its archive open

    def __call__(self) -> bytes:
        return self.entry.read()


def _texts(sources: Sequence[Path], max_rows: int | None) -> _Found:
    files = [file for source in sources for file in (tables_in(source) if source.is_dir() else [source])]
    columns = ("text", "label")
    file = only_table(files, columns)
    table = read_csv(file, columns, max_rows=max_rows, max_bytes=None if max_rows is None else MAX_BYTES)
    found = _Found()
    for number, row in enumerate(table.rows, start=1):
        if problem := _label_problem(number, row["label"]) or _text_problem(number, row["text"]):
            found.problems.append(problem)
        else:
            found.examples.append(Example(label=row["label"], text=row["text"], row=number))
    return found


def _pictures(sources: Sequence[Path], reads: Sequence[str], max_rows: int | None, files: ExitStack) -> _Found:
    most, size = (max_rows, MAX_UNPACKED) if max_rows is not None else UNBOUNDED
    pixels = MAX_PIXELS if max_rows is not None else None
    single: list[Path] = []
    places: list[Path | list[Path]] = []
    for source in sources:
        alone = source.name.lower().endswith((*SUFFIXES, *TABLES)) and source.is_file()
        (single if alone else places).append(source)
    entries: list[Entry] = []
    for place in [*places, single] if single else places:
        bounded = pictures_in(place, max_pictures=most, max_bytes=size, max_pixels=pixels, also=TABLES)
        entries += files.enter_context(bounded)
    tables = [entry for entry in entries if entry.name.lower().endswith(TABLES)]
    pictures = [entry for entry in entries if not entry.name.lower().endswith(TABLES)]
    if len(pictures) > most:
        raise InputError(
            "There are {count} pictures and the limit is {limit}; take fewer.",
            count=f"{len(pictures):,}",
            limit=f"{most:,}",
        )
    if tables or "text" in reads:
        columns = ("image", "text", "label") if "text" in reads else ("image", "label")
        return _named_by_table(only_table(tables, columns), columns, pictures, max_rows, files)
    return _in_folders(pictures, files)


def _in_folders(pictures: Sequence[Entry], files: ExitStack) -> _Found:
    """Pictures whose folder is their class."""
    if not any(picture.label for picture in pictures):
        raise InputError(
            "The pictures lie in no folders; put those of each class into one, or add a CSV with the columns image and "
            "label."
        )
    found = _Found()
    for number, picture in enumerate(pictures, start=1):
        name, problem = short(picture.name), _picture_problem(picture)
        if not picture.label:
            found.problems.append(
                say(
                    "picture {number}, {name}, lies in no folder; put it into that of its class.",
                    number=number,
                    name=name,
                )
            )
        elif problem:
            found.broken.append((picture.label, picture.name))
            found.problems.append(say("picture {number}, {name}: {problem}", number=number, name=name, problem=problem))
        else:
            found.add_picture(picture.label, "", picture, number, files)
    found.check_classes()
    return found


def _named_by_table(
    file: Entry, columns: Sequence[str], pictures: Sequence[Entry], max_rows: int | None, files: ExitStack
) -> _Found:
    """Pictures that the rows of a table name."""
    table_name = PurePosixPath(file.name).name
    rows = read_csv(file.path or file.read(), columns, name=table_name, max_rows=max_rows).rows
    find = picture_finder(file, pictures, [row["image"] for row in rows])
    picture_problem = lru_cache(maxsize=None)(_picture_problem)  # a picture may have many rows
    found, named = _Found(), set()
    for number, row in enumerate(rows, start=1):
        label, text, name = row["label"], row["text"] if "text" in columns else "", row["image"].strip()
        picture = find(name)
        named.add(picture)
        if problem := _label_problem(number, label) or (_text_problem(number, text) if "text" in columns else ""):
            found.problems.append(problem)
        elif not name:
            found.problems.append(say("row {row} names no picture; write its name.", row=number))
        elif picture is None:
            found.missing.append((label, name))
            found.problems.append(
                say(
                    "row {row}: {name} is not among the pictures; add it, or correct the name.",
                    row=number,
                    name=short(name),
                )
            )
        elif problem := picture_problem(picture):
            found.broken.append((label, name))
            found.problems.append(say("row {row}, {name}: {problem}", row=number, name=short(name), problem=problem))
        else:
            found.add_picture(label, text, picture, number, files)
    found.check_classes()
    places = {picture.name: place for place, picture in enumerate(pictures) if picture.path is None}
    found.examples.sort(key=lambda example: places.get(example.name, -1))  # a compressed TAR is only read forwards
    if unnamed := [picture.name for picture in pictures if picture not in named]:
        names = and_more(short(unnamed[0]), len(unnamed) - 1)
        found.remarks.append(say("No row names {names}; add rows for pictures that are to count.", names=names))
    return found


def _label_problem(number: int, label: str) -> str:
    if is_blank(label):
        return say("row {row} has no label; write one.", row=number)
    if len(label) > MAX_LABEL:
        return say(
            "row {row} has a label of {count} characters; use {limit} at most.",
            row=number,
            count=f"{len(label):,}",
            limit=MAX_LABEL,
        )
    return ""


def _text_problem(number: int, text: str) -> str:
    return say("row {row} has no text; write some.", row=number) if is_blank(text) else ""


def _picture_problem(picture: Entry) -> str:
    """Why the file is not a picture, by its header; empty if it is one."""
    try:
        check_picture(picture.path or picture.read())
    except InputError as error:
        return _sentence(error)
    return ""


def _sentence(error: InputError) -> str:
    """The error's sentence in the visitor's language."""
    return say(error.text, **error.values)


def _contradictions(examples: Sequence[Example], *, apart: bool) -> list[str]:
    """One sentence if the same text or picture has more than one label. `apart`: labels that look alike differ."""
    labels: dict[tuple[str, str], set[str]] = {}
    for example in examples:
        label = example.label if apart else normalised(example.label)
        labels.setdefault((example.text.strip(), example.name), set()).add(label)
    twice = [what for what, different in labels.items() if len(different) > 1]
    if not twice:
        return []
    text, name = twice[0]
    texts = and_more(repr(short(text or name)), len(twice) - 1)
    return [say("More than one label has {texts}; correct what is a slip.", texts=texts)]


def _of_first_label(rows: Sequence[tuple[str, str]]) -> int:
    """How many rows have the label of the first."""
    return sum(normalised(label) == normalised(rows[0][0]) for label, _ in rows)
