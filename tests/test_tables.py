"""Tables for visitors: whatever stands in a cell is shown by a spreadsheet, never run, and read back as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from demo_app.tables import clean, harmless, write_csv


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1+cmd", "@SUM(A1)", "\tfine", "\rfine", "\t=1", " =1", "\n@x"])
def test_a_formula_cannot_run(cell: str) -> None:
    assert harmless(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "fine", "-0.5", "+12", "1-2", "好"])
def test_a_harmless_cell_stays_as_it_is(cell: str) -> None:
    assert harmless(cell) == cell


def test_half_characters_become_question_marks() -> None:
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
