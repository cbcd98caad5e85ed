"""Training on pairs: from a CSV to a checkpoint that answers, and errors that name the row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from demo_app_image_text_fusion import evaluate, train
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.make_pairs import make_pairs
from demo_app_image_text_fusion.pairs import read_pairs
from PIL import Image

from demo_app import InputError

# Loss stands still until both are combined: these settings got there with each of 16 seeds
SHORT = (
    "--size 16 --patch 4 --width 32 --layers 1 --epochs 120 --patience 80 --batch-size 16 --learning-rate 0.006 "
    "--weight-decay 0.5 --dropout 0 --threads 1"
)


def write(file: Path, rows: list[list[str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows(rows)
    return file


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue pictures labelled warm or cold, rightly or wrongly: neither half alone gives the label."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    rows = [["image", "text", "label"]]
    for number in range(120):
        red, warm = number % 2, number // 2 % 2
        pixels = rng.integers(0, 90, (20, 20, 3), dtype=np.uint8)
        pixels[..., 0 if red else 2] += 150
        Image.fromarray(pixels).save(folder / f"{number}.png")
        words = ("a warm one", "warm indeed") if warm else ("a cold one", "cold indeed")
        rows.append([f"{number}.png", words[number % 3 % 2], "right" if red == warm else "wrong"])
    return write(folder / "pairs.csv", rows)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_what_needs_both_is_learned_from_both_alone(
    agreeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(["--data", str(agreeing), "--out", str(tmp_path / "out"), *SHORT.split()])
    result = last_line(capsys)
    assert result["both"] == 1.0
    assert result["image_only"] < 0.8
    assert result["text_only"] < 0.8
    assert result["by_class"]["right"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "examples": 12}
    answerer = Answerer.load(tmp_path / "out", "cpu")
    picture = Image.new("RGB", (50, 40), (200, 40, 40))
    found = answerer.ask(picture, ["a warm one", "cold indeed"]).argmax(1)
    assert [answerer.labels[place] for place in found.tolist()] == ["right", "wrong"]
    evaluate.main(["--checkpoint", str(tmp_path / "out"), "--data", str(agreeing)])
    measured = last_line(capsys)
    assert measured["accuracy"] == 1.0
    assert measured["examples"] == 120
    assert measured["image_only"] < 0.8


def test_a_seed_gives_the_same_bytes_and_another_others(agreeing: Path, tmp_path: Path) -> None:
    options = ["--data", str(agreeing), *SHORT.split(), "--epochs", "3", "--dropout", "0.1"]
    for name, seed in (("one", "3"), ("two", "3"), ("other", "4")):
        train.main([*options, "--out", str(tmp_path / name), "--seed", seed])
    one, two, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_a_checkpoint_can_be_gone_on_with_for_other_answers(
    agreeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(["--data", str(agreeing), "--out", str(tmp_path / "one"), *SHORT.split()])
    rows = list(csv.reader(agreeing.open(encoding="utf-8", newline="")))
    renamed = [rows[0], *([image, text, label.upper()] for image, text, label in rows[1:])]
    other = write(agreeing.with_name("other.csv"), renamed)
    options = ["--start", str(tmp_path / "one"), "--epochs", "12", "--learning-rate", "0.003", "--threads", "1"]
    train.main(["--data", str(other), "--out", str(tmp_path / "two"), *options])
    assert last_line(capsys)["both"] == 1.0
    assert Answerer.load(tmp_path / "two", "cpu").labels == ("RIGHT", "WRONG")


def test_what_scenes_learned_can_be_gone_on_with(
    agreeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--start", "scenes", "--epochs", "1", "--threads", "1"]
    train.main(["--data", str(agreeing), "--out", str(tmp_path), *options])
    assert set(last_line(capsys)["by_class"]) == {"right", "wrong"}
    config = Answerer.load(tmp_path, "cpu").network.config
    assert (config.labels, config.reading) == (("right", "wrong"), "found")


def test_rows_that_cannot_be_used_are_named_and_the_others_done(
    agreeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = list(csv.reader(agreeing.open(encoding="utf-8", newline="")))
    rows[3][0], rows[5][2] = "gone.png", ""
    broken = write(agreeing.with_name("broken.csv"), rows)
    train.main(["--data", str(broken), "--out", str(tmp_path), *SHORT.split(), "--epochs", "1"])
    assert last_line(capsys)["failed"] == 2
    said = [record.getMessage() for record in caplog.records]
    assert "row 3: gone.png is not there; check its name." in said
    assert "row 5: the label is empty; fill it in." in said


WRONG = {
    "no column": ([["picture", "text", "label"], ["a", "b", "c"]], "no column named 'image'"),
    "no rows": ([["image", "text", "label"]], "no rows"),
    "outside": ([["image", "text", "label"], ["../../etc/passwd", "b", "c"]], "outside of the folder"),
    "one class": ([["image", "text", "label"], ["0.png", "a", "x"], ["1.png", "b", "x"]], "1 classes"),
    "lonely": (
        [["image", "text", "label"], ["0.png", "a", "x"], ["1.png", "b", "x"], ["2.png", "b", "y"]],
        "one example",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_learned_from_is_one_sentence(agreeing: Path, tmp_path: Path, name: str) -> None:
    rows, sentence = WRONG[name]
    file = write(agreeing.with_name(f"{name}.csv"), rows)
    with pytest.raises(SystemExit, match=sentence):
        train.main(["--data", str(file), "--out", str(tmp_path), *SHORT.split()])


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x80binary")
    with pytest.raises(InputError, match="UTF-16; save it as UTF-8"):
        read_pairs(tmp_path / "a.csv", require_label=True)
    with pytest.raises(InputError, match="does not exist"):
        read_pairs(tmp_path / "none.csv", require_label=True)


def test_made_pairs_are_read(tmp_path: Path) -> None:
    pairs = read_pairs(make_pairs(tmp_path, 12, seed=1), require_label=True)
    assert len(pairs) == 12
    assert all(pair.picture.is_file() for pair in pairs)
    assert {pair.label for pair in pairs} == {"yes", "no"}
