"""Training on class folders: reading, reproducibility, resuming after a kill, evaluation; the embedded checkpoints."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demo_app_separable_conv import evaluate, train
from demo_app_separable_conv.classifier import Classifier
from demo_app_separable_conv.data import read_examples, split
from demo_app_separable_conv.model import Config, ConvNet, Stage, twin
from PIL import Image

from demo_app import DemoError, InputError

SHORT = "--epochs 2 --batch-size 8 --size 16 --stem 8 --stages 8x1/2,16x1/2 --threads 1 --held-out 0.2"
WEIGHTS = sorted(path.parent for path in evaluate.WEIGHTS.glob("*/config.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures of noise, the red ones in one folder and the blue ones in another."""
    root = tmp_path_factory.mktemp("pictures") / "train"
    generator = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = generator.integers(0, 120, (20, 24, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


def run(data: Path, out: Path, *more: str) -> None:
    train.main(["--data", str(data), "--out", str(out), *SHORT.split(), *more])


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


KINDS = ("", "--block dense", "--attention 1", "--erase 0.5 --distort 0.5", "--cutmix 0.5")


@pytest.mark.parametrize("more", KINDS)
def test_what_was_trained_is_right_about_pictures_that_it_has_not_seen(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    run(folder, tmp_path / "out", "--epochs", "6", *more.split())
    result = last_line(capsys)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert metrics.items() <= result.items()
    assert ("gamma" in metrics) == ("attention" in more)
    assert result["accuracy"] == result["top5"] == 1.0
    assert result["examples"] == 12
    classifier = Classifier.load(tmp_path / "out", "cpu")
    assert classifier.labels == ("blue", "red")
    found = classifier.predict([Image.new("RGB", (50, 40), (200, 60, 60)), Image.new("RGB", (40, 50), (60, 60, 200))])
    assert found.argmax(1).tolist() == [1, 0]


def test_two_runs_of_one_seed_give_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    chance = ("--erase", "0.5", "--distort", "0.5", "--cutmix", "0.5")
    run(folder, tmp_path / "one", *chance)
    run(folder, tmp_path / "two", *chance)
    run(folder, tmp_path / "other", *chance, "--seed", "1")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    first, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other"))
    assert first != other


@pytest.mark.parametrize("step", [3, 9])  # within the first epoch of six steps, and within the second
def test_a_killed_training_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run(folder, tmp_path / "whole")
    loss_of, calls = train.loss_of, itertools.count()

    def die(*arguments: Any) -> torch.Tensor:
        if next(calls) == step:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    with monkeypatch.context() as killed:
        killed.setattr(train, "loss_of", die)
        with pytest.raises(KeyboardInterrupt):
            run(folder, tmp_path / "halved")
    run(folder, tmp_path / "halved")
    whole, halved = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "halved"))
    assert whole == halved
    assert not (tmp_path / "halved" / "training.pt").exists()


def test_a_folder_a_tar_and_a_zip_are_read_alike_however_deep_the_class_folders_lie(
    folder: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder, "data/of/mine")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    first, *others = (
        read_examples(path, resize=16, crop=16) for path in (folder, tmp_path / "a.tar.gz", tmp_path / "b.zip")
    )
    assert first.labels == ("blue", "red")
    assert first.pictures.shape == (60, 3, 16, 16)
    for other in others:
        assert other.labels == first.labels
        assert sorted(p.sum().item() for p in other.pictures) == sorted(p.sum().item() for p in first.pictures)


def test_evaluate_finds_what_training_found(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, tmp_path / "out", "--epochs", "6")
    capsys.readouterr()
    evaluate.main(["--checkpoint", str(tmp_path / "out"), "--data", str(folder)])
    result = last_line(capsys)
    assert result["accuracy"] == 1.0
    assert result["examples"] == 60
    assert set(result) == {"accuracy", "top5", "examples", "seconds"}


def test_scores_count_the_first_and_the_first_five() -> None:
    logits = torch.tensor([[9.0, 1, 2, 3, 4, 5, 0], [9.0, 1, 2, 3, 4, 5, 0], [0.0, 1, 2, 3, 4, 5, 6]])
    assert evaluate.scores(logits, torch.tensor([0, 6, 2])) == {"accuracy": 0.33333, "top5": 0.66667}


def test_each_class_is_in_both_parts() -> None:
    pictures = torch.zeros(22, 3, 4, 4, dtype=torch.uint8)
    from demo_app_separable_conv.data import Examples

    examples = Examples(pictures, torch.tensor([0] * 20 + [1] * 2), ("a", "b"))
    kept, held_out = split(examples, 0.1, seed=0)
    assert kept.classes.bincount().tolist() == [18, 1]
    assert held_out.classes.bincount().tolist() == [2, 1]


def picture(size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.png": picture()}, "is in no folder"),
        ({"a/1.png": picture(), "a/2.png": picture()}, "only the class 'a'"),
        ({"a/1.png": picture(), "b/1.png": picture(), "b/2.png": picture()}, "class 'a' has 1 picture"),
        ({"a/1.png": picture(), "b/1.png": b"no picture"}, "1.png"),
        ({"a/1.txt": b"text"}, "picture"),
    ],
)
def test_data_that_cannot_be_used_is_one_sentence(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    for name, content in files.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(content)
    with pytest.raises(SystemExit, match=sentence):
        run(tmp_path / "data", tmp_path / "out")


def test_a_class_that_the_checkpoint_does_not_know_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="'blue' is no class of this checkpoint"):
        read_examples(folder, resize=16, crop=16, labels=("red", "green"))


@pytest.mark.parametrize("stages", ["64", "64x", "64x2/0x", "x2", ""])
def test_stages_that_cannot_be_read_are_one_sentence(stages: str) -> None:
    with pytest.raises(InputError, match="WIDTHxREPEATS/STRIDE"):
        train.stages_of(stages, "dense")


def test_the_twin_differs_in_its_convolutions_alone() -> None:
    config = Config(labels=("a", "b"), stem=8, stages=(Stage(width=8), Stage(width=16, stride=2)), crop=32)
    ours, dense = ConvNet(config), ConvNet(twin(config))
    x = torch.randn(1, 3, 32, 32)
    assert [t.shape for t in ours(x, trace=True).trace.inputs] == [t.shape for t in dense(x, trace=True).trace.inputs]
    kernels = [m.weight.shape for m in dense.blocks.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(8, 8, 3, 3), (16, 8, 3, 3)]


def test_a_checkpoint_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    config["stem"] = 12
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    with pytest.raises(DemoError, match="does not fit its config"):
        Classifier.load(tmp_path / "out", "cpu")


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.name)
def test_embedded_checkpoints_are_small_and_have_a_card(path: Path) -> None:
    assert sum(file.stat().st_size for file in path.iterdir()) < 4_000_000
    card = (path / "README.md").read_text("utf-8")
    for word in ("license: apache-2.0", "cifar10", "Krizhevsky", "demo_app_separable_conv.train"):
        assert word in card
