"""Tables: uploads are read or refused with a sentence; downloads are shown by a spreadsheet and never run."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo_app import InputError
from demo_app.inputs.tables import escape_formula, label_names, read_csv, write_csv
from demo_app.inputs.text import clean, short


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1+cmd", "@SUM(A1)", "\tfine", "\rfine", "\t=1", " =1", "\n@x"])
def test_a_formula_cannot_run(cell: str) -> None:
    assert escape_formula(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "fine", "-0.5", "+12", "1-2", "好"])
def test_a_harmless_cell_stays_as_it_is(cell: str) -> None:
    assert escape_formula(cell) == cell


def test_lone_surrogates_become_question_marks() -> None:
    assert clean("a\ud83d好") == "a?好"


def test_a_table_is_read_back_as_it_was(tmp_path: Path) -> None:
    rows = [["a,b", 'say "no"', "two\nlines"], ["好", "", "-0.5"]]
    write_csv(tmp_path / "t.csv", ["one", "two", "three"], rows)
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf")  # or spreadsheets take it for Latin-1
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["one", "two", "three"], *rows]


def test_no_cell_of_a_table_can_run_or_break_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["=head"], [["=1+1"], ["x\udc80"]])
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["'=head"], ["'=1+1"], ["x?"]]


# --- tables that visitors bring

ROWS = [{"text": "好, 的", "label": "1", "more": "x"}, {"text": "two\nlines", "label": "0", "more": ""}]
CONTENT = 'text,label,more\n"好, 的",1,x\n\n"two\nlines",0\n'


@pytest.mark.parametrize(
    "data",
    [
        CONTENT.encode(),
        CONTENT.encode("utf-8-sig"),
        CONTENT.encode("gb18030"),
        gzip.compress(CONTENT.encode("gb18030")),
    ],
    ids=["utf-8", "with mark", "gb18030", "gzip"],
)
def test_a_table_is_read_in_its_usual_encodings_packed_or_not(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    for source in (tmp_path / "t.csv", data):
        table = read_csv(source, ("text", "label"))
        assert table.columns == ["text", "label", "more"]
        assert table.rows == ROWS


@pytest.mark.parametrize("before", ["\n\r\n", ",,\n", " \n"])
def test_empty_lines_before_the_header_are_skipped(before: str) -> None:
    assert read_csv((before + CONTENT).encode(), ("text", "label")).rows == ROWS


@pytest.mark.parametrize("separator", [";", "\t"], ids=["semicolon", "tab"])
def test_the_header_decides_the_separator(separator: str) -> None:
    content = CONTENT.replace("好, 的", "好; 的 \t").replace(",", separator)
    table = read_csv(content.encode(), ("text",), optional=("label",))
    assert table.columns == ["text", "label", "more"]
    assert [row["text"] for row in table.rows] == ["好; 的 \t", "two\nlines"]
    one_column = read_csv(f"text\none{separator} two, three\n".encode(), ("text",))
    assert one_column.rows == [{"text": f"one{separator} two"}]  # as ever, where the header does not tell


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["text"], [["a\r\nb"], ['"'], ["-0.5"]])
    assert [row["text"] for row in read_csv(tmp_path / "t.csv", ("text",)).rows] == ["a\r\nb", '"', "-0.5"]


def test_a_column_is_found_regardless_of_case_and_of_spaces_around_it() -> None:
    table = read_csv(b" Text ,LABEL,Id,ID\na,b,1,2\n", ("text",), optional=("label", "score"))
    assert table.columns == ["text", "label", "Id", "ID"]  # others stay as they are written
    assert table.rows == [{"text": "a", "label": "b", "Id": "1", "ID": "2"}]
    assert read_csv(b"Text,text\na,b\n", ("text",)).rows == [{"Text": "a", "text": "b"}]  # the very name wins


@pytest.mark.parametrize("row", [b"a,b,c,d\n", b"a\n"])
def test_a_row_that_is_too_long_or_too_short_is_a_row(row: bytes) -> None:
    (found,) = read_csv(b"text,label\n" + row, ("text", "label")).rows
    assert found == {"text": "a", "label": "b" if b"b" in row else ""}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b\n1,2\n", r"t\.csv has no column named 'text' \(its columns: 'a', 'b'\); rename or add one\."),
        (b"%b,b\n1,2\n" % (b"x" * 99), r"\(its columns: '%s…', 'b'\)" % ("x" * 39)),
        (b"", r"no column named 'text' \(its columns: none\)"),
        (b"Text,TEXT\na,b\n", "2 columns named 'text'; rename all but one"),
        (b"text\n\n", "a header but no rows"),
        (b"text\n" + b"x\n" * 11, "more than 10 rows; split it"),
        (gzip.compress(b"text\n" + b"\n" * 5000, mtime=0), "more than 10 rows"),
        (b"text\nx\n\xff\xfe\xff\n", "neither UTF-8 nor GB18030"),
        ("text\nx\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary file, not a CSV"),
        (gzip.compress(b"\x89PNG\r\n\x1a\n\x00\x00", mtime=0), "binary file, not a CSV"),
        (b"\x1f\x8bnot really", "cannot be read"),
        (gzip.compress(b"text\n" + bytes(range(33, 127)) * 99, mtime=0)[:-20], "cannot be read"),
        (b'text\n"' + b"x" * 200_000, "a cell of more than 131,072 characters; shorten it, or close the quot"),
        (b"text\n" + b"x," * 600_000, "a line of more than"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    for source in (tmp_path / "t.csv", content):
        with pytest.raises(InputError, match=sentence):
            read_csv(source, ("text",), name="t.csv", max_rows=10)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist; check the path"):
        read_csv(tmp_path / "nowhere.csv", ("text",))
    with pytest.raises(InputError, match="cannot be read"):
        read_csv(tmp_path, ("text",))


def test_a_million_rows_are_refused_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"text,label\n" + b"some words in a row of their own,1\n" * 1_000_000)
    started = time.thread_time()
    with pytest.raises(InputError, match="more than 10,000 rows"):
        read_csv(tmp_path / "t.csv", ("text", "label"), max_rows=10_000)
    assert time.thread_time() - started < 0.5


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"text,label\n")
        for _ in range(40):
            file.write((b"x" * 1000 + b",1\n") * 1000)
    with pytest.raises(InputError, match=r"t\.csv\.gz is larger than 8 MB; split it"):
        read_csv(tmp_path / "t.csv.gz", ("text",), max_bytes=8 * 2**20)
    assert len(read_csv(tmp_path / "t.csv.gz", ("text",), max_bytes=None).rows) == 40_000


def test_classes_are_sorted_by_number_or_alphabetically() -> None:
    assert label_names(["10", "2", "-1", "2"]) == ("-1", "2", "10")
    assert label_names(["joy", "anger", "joy"]) == ("anger", "joy")
    assert label_names(["2", "10", "--1"]) == ("--1", "10", "2")
    assert label_names(["02", "2", "1"]) == ("1", "02", "2")
    assert label_names(["9" * 5000, "1"]) == ("1", "9" * 5000)


def test_quoted_text_is_short_and_on_one_line() -> None:
    assert short("a\nb\ud83d") == "a b?"
    assert short("x" * 41) == "x" * 39 + "…"


def test_neither_gradio_nor_torch_is_imported() -> None:
    code = "import sys, demo_app.inputs.tables; print({'gradio', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
