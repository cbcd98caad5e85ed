"""One's own examples, and what is wrong with them: rows of a CSV, pictures in a folder a class, pictures with a CSV.

    data = read_data([Path("pets.zip")], ("image",), max_rows=10_000)
    check(data)  # raises InputError where nothing can be learned from them
    data.examples[0].picture()  # bytes

Imports neither gradio nor torch.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TypeVar

from PIL import Image

from demo_app.errors import InputError
from demo_app.inputs.archives import Entry, by_name, pictures_in
from demo_app.inputs.pictures import SUFFIXES, check_picture, open_picture
from demo_app.inputs.tables import MAX_BYTES, label_names, read_csv
from demo_app.inputs.text import short

T = TypeVar("T", Path, Entry)

TABLES = (".csv", ".csv.gz")  # how the name of a table ends
MAX_CLASSES = 200
MAX_LABEL = 100  # characters: more is a text in the wrong column
MAX_UNPACKED = 2 * 2**30  # bytes of an archive
UNBOUNDED = (10**7, 2**40)  # pictures and their bytes, where nobody says how many


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text, a picture or both, and what it is."""

    label: str
    text: str = ""
    picture: Callable[[], bytes] | None = None  # its bytes, as long as somebody has it; raises `InputError`
    row: int = 0  # in the table, the first below the header is 1; or the number of the picture
    name: str = ""  # of the picture, with its folders


@dataclass(frozen=True, kw_only=True)
class Data:
    """What can be learned from, and what was left out."""

    examples: tuple[Example, ...]
    labels: tuple[str, ...]  # the classes: by number where all are whole numbers, else by alphabet
    counts: Mapping[str, int]  # examples of each class
    problems: tuple[str, ...]  # a sentence for each row that is left out, then those about all of them
    left_out: int  # rows
    alike: tuple[tuple[str, ...], ...]  # groups of labels that look alike (see `read_data`), the most frequent first
    same: bool | None  # whether those of a group are one class; None: nobody has said so


