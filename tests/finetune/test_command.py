"""`demo-app finetune`: from a table to a checkpoint that the page can use."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from demo_app_text_classifier.sample import write

from demo_app.cli.main import main
from demo_app.hub.card import split_header
from demo_app.registry.loading import load_plugins
from demo_app.settings import Settings

ROOT = Path(__file__).parents[2]
PLUGINS = ["--plugins-dir", str(ROOT / "plugins")]


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    return write(tmp_path)[0]


def finetune(*arguments: str | Path) -> int:
    return main(["finetune", *map(str, arguments), *PLUGINS])


def test_a_checkpoint_with_its_card_is_what_the_page_can_use(
    topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "topics"
    assert (
        finetune("text_classifier/sst2", "--data", topics, "--strategy", "freeze", "--epochs", "8", "--out", out) == 0
    )
    said = capsys.readouterr()
    assert "examples of 2 classes" in said.out
    assert "layer            parameters  trained  learning rate" in said.out
    assert "strategy  accuracy  trained parameters" in said.out
    assert f"demo-app run --checkpoint text_classifier={out}" in said.out
    assert "freeze" in said.err  # the bar
    fields, body = split_header((out / "README.md").read_text("utf-8"))
    assert fields["license"] == "apache-2.0"
    assert "base_model" not in fields  # an embedded checkpoint is no repository of the Hub
    for fact in ("fine-tuned from text_classifier/sst2", "cinema.csv", "--strategy freeze", "| head |"):
        assert fact in body
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["strategy"] == "freeze"
    assert metrics["accuracy"] > metrics["most_frequent"]
    plugins = load_plugins(Settings(plugins_dir=ROOT / "plugins", checkpoints=(("", out),)))
    demo = next(demo for plugin in plugins for demo in plugin.demos if demo.name == "text_classifier")
    model = demo.load(demo.checkpoints[-1].folder, "cpu")
    assert set(model.labels) == {row["label"] for row in csv.DictReader(topics.open(encoding="utf-8-sig"))}


def test_several_strategies_are_compared_in_one_table(
    topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    names = "freeze,layers"
    options = ["--layers", "layers.2", "--epochs", "2"]
    assert finetune("text_classifier", "--data", topics, "--strategy", names, *options, "--out", out) == 0
    printed = capsys.readouterr().out
    for strategy in ("freeze", "layers"):
        folder = out / strategy
        assert f"written to {folder}; now: demo-app run --checkpoint text_classifier={folder}\n" in printed
    table = printed.split("strategy  accuracy")[1].splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["freeze", "layers"]
    assert (out / "layers" / "model.safetensors").is_file()
    assert (out / "freeze" / "model.safetensors").is_file()


def test_the_plan_alone_writes_nothing(topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert finetune("text_classifier", "--data", topics, "--strategy", "lora", "--plan", "--out", out) == 0
    assert "parameters are trained" in capsys.readouterr().out
    assert not out.exists()


def test_a_checkpoint_of_one_s_own_can_be_taught_again(topics: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["--data", topics, "--strategy", "freeze", "--epochs", "1"]
    assert finetune("text_classifier", *common, "--out", first) == 0
    assert finetune(f"text_classifier={first}", *common, "--out", second) == 0
    assert "fine-tuned from text_classifier=first" in (second / "README.md").read_text("utf-8")


def test_forgetting_is_measured_on_examples_that_one_brings(topics: Path, tmp_path: Path) -> None:
    original = tmp_path / "original.csv"
    original.write_text("text,label\na wonderful film,positive\na dreadful film,negative\n")
    out = tmp_path / "out"
    options = ["--original", original, "--strategy", "freeze", "--epochs", "1"]
    assert finetune("text_classifier", "--data", topics, *options, "--out", out) == 0
    assert json.loads((out / "metrics.json").read_text())["forgetting"]["examples"] == 2


def test_examples_of_another_task_measure_no_forgetting(
    topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--original", topics, "--strategy", "freeze", "--epochs", "1"]
    assert finetune("text_classifier", "--data", topics, *options, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "None of the examples of the original task has a class of the checkpoint (negative, positive; theirs" in said


def test_a_strategy_that_cannot_be_is_told_before_any_is_tried(
    topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--strategy", "freeze,layers", "--layers", "nothing.*", "--epochs", "1"]
    assert finetune("text_classifier", "--data", topics, *options, "--out", tmp_path / "out") == 1
    assert "no layer matches 'nothing.*'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_learned(
    topics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune("text_classifier", "--data", topics, "--strategy", "freeze", "--out", topics / "out") == 1
    said = capsys.readouterr().err
    assert "out cannot be made (Not a directory); name another folder." in said
    assert "step/s" not in said


def test_a_strategy_is_tried_once_however_often_it_is_named(topics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--strategy", "freeze,freeze", "--epochs", "1", "--out", out]
    assert finetune("text_classifier", "--data", topics, *options) == 0
    assert (out / "model.safetensors").is_file()


def test_a_comparison_that_was_killed_goes_on_with_what_is_left(
    topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["finetune", "text_classifier", "--data", str(topics), "--strategy", "freeze,full", *PLUGINS]
    command += ["--out", str(out), "--epochs", "3", "--batch-size", "64"]
    killed = subprocess.Popen([sys.executable, "-m", "demo_app", *command], stderr=subprocess.PIPE)
    assert killed.stderr is not None
    seen = b""
    while b"full:" not in seen:
        seen += killed.stderr.read(1)
    killed.kill()
    killed.communicate()
    first = (out / "freeze" / "model.safetensors").stat().st_mtime_ns
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "freeze is through already" in said
    assert [line.split()[0] for line in said.split("strategy  accuracy")[1].splitlines()[1:3]] == ["freeze", "full"]
    assert (out / "freeze" / "model.safetensors").stat().st_mtime_ns == first
    assert (out / "full" / "README.md").is_file()
    assert sorted(path.name for path in out.iterdir()) == ["freeze", "full"]
    assert main(command) == 1  # it is through, and is not written over
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["translator", "--strategy", "freeze"], "cannot be fine-tuned here; those that can: image_text_fusion,", 1),
        (["nothing", "--strategy", "freeze"], "there is no demo 'nothing'; there are: ", 2),
        (["text_classifier/none", "--strategy", "freeze"], "has no checkpoint 'none'; choose one of: sst2", 1),
        (["text_classifier", "--strategy", "magic"], "there is no strategy 'magic'; there are: freeze,", 2),
        (["text_classifier", "--strategy", "layers"], "wants the names of layers", 1),
        (["text_classifier", "--strategy", "layers", "--layers", "block.1"], "no layer matches 'block.1'", 1),
        (["text_classifier", "--strategy", "freeze", "--upto", "head"], "leaves nothing to train", 1),
        (["text_classifier/distilbert_sst2", "--strategy", "full"], "run: demo-app download text_classifier/", 1),
        (["text_classifier=nowhere", "--strategy", "full"], "nowhere is no folder with a config.json", 1),
        (["text_classifier", "--strategy", "freeze", "--seed", "9" * 20], "seed 9999", 1),
        (["text_classifier", "--strategy", "freeze", "--minutes", "-1"], "minutes -1.0 is negative", 1),
        (["text_classifier", "--strategy", "freeze", "--warmup", "7"], "warmup 7.0 is no share", 1),
        (["text_classifier", "--strategy", "freeze", "--learning-rate", "nan"], "learning_rate nan is no rate", 1),
        (["text_classifier", "--strategy", "freeze", "--dropout", "5"], "dropout 5.0 leaves nothing", 1),
        (["separable_conv", "--strategy", "full"], "cinema.csv has no column named 'image'", 1),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str], sentence: str, code: int, topics: Path, tmp_path: Path, hub_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert finetune(*arguments, "--data", topics, "--out", out) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_a_folder_of_another_architecture_is_named(
    topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ROOT / "plugins/separable_conv/demo_app_separable_conv/weights/cifar10"
    assert finetune(f"text_classifier={other}", "--data", topics, "--out", tmp_path / "out") == 1
    assert "config.json in cifar10 cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ("a,x\nb,x\nc,x\nd,x\n", [], "All examples are of the class 'x'"),
        ("a,x\nb,y\n", [], "4 examples are needed at least, 2 of each class, and 2 can be used"),
        ("a,x\nb,x\nc,x\nd,y\n", [], "there is only one of 'y'"),
        ("a,Joy\nb,joy\nc,x\nd,x\ne,joy\nf,Joy\n", [], "Do 'Joy' and 'joy' mean the same? Say --same-labels"),
        ("a,\nb,\nc,\n", [], "row 1 has no label"),
    ],
)
def test_data_that_teach_nothing_are_refused(
    rows: str, options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + rows)
    assert finetune("text_classifier", "--data", data, *options, "--out", tmp_path / "out") == 1
    assert sentence in capsys.readouterr().err


def test_labels_that_differ_in_capitals_are_one_class_if_one_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "a,Joy\nb,joy\nc,x\nd,x\ne,joy\nf,Joy\ng,joy\nh,x\n")
    out = tmp_path / "out"
    options = ["--same-labels", "--strategy", "freeze", "--epochs", "1"]
    assert finetune("text_classifier", "--data", data, *options, "--out", out) == 0
    assert json.loads((out / "config.json").read_text())["labels"] == ["joy", "x"]


def test_what_is_there_is_not_written_over(topics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert finetune("text_classifier", "--data", topics, "--strategy", "freeze", "--out", out) == 1
    assert "is not empty (mine.txt)" in capsys.readouterr().err
