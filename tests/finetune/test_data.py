"""A visitor's own examples: they are found however they are packed, and every fault is a sentence."""

from __future__ import annotations

import gc
import gzip
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from demo_app import InputError
from demo_app.finetune.data import Data, Share, check, read_data, summary

TEXT, IMAGE, BOTH = ("text",), ("image",), ("image", "text")


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def csv(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return path


def texts(folder: Path, content: str, same: bool | None = None) -> Data:
    return read_data([csv(folder / "rows.csv", f"text,label\n{content}")], TEXT, max_rows=1000, same=same)


def folder_of(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    """A ZIP or a TAR, by the name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive_:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive_.addfile(member, io.BytesIO(data))
    return path


def pictures(data: Data) -> list[tuple[str, bytes]]:
    return [(example.label, example.picture()) for example in data.examples if example.picture is not None]


PETS = {"cat/1.png": png("red"), "cat/2.png": png("blue"), "dog/1.png": png("green"), "dog/2.png": png("white")}
WANTED = [(name.split("/")[0], data) for name, data in PETS.items()]
ROWS = "".join(f"{name},{name[:3]}\n" for name in PETS)


# --- texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_texts_and_labels_come_from_a_table_packed_or_not(tmp_path: Path, encoding: str) -> None:
    content = 'Label,id,TEXT\n好,1,"fine, 很好"\n坏,2,bad\n好,3,two\n坏,4,worse\n'.encode(encoding)
    (tmp_path / "rows.csv").write_bytes(content)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(content))
    for name in ("rows.csv", "rows.csv.gz"):
        data = read_data([tmp_path / name], TEXT, max_rows=4)
        check(data)
        assert [(e.row, e.label, e.text) for e in data.examples[:2]] == [(1, "好", "fine, 很好"), (2, "坏", "bad")]
        assert data.labels == ("坏", "好")
        assert data.counts == {"好": 2, "坏": 2}
        assert (data.problems, data.left_out, data.alike) == ((), 0, ())


def test_a_folder_with_one_table_is_that_table(tmp_path: Path) -> None:
    csv(tmp_path / "rows.csv", "text,label\na,1\n")
    (tmp_path / "notes.txt").write_text("nothing")
    assert [example.text for example in read_data([tmp_path], TEXT, max_rows=9).examples] == ["a"]
    csv(tmp_path / "more.csv", "text,label\na,1\n")
    with pytest.raises(InputError, match=r"2 tables \(more\.csv, rows\.csv\); give one"):
        read_data([tmp_path], TEXT, max_rows=9)


def test_numbers_as_labels_stand_in_their_order(tmp_path: Path) -> None:
    assert texts(tmp_path, "a,10\nb,9\nc,-1\n").labels == ("-1", "9", "10")


def test_rows_without_label_or_text_are_left_out_and_named(tmp_path: Path) -> None:
    data = texts(tmp_path, f"a,1\nb,\n ,1\nc,2\nd, \u200b\ne\nf,{'x' * 101}\n")
    assert [example.row for example in data.examples] == [1, 4]
    assert data.problems == (
        "row 2 has no label; write one.",
        "row 3 has no text; write some.",
        "row 5 has no label; write one.",
        "row 6 has no label; write one.",
        "row 7 has a label of 101 characters; use 100 at most.",
    )
    assert data.left_out == 5


def test_texts_with_two_labels_are_said_once_and_kept(tmp_path: Path) -> None:
    data = texts(tmp_path, "fine,good\nfine ,bad\nfine,good\nso,good\nso,bad\nno,bad\nyes,good\nyes,good\n")
    assert data.problems == ("More than one label has 'fine' (and 1 more); correct what is a slip.",)
    assert (len(data.examples), data.left_out) == (8, 0)


# --- labels that look alike

ALIKE = "a,joy\nb,Joy\nc,joy \nd,joy\ne,sad\nf, sad\ng,ＪＯＹ\nh, calm\ni,big  cat\nj,big cat\n"


def test_labels_that_look_alike_are_asked_about(tmp_path: Path) -> None:
    data = texts(tmp_path, ALIKE)
    assert data.alike == (("joy", "Joy", "joy ", "ＪＯＹ"), ("sad", " sad"), ("big  cat", "big cat"))
    assert data.counts["joy"] == 2
    assert data.counts["joy "] == 1
    assert data.counts["calm"] == 1  # nothing to ask: the space goes
    with pytest.raises(InputError, match=r"Do 'joy' and 'Joy' \(and 2 more\) mean the same\? Say so first\."):
        check(data)


def test_labels_that_mean_the_same_become_the_most_frequent(tmp_path: Path) -> None:
    data = texts(tmp_path, ALIKE, same=True)
    assert data.counts == {"joy": 5, "sad": 2, "calm": 1, "big  cat": 2}
    assert len(data.alike) == 3  # still there to be shown
    assert (data.same, data.problems) == (True, ())


def test_labels_that_do_not_mean_the_same_stay_apart(tmp_path: Path) -> None:
    data = texts(tmp_path, "a,joy\nb,Joy\na,Joy\nb,joy\n", same=False)
    check(data)
    assert data.counts == {"joy": 2, "Joy": 2}
    assert data.problems == ("More than one label has 'a' (and 1 more); correct what is a slip.",)
    assert texts(tmp_path, "a,joy\na,Joy\n", same=True).problems == ()


# --- pictures, however they are brought


@pytest.mark.parametrize("kind", ["folder", "folder in a folder", "zip", "tar", "tgz"])
def test_pictures_in_a_folder_a_class(tmp_path: Path, kind: str) -> None:
    if kind.startswith("folder"):
        source = folder_of(tmp_path / "pets", {f"{kind[7:]}/{name}".strip("/"): data for name, data in PETS.items()})
    else:
        source = packed(tmp_path / f"pets.{kind}", {f"pets/train/{name}": data for name, data in PETS.items()})
    data = read_data([source], IMAGE, max_rows=4)
    check(data)
    assert pictures(data) == WANTED  # after everything that read_data opened is out of sight
    assert [example.row for example in data.examples] == [1, 2, 3, 4]
    assert data.labels == ("cat", "dog")
    assert pictures(read_data([source], IMAGE, max_rows=4)) == WANTED


def test_several_archives_come_together(tmp_path: Path) -> None:
    cats = packed(tmp_path / "cats.zip", {name: data for name, data in PETS.items() if "cat" in name})
    dogs = packed(tmp_path / "dogs.zip", {name: data for name, data in PETS.items() if "dog" in name})
    assert pictures(read_data([cats, dogs], IMAGE, max_rows=4)) == WANTED
    with pytest.raises(InputError, match="There are 4 pictures and the limit is 3"):
        read_data([cats, dogs], IMAGE, max_rows=3)


@pytest.mark.parametrize("kind", ["zip", "tgz", "folder"])
@pytest.mark.parametrize("where", ["beside", "inside"])
def test_pictures_with_a_table(tmp_path: Path, kind: str, where: str) -> None:
    """The table's rows are in another order than the pictures, and name them from where the table lies."""
    rows = b"label,image\n" + b"".join(f"{name[:3]},./{name}\n".encode() for name in reversed(PETS))
    files = {f"pets/{name}": data for name, data in PETS.items()} | (
        {"pets/rows.csv": rows} if where == "inside" else {}
    )
    source = folder_of(tmp_path / "all", files) if kind == "folder" else packed(tmp_path / f"all.{kind}", files)
    sources = [source]
    if where == "beside":
        (tmp_path / "rows.csv").write_bytes(rows)
        sources.append(tmp_path / "rows.csv")
    data = read_data(sources, IMAGE, max_rows=4)
    check(data)
    assert sorted(pictures(data)) == sorted(WANTED)
    assert sorted(example.row for example in data.examples) == [1, 2, 3, 4]
    if kind == "tgz":  # in the order in which they lie there: backwards would unpack all before each
        assert [example.name for example in data.examples] == [f"pets/{name}" for name in PETS]


def test_pictures_one_by_one_with_a_table_that_knows_their_folder(tmp_path: Path) -> None:
    """A browser uploads files without their folders."""
    folder_of(tmp_path, {"a.png": png("red"), "b.png": png("blue")})
    table = csv(tmp_path / "rows.csv", "image,text,label\nphotos\\a.png,what?,yes\nphotos/b.png,who?,no\n")
    data = read_data([tmp_path / "a.png", table, tmp_path / "b.png"], BOTH, max_rows=9)
    assert [(e.label, e.text, e.name) for e in data.examples] == [("yes", "what?", "a.png"), ("no", "who?", "b.png")]
    csv(table, "image,label\ncat/a.png,cat\ndog/a.png,dog\nb.png,cat\n")  # which a.png is it?
    with pytest.raises(InputError, match=r"None of the pictures of class 'dog' is there \(the first is dog/a\.png\)"):
        read_data([tmp_path / "a.png", table, tmp_path / "b.png"], IMAGE, max_rows=9)


def test_pictures_beside_a_table_are_found_and_nothing_above_it(tmp_path: Path) -> None:
    folder_of(tmp_path / "data", {f"photos/{name}": data for name, data in PETS.items()})
    (tmp_path / "secret.png").write_bytes(png("black"))
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    outside = (
        f"../secret.png,cat\n{tmp_path}/secret.png,cat\nlink.png,cat\nphotos,cat\n{'x' * 5000},cat\n\x01.png,dog\n"
    )
    rows = "".join(f"photos/{name},{name[:3]}\n" for name in PETS)
    table = csv(tmp_path / "data" / "rows.csv", f"image,label\n{rows}{outside}")
    data = read_data([table], IMAGE, max_rows=99)
    assert pictures(data) == WANTED
    assert [problem.split(":")[0] for problem in data.problems] == [f"row {row}" for row in range(5, 11)]
    assert all("is not among the pictures; add it" in problem for problem in data.problems)
    assert all(len(problem) < 120 for problem in data.problems)


def test_an_archive_is_closed_with_the_last_of_its_pictures(tmp_path: Path) -> None:
    def handles() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before = handles()
    data = read_data([packed(tmp_path / "pets.zip", PETS)], IMAGE, max_rows=9)
    assert handles() == before + 1
    last = data.examples[3]
    del data
    assert last.picture is not None
    assert last.picture() == PETS["dog/2.png"]
    del last
    assert handles() == before
    for name in ("1.zip", "2.zip"):
        packed(tmp_path / name, {"rows.csv": b"image,label\na.png,1\n"})
    with pytest.raises(InputError, match="2 tables"):
        read_data([tmp_path / "1.zip", tmp_path / "2.zip"], IMAGE, max_rows=9)
    assert handles() == before


# --- pictures that are not there, or none


def test_rows_whose_picture_is_missing_or_none_are_left_out_and_named(tmp_path: Path) -> None:
    files = PETS | {
        "cat/text.png": b"just words",
        "cat/empty.png": b"",
        "cat/huge.png": huge(),
        "cat/left.png": png("red"),
    }
    more = "gone.png,cat\ncat/text.png,cat\n,cat\ncat/empty.png,cat\ncat/huge.png,cat\ncat/1.png,\n"
    table = csv(tmp_path / "rows.csv", f"image,label\n{ROWS}{more}")
    data = read_data([packed(tmp_path / "pets.zip", files), table], IMAGE, max_rows=99)
    assert pictures(data) == WANTED
    starts = [
        "row 5: gone.png is not among the pictures; add it",
        "row 6, cat/text.png: This file holds text, whatever its name says; use",
        "row 7 names no picture; write its name",
        "row 8, cat/empty.png: The file is empty",
        "row 9, cat/huge.png: The picture has 30,000 x 30,000 pixels",
        "row 10 has no label",
        "No row names cat/left.png; add rows",
    ]
    assert len(data.problems) == len(starts)
    for problem, start in zip(data.problems, starts, strict=True):
        assert problem.startswith(start)
    assert data.left_out == 6


def huge() -> bytes:
    """A PNG whose header says 30,000 x 30,000; what it would hold is not there."""
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    return png("red")[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png("red")[33:]


def test_pictures_without_a_folder_among_those_that_have_one_are_left_out(tmp_path: Path) -> None:
    data = read_data([folder_of(tmp_path, PETS | {"alone.png": png("red"), "cat/no.png": b"x"})], IMAGE, max_rows=9)
    assert pictures(data) == WANTED
    assert data.problems[0] == "picture 1, alone.png, lies in no folder; put it into that of its class."
    assert data.problems[1].startswith("picture 4, cat/no.png: This file holds text")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            ROWS + "a.png,fish\nb.png,fish\nb.png,Fish\n",
            r"None of the pictures of class 'fish' is there \(the first is a\.png \(and 2 more\)\)",
        ),
        (
            ROWS + "cat/no.png,fish\n",
            r"None of the pictures of class 'fish' can be read \(the first is cat/no\.png\)",
        ),
        ("a.png,fish\nb.png,cat\n", "None of the pictures of class 'fish' is there"),
        (ROWS + f"a.png,{'f' * 60}\n", f"class '{'f' * 39}…' is there"),
    ],
)
def test_a_class_without_any_of_its_pictures_is_refused(tmp_path: Path, rows: str, sentence: str) -> None:
    source = packed(tmp_path / "pets.zip", PETS | {"cat/no.png": b"words"})
    with pytest.raises(InputError, match=sentence):
        read_data([source, csv(tmp_path / "rows.csv", f"image,label\n{rows}")], IMAGE, max_rows=9)