@dataclass(frozen=True, kw_only=True)
class Share:
    """A class, and how much of the data it is."""

    label: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a page or a terminal shows of the data."""

    rows: int  # that can be used
    left_out: int
    classes: tuple[Share, ...]
    balance: float  # examples of the largest class to those of the smallest: 1 is even


def read_data(sources: Sequence[Path], reads: Sequence[str], *, max_rows: int | None, same: bool | None = None) -> Data:
    """The examples in what somebody uploads or names. `reads` is what each has beside its label: text, image or both.

    * ("text",): a CSV with the columns text and label, or a folder with one in it.
    * ("image",): pictures in a folder a class, in a folder, a ZIP or a TAR.
    * ("image",) or ("image", "text"): pictures, in any of these or one by one, and a CSV with the columns image, label
      and text, which may lie among them. With a CSV alone they are looked for beside it, and nowhere above.

    Some labels differ in nothing but capitals, spaces or Unicode form. With `same` they become one class, by the
    spelling that occurs most; with `same=False` they are classes of their own; with None they are too, until somebody
    has said so (see `check`). Spaces around a label go where there is no such question. Read again from the same
    sources, in another process too, the data are the same. Archives stay open as long as there are examples from them,
    which come in the order that is quick to read them in.

    Of pictures in files only the header is read, those in archives are unpacked once, one at a time; none is decoded.
    A row without a label, text or picture, or with a picture that is none, is left out and one of `problems`.

    Raises `InputError` for no source, files that cannot be read, no CSV where one is needed, two of them, wrong
    columns, more than `max_rows` rows or pictures, archives that are damaged or bombs, a class without its pictures.
    """
    if not sources:
        raise InputError("There are no data yet; choose a file.")
    files = ExitStack()  # never left on purpose: each picture has it, and the archives close with the last of them
    try:
        found = _texts(sources, max_rows) if tuple(reads) == ("text",) else _pictures(sources, reads, max_rows, files)
    except BaseException:
        files.close()
        raise
    spelled, alike = _spellings([example.label for example in found.examples], same)
    examples = tuple(replace(example, label=spelled[example.label]) for example in found.examples)
    return Data(
        examples=examples,
        labels=label_names(example.label for example in examples),
        counts=Counter(example.label for example in examples),
        problems=(*found.problems, *_contradictions(examples, apart=same is False), *found.remarks),
        left_out=len(found.problems),
        alike=alike,
        same=same,
    )


def opened(example: Example, at_least: int) -> Image.Image:
    """The picture of an example, its shorter side of so many pixels or more where it has them: see `open_picture`.

    Raises `InputError` that names it where it is damaged further in than its header tells.
    """
    if example.picture is None:
        raise InputError(f"Example {example.row} has no picture; add one.")
    try:
        return open_picture(example.picture(), at_least=at_least)
    except InputError as error:
        raise InputError(f"{short(example.name) or f'Picture {example.row}'}: {error}") from error


def check(data: Data) -> None:
    """Raises `InputError` where nothing can be learned from the data, or somebody has to be asked first."""
    count = len(data.examples)
    if not count:
        raise InputError(f"None of the rows can be used: {data.problems[0]}")
    if count < 4:
        raise InputError(f"4 examples are needed at least, 2 of each class, and {count} can be used; add some.")
    if data.alike and data.same is None:
        first, second = (short(label) for label in data.alike[0][:2])
        raise InputError(f"Do {first!r} and {second!r}{_others(len(data.alike) - 1)} mean the same? Say so first.")
    if len(data.labels) == 1:
        raise InputError(f"All examples are of the class {short(data.labels[0])!r}; add some of another.")
    if len(data.labels) > MAX_CLASSES:
        raise InputError(
            f"There are {len(data.labels):,} classes and the limit is {MAX_CLASSES}; check what stands as labels."
        )
    lonely = [label for label in data.labels if data.counts[label] < 2]
    if lonely:
        names = ", ".join(repr(short(label)) for label in lonely[:3]) + _others(len(lonely) - 3)
        raise InputError(
            f"A class needs 2 examples at least, and there is only one of {names}; add some, or leave it out."
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
    """What is found so far, the labels as they are written."""

    examples: list[Example] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # one for each row that is left out
    remarks: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)  # label and name of each picture that is not there
    broken: list[tuple[str, str]] = field(default_factory=list)  # of each that is none

    def keep(self, label: str, text: str, picture: Entry, row: int, files: ExitStack) -> None:
        given = _Picture(entry=picture, files=files)
        self.examples.append(Example(label=label, text=text, picture=given, row=row, name=picture.name))

    def check_classes(self) -> None:
        """Raises `InputError` for a class that has lost all its pictures."""
        left = {_key(example.label) for example in self.examples}
        if rows := [(label, name) for label, name in self.missing if _key(label) not in left]:
            raise InputError(
                f"None of the pictures of class {short(rows[0][0].strip())!r} is there (the first is "
                f"{short(rows[0][1])}{_others(_of_first(rows) - 1)}); add them, or leave their rows out."
            )
        if rows := [(label, name) for label, name in self.broken if _key(label) not in left]:
            raise InputError(
                f"None of the pictures of class {short(rows[0][0].strip())!r} can be read (the first is "
                f"{short(rows[0][1])}{_others(_of_first(rows) - 1)}); save them anew, or leave them out."
            )


@dataclass(frozen=True, kw_only=True)
class _Picture:
    entry: Entry
    files: ExitStack  # that keeps its archive open

    def __call__(self) -> bytes:
        return self.entry.read()


def _texts(sources: Sequence[Path], max_rows: int | None) -> _Found:
    files = [file for source in sources for file in (_tables_in(source) if source.is_dir() else [source])]
    wanted = ("text", "label")
    file = _only(files, wanted)
    table = read_csv(file, wanted, max_rows=max_rows, max_bytes=None if max_rows is None else MAX_BYTES)
    found = _Found()
    for number, row in enumerate(table.rows, start=1):
        if problem := _unlabelled(number, row["label"]) or _wordless(number, row["text"]):
            found.problems.append(problem)
        else:
            found.examples.append(Example(label=row["label"], text=row["text"], row=number))
    return found


def _pictures(sources: Sequence[Path], reads: Sequence[str], max_rows: int | None, files: ExitStack) -> _Found:
    most, size = (max_rows, MAX_UNPACKED) if max_rows is not None else UNBOUNDED
    single: list[Path] = []
    places: list[Path | list[Path]] = []
    for source in sources:
        alone = source.name.lower().endswith((*SUFFIXES, *TABLES)) and source.is_file()
        (single if alone else places).append(source)
    entries: list[Entry] = []
    for place in [*places, single] if single else places:
        entries += files.enter_context(pictures_in(place, max_pictures=most, max_bytes=size, also=TABLES))
    tables = [entry for entry in entries if entry.name.lower().endswith(TABLES)]
    pictures = [entry for entry in entries if not entry.name.lower().endswith(TABLES)]
    if len(pictures) > most:
        raise InputError(f"There are {len(pictures):,} pictures and the limit is {most:,}; take fewer.")
    if tables or "text" in reads:
        wanted = ("image", "text", "label") if "text" in reads else ("image", "label")
        return _named_in(_only(tables, wanted), wanted, pictures, max_rows, files)
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
        problem = _unreadable(picture)
        if not picture.label:
            found.problems.append(
                f"picture {number}, {short(picture.name)}, lies in no folder; put it into that of its class."
            )
        elif problem:
            found.broken.append((picture.label, picture.name))
            found.problems.append(f"picture {number}, {short(picture.name)}: {problem}")
        else:
            found.keep(picture.label, "", picture, number, files)
    found.check_classes()
    return found


def _named_in(
    file: Entry, wanted: Sequence[str], pictures: Sequence[Entry], max_rows: int | None, files: ExitStack
) -> _Found:
    """Pictures that rows of a table name."""
    name = PurePosixPath(file.name).name
    rows = read_csv(file.path or file.read(), wanted, name=name, max_rows=max_rows).rows
    find = _finder(file, pictures, [row["image"] for row in rows])
    unreadable = lru_cache(maxsize=None)(_unreadable)  # a picture may have many rows
    found, named = _Found(), set()
    for number, row in enumerate(rows, start=1):
        label, text, written = row["label"], row["text"] if "text" in wanted else "", row["image"].strip()
        picture = find(written)
        named.add(picture)
        if problem := _unlabelled(number, label) or (_wordless(number, text) if "text" in wanted else ""):
            found.problems.append(problem)
        elif not written:
            found.problems.append(f"row {number} names no picture; write its name.")
        elif picture is None:
            found.missing.append((label, written))
            found.problems.append(
                f"row {number}: {short(written)} is not among the pictures; add it, or correct the name."
            )
        elif problem := unreadable(picture):
            found.broken.append((label, written))
            found.problems.append(f"row {number}, {short(written)}: {problem}")
        else:
            found.keep(label, text, picture, number, files)
    found.check_classes()
    places = {picture.name: place for place, picture in enumerate(pictures) if picture.path is None}
    found.examples.sort(key=lambda example: places.get(example.name, -1))  # a packed TAR can only be read forwards
    if unnamed := [picture.name for picture in pictures if picture not in named]:
        found.remarks.append(
            f"No row names {short(unnamed[0])}{_others(len(unnamed) - 1)}; add rows for pictures that are to count."
        )
    return found


def _finder(file: Entry, pictures: Sequence[Entry], written: Sequence[str]) -> Callable[[str], Entry | None]:
    """What finds a picture by what a row calls it.

    From the folder of the table, by the whole name, by its end ("1.png" for "a/1.png") where one alone ends so, and the
    other way round for pictures that lie in no folder, as browsers upload them, where the rows name one alone that
    ends so. With no pictures at all: in files from the folder of the table, and nowhere above.
    """
    if not pictures and file.path is not None:
        folder = file.path.resolve().parent
        beside = {name: path for name in set(map(_tidy, written)) if name and (path := _inside(folder, name))}
        entries = {name: Entry.in_file(name, path) for name, path in beside.items()}
        return lambda name: entries.get(_tidy(name))
    whole = {picture.name: picture for picture in pictures}
    known = by_name(pictures)
    flat = Counter(PurePosixPath(name).name for name in set(map(_tidy, written)))
    folder_of_table = PurePosixPath(file.name).parent

    def find(name: str) -> Entry | None:
        name = _tidy(name)
        last = PurePosixPath(name).name
        found = whole.get(str(folder_of_table / name)) or known.get(name)
        return found or (whole.get(last) if flat[last] == 1 else None)

    return find


def _tidy(name: str) -> str:
    """With forward slashes and without `./`; "" for none."""
    return str(PurePosixPath(name.strip().replace("\\", "/"))) if name.strip() else ""


def _inside(folder: Path, name: str) -> Path | None:
    """The file of that name, if it is in the folder, whatever links say."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or has a zero in it
        return None


