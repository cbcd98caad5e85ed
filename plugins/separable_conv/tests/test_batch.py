"""Many pictures: each has an answer or a problem, in order, and the comparison with folders adds up."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from demo_app_separable_conv import batch
from demo_app_separable_conv.batch import (
    CLASSES,
    OTHER,
    Answer,
    classify_all,
    confusion,
    counts,
    is_archive,
    write_answers,
)
from demo_app_separable_conv.classifier import Classifier
from PIL import Image

from demo_app import InputError
from demo_app.inputs.archives import pictures_in
from demo_app.inputs.pictures import open_picture

Make = Callable[[str], Classifier]


def picture(seed: int, kind: str = "png") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def answers_of(classifier: Classifier, source: Path, batch_size: int = 32) -> list[list[Answer]]:
    with pictures_in(source, max_pictures=100) as entries:
        return list(classify_all(classifier, entries, batch_size))


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new process that finds the same modules as this one."""
    found = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=found, capture_output=True, text=True, check=False, timeout=120)


def test_every_picture_gets_the_networks_answer_in_its_order(make: Make, tmp_path: Path) -> None:
    classifier = make("separable")
    files = {f"set/{'cat' if i % 2 else 'dog'}/{i:02}.png": picture(i) for i in range(7)}
    parts = answers_of(classifier, packed(tmp_path / "a.zip", files), 3)
    assert [len(part) for part in parts] == [3, 3, 1]  # never more in memory than was asked for
    found = [answer for part in parts for answer in part]
    assert [answer.name for answer in found] == sorted(files)
    for answer in found:
        pixels = classifier.prepare([Image.open(io.BytesIO(files[answer.name]))])
        with torch.no_grad():
            expected = classifier.network(pixels).logits.softmax(-1).max(dim=1)
        assert answer.label == classifier.labels[int(expected.indices)]
        assert answer.probability == pytest.approx(float(expected.values), abs=1e-4)
        assert answer.folder == answer.name.split("/")[1]


def test_a_photograph_gets_the_answer_that_it_gets_alone(embedded: Classifier, tmp_path: Path) -> None:
    """Decoded at another scale it would be another picture: the answer to coffee.jpg then differs by 0.01."""
    photograph = (Path(batch.__file__).parent / "assets" / "coffee.jpg").read_bytes()
    ((found,),) = answers_of(embedded, packed(tmp_path / "a.zip", {"coffee.jpg": photograph}))
    ((label, share),) = embedded.best([open_picture(photograph, at_least=embedded.at_least)])
    assert (found.label, found.probability) == (label, pytest.approx(share, abs=1e-4))


def test_a_damaged_picture_does_not_stop_the_others(make: Make, tmp_path: Path) -> None:
    files = {"cat/a.png": picture(0), "cat/b.jpg": picture(1, "jpeg")[:300], "c.png": b"", "d.png": picture(2)}
    (found,) = answers_of(make("separable"), packed(tmp_path / "a.zip", files))
    problems = {answer.name: str(answer.problem or "") for answer in found}
    assert "damaged or not complete" in problems["cat/b.jpg"]
    assert "zero bytes" in problems["c.png"]
    assert problems["cat/a.png"] == problems["d.png"] == ""
    assert {answer.name: bool(answer.label) for answer in found} == {
        name: not problem for name, problem in problems.items()
    }


def test_only_damaged_pictures_are_only_problems(make: Make, tmp_path: Path) -> None:
    (found,) = answers_of(make("dense"), packed(tmp_path / "a.zip", {"a.png": b"x", "b.png": b""}))
    assert all(answer.problem and not answer.label for answer in found)
    assert counts(found) == []
    assert confusion(found, ("cat", "dog", "ship")) is None


def test_large_pictures_are_in_memory_one_at_a_time(make: Make, tmp_path: Path) -> None:
    """Each takes 30 MB when decoded. A new process, since the peak of this one includes other tests."""
    file = io.BytesIO()
    Image.new("RGB", (50, 200_000)).save(file, "png")
    make("separable").save(tmp_path / "network")
    source = packed(tmp_path / "a.zip", {f"cat/{i}.png": file.getvalue() for i in range(16)})
    program = """
import resource, sys
from pathlib import Path
from demo_app.inputs.archives import pictures_in
from demo_app_separable_conv.batch import classify_all
from demo_app_separable_conv.classifier import Classifier
classifier = Classifier.load(Path(sys.argv[1]), "cpu")
def grown(entries):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ((*answers,),) = classify_all(classifier, entries)
    assert all(answer.label for answer in answers), answers
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
with pictures_in(sys.argv[2], max_pictures=100) as entries:
    grown(entries[:1])  # what one takes, and what the first call of anything takes
    print(grown(entries))
"""
    done = python(program, str(tmp_path / "network"), str(source))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 120, "MB for 15 more pictures; together they have 450"