def test_a_class_folder_without_any_picture_that_can_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"class 'fish' can be read \(the first is fish/a\.png\)"):
        read_data([packed(tmp_path / "pets.zip", PETS | {"fish/a.png": b"words"})], IMAGE, max_rows=9)


# --- what cannot be used at all


def refused(sources: list[Path], reads: tuple[str, ...], sentence: str, max_rows: int | None = 1000) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        read_data(sources, reads, max_rows=max_rows)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"review,stars\na,1\n", r"no column named 'text' \(its columns: 'review', 'stars'\); rename or add one"),
        (b"text,stars\na,1\n", "no column named 'label'"),
        (b"\x89PNG\r\n\x1a\n\x00", "binary file, not a CSV"),
        ("text,label\na,1\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"text,label\n", "a header but no rows"),
        (b"", "its columns: none"),
    ],
)
def test_a_table_that_is_none_or_another_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    refused([tmp_path / "rows.csv"], TEXT, sentence)
    packed(tmp_path / "pets.zip", {"a.png": png("red"), "rows.csv": content.replace(b"text", b"image")})
    refused([tmp_path / "pets.zip"], IMAGE, sentence.replace("text", "image"))


def test_no_data_at_all_are_asked_for(tmp_path: Path) -> None:
    refused([], TEXT, "There are no data yet; choose a file")
    refused([tmp_path / "rows.csv"], TEXT, "rows.csv does not exist; check the path")
    refused([tmp_path / "pets.zip"], IMAGE, "pets.zip cannot be read .*; check the path")
    refused([tmp_path / "a.png"], IMAGE, "a.png cannot be read .*; check the path")
    refused([tmp_path], TEXT, "There is no CSV, and one with the columns text and label is needed")
    refused([tmp_path], IMAGE, "holds no picture; use a JPEG")