def _tables_in(folder: Path) -> list[Path]:
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    return [folder / name for name in names if name.lower().endswith(TABLES)]


def _only(tables: Sequence[T], wanted: Sequence[str]) -> T:
    """The one table. Raises `InputError` where there is none, or more."""
    if len(tables) > 1:
        names = ", ".join(short(table.name) for table in tables[:3])
        raise InputError(f"There are {len(tables):,} tables ({names}); give one.")
    if not tables:
        columns = f"{', '.join(wanted[:-1])} and {wanted[-1]}"
        raise InputError(f"There is no CSV, and one with the columns {columns} is needed; add it.")
    return tables[0]


def _unlabelled(number: int, label: str) -> str:
    if _blank(label):
        return f"row {number} has no label; write one."
    if len(label) > MAX_LABEL:
        return f"row {number} has a label of {len(label):,} characters; use {MAX_LABEL} at most."
    return ""


def _wordless(number: int, text: str) -> str:
    return f"row {number} has no text; write some." if _blank(text) else ""


def _unreadable(picture: Entry) -> str:
    """Why it is no picture, by its header."""
    try:
        check_picture(picture.path or picture.read())
    except InputError as error:
        return str(error)
    return ""


def _blank(text: str) -> bool:
    return not any(letter.isprintable() and not letter.isspace() for letter in text)