def test_a_folder_tree_is_named_by_its_innermost_folders(make: Make, tmp_path: Path) -> None:
    for name in ("train/cat/=1, ü.png", "train/dog/b.png", "top.png"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(3))
    (found,) = answers_of(make("separable"), tmp_path / "set")
    named = {answer.name: answer.folder for answer in found}
    assert named == {"train/cat/=1, ü.png": "cat", "train/dog/b.png": "dog", "top.png": ""}


def test_importing_it_leaves_torch_out() -> None:
    done = python("import sys, demo_app_separable_conv.batch; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_the_table_has_a_row_for_each_and_nothing_in_it_can_run(tmp_path: Path) -> None:
    answers = [
        Answer(name="=cmd/1,2.png", folder="=cmd", label="cat", probability=0.25),
        Answer(name="猫.png", folder="", problem=InputError("It is damaged.")),
    ]
    write_answers(tmp_path / "a.csv", answers)
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [
            ["file", "folder", "label", "probability", "problem"],
            ["'=cmd/1,2.png", "'=cmd", "cat", "0.250000", ""],
            ["猫.png", "", "", "", "It is damaged."],
        ]


def said(folder: str, label: str) -> Answer:
    return Answer(name=f"{folder}/x.png", folder=folder, label=label, probability=1.0)


def test_the_grid_counts_folders_against_answers() -> None:
    answers = [said("cat", "cat"), said("Cat", "dog"), said("cat", "cat"), said("dog", "dog"), said("other", "cat")]
    found = confusion(answers, ("ship", "cat", "dog"))
    assert found is not None
    assert found.labels == ("cat", "dog")  # in the network's order, those that occur
    assert found.counts.tolist() == [[2, 1], [0, 1]]
    assert (found.accuracy, found.compared) == (0.75, 4)  # the folder that is no class is not compared
    assert counts(answers) == [("cat", 3), ("dog", 2)]


@pytest.mark.parametrize("folder", ["Fire-Truck", "fire_truck", "FIRE  TRUCK"])
def test_spelling_of_folders_does_not_matter(folder: str) -> None:
    found = confusion([said(folder, "fire truck")], ("fire truck", "cat"))
    assert found is not None
    assert found.accuracy == 1


def test_many_classes_are_the_most_frequent_and_the_others() -> None:
    labels = tuple(f"class {i}" for i in range(40))
    answers = [said(label, label) for i, label in enumerate(labels) for _ in range(1 + i)]
    found = confusion(answers, labels)
    assert found is not None
    assert found.labels == (*labels[40 - CLASSES + 1 :], OTHER)
    assert found.counts.sum() == len(answers)
    assert found.counts[-1, -1] == sum(range(1, 40 - CLASSES + 2))  # all that is not shown
    assert found.accuracy == 1


def test_what_is_not_shown_still_counts_where_it_was_wrong() -> None:
    labels = tuple(f"class {i}" for i in range(22))
    often = [said(label, label) for label in labels[:19] for _ in range(2)]
    found = confusion([*often, said("class 20", "class 21"), said("class 0", "class 20")], labels)
    assert found is not None
    assert found.labels == (*labels[:19], OTHER)
    assert found.counts[-1, -1] == 1  # two classes that are not shown, in one cell of the diagonal
    assert found.counts[0].tolist() == [2, *[0] * 18, 1]
    assert found.accuracy == pytest.approx(38 / 40)  # the diagonal would say 39


def test_a_label_that_two_classes_share_has_one_row() -> None:
    found = confusion([said("crane", "crane"), said("cat", "crane")], ("crane", "cat", "crane"))
    assert found is not None
    assert (found.labels, found.counts.tolist()) == (("crane", "cat"), [[1, 0], [1, 0]])


def test_a_lone_picture_is_no_archive() -> None:
    assert [is_archive(Path(name)) for name in ("a.jpg", "a.PNG", "a.zip", "a.tar.gz", "a")] == [0, 0, 1, 1, 1]