def test_a_table_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    refused([packed(tmp_path / "pets.zip", PETS)], BOTH, "one with the columns image, text and label is needed; add it")
    refused(
        [packed(tmp_path / "flat.zip", {"a.png": png("red")})], IMAGE, "lie in no folders; put those.* or add a CSV"
    )
    (tmp_path / "a.png").write_bytes(png("red"))
    refused([tmp_path / "a.png"], IMAGE, "lie in no folders")


def test_two_tables_are_one_too_many(tmp_path: Path) -> None:
    tables = [csv(tmp_path / name, "image,text,label\na.png,a,1\n") for name in ("a.csv", "b.csv")]
    refused(tables, TEXT, r"2 tables \(a\.csv, b\.csv\); give one")
    refused(tables, IMAGE, r"2 tables \(a\.csv, b\.csv\); give one")


def test_a_million_rows_are_refused_at_once(tmp_path: Path) -> None:
    content = b"text,label\n" + b"some words in a row of their own,1\n" * 1_000_000
    (tmp_path / "rows.csv").write_bytes(content)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(content, 1))
    for name in ("rows.csv", "rows.csv.gz"):
        started = time.perf_counter()
        refused([tmp_path / name], TEXT, "more than 10,000 rows; split it", max_rows=10_000)
        assert time.perf_counter() - started < 1