def _key(label: str) -> str:
    """What is the same for labels that look the same: without capitals, Unicode forms, spaces more than one, and
    characters that cannot be seen."""
    label = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return " ".join("".join(letter for letter in label if unicodedata.category(letter) != "Cf").split())


def _spellings(written: Sequence[str], same: bool | None) -> tuple[dict[str, str], tuple[tuple[str, ...], ...]]:
    """What each label becomes, and the groups of those that are alike, the most frequent of each first."""
    groups: dict[str, list[str]] = {}
    for label, _ in Counter(written).most_common():
        groups.setdefault(_key(label), []).append(label)
    spelled = {}
    for group in groups.values():
        for label in group:
            spelled[label] = label if len(group) > 1 and not same else group[0].strip()
    return spelled, tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _contradictions(examples: Sequence[Example], *, apart: bool) -> list[str]:
    """Whether the same text or picture has more than one label, in a sentence."""
    labels: dict[tuple[str, str], set[str]] = {}
    for example in examples:
        said = example.label if apart else _key(example.label)
        labels.setdefault((example.text.strip(), example.name), set()).add(said)
    twice = [what for what, said in labels.items() if len(said) > 1]
    if not twice:
        return []
    text, name = twice[0]
    return [f"More than one label has {short(text or name)!r}{_others(len(twice) - 1)}; correct what is a slip."]


def _of_first(rows: Sequence[tuple[str, str]]) -> int:
    """How many have the label of the first."""
    return sum(_key(label) == _key(rows[0][0]) for label, _ in rows)


def _others(count: int) -> str:
    return f" (and {count:,} more)" if count > 0 else ""