def test_more_pictures_than_rows_may_be_are_refused(tmp_path: Path) -> None:
    refused([packed(tmp_path / "pets.zip", PETS)], IMAGE, "holds 4 pictures and the limit is 3; take fewer", max_rows=3)
    assert len(read_data([tmp_path / "pets.zip"], IMAGE, max_rows=None).examples) == 4


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("cat/1.png", "rows.csv"):
            with archive.open(name, "w") as member:
                for _ in range(60):
                    member.write(bytes(2**20))
    started = time.perf_counter()
    refused([tmp_path / "bomb.zip"], IMAGE, "unpacks to suspiciously much; leave it out")
    assert time.perf_counter() - started < 0.5


def test_a_table_in_an_archive_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    packed(tmp_path / "pets.zip", {"rows.csv": b"image,label\n" + b"a.png,some label\n" * 4_000_000})
    refused([tmp_path / "pets.zip"], IMAGE, r"rows\.csv has more than 50 MB")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    whole = packed(tmp_path / "pets.zip", PETS).read_bytes()
    (tmp_path / "pets.zip").write_bytes(whole[: len(whole) // 2])
    refused([tmp_path / "pets.zip"], IMAGE, "pets.zip is damaged or not complete; upload it again")
    refused([csv(tmp_path / "notes.txt", "hello")], IMAGE, "neither a ZIP nor a TAR; pack the pictures as ZIP")


# --- whether they can be learned from


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("a,\n ,1\n", r"None of the rows can be used: row 1 has no label; write one\."),
        ("a,1\n", "4 examples are needed at least, 2 of each class, and 1 can be used; add"),
        ("a,1\nb,2\n", "and 2 can be used; add"),
        ("a,1\nb,1\nc,1\nd,1\n", "All examples are of the class '1'; add some of another"),
        ("a,x\nb,x\nc,x\nd,y\n", "and there is only one of 'y'; add some, or leave it out"),
        ("a,x\nb,x\nc,y\nd,z\ne,u\nf,v\n", r"only one of 'u', 'v', 'y' \(and 1 more\); add"),
        ("".join(f"a{n},{n % 201}\n" for n in range(402)), "There are 201 classes and the limit is 200; check"),
        ("a,joy\nb,Joy\nc,sad\nd,sad\n", r"Do 'joy' and 'Joy' mean the same\? Say so first\."),
    ],
)
def test_what_cannot_be_learned_from_is_one_sentence(tmp_path: Path, rows: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check(texts(tmp_path, rows))


def test_two_of_each_class_are_enough(tmp_path: Path) -> None:
    check(texts(tmp_path, "a,x\nb,y\nc,x\nd,y\n"))


def test_the_summary_says_how_even_the_classes_are(tmp_path: Path) -> None:
    found = summary(texts(tmp_path, "a,x\nb,y\nc,x\nd,x\ne,\n"))
    assert found.classes == (Share(label="x", count=3, share=0.75), Share(label="y", count=1, share=0.25))
    assert (found.rows, found.left_out, found.balance) == (4, 1, 3.0)
    nothing = summary(texts(tmp_path, "a,\n"))
    assert (nothing.rows, nothing.left_out, nothing.classes, nothing.balance) == (0, 1, (), 1.0)


def test_neither_gradio_nor_torch_is_imported() -> None:
    code = "import sys, demo_app.finetune.data; print({'gradio', 'torch'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )
