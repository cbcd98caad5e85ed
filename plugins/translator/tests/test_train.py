"""Training and evaluating from the command line, on generated pairs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from demo_app_translator import evaluate, train
from demo_app_translator.search import Beam
from demo_app_translator.translator import Translator

SMALL = ["--width", "32", "--heads", "2", "--encoder-layers", "1", "--decoder-layers", "1", "--feed-forward", "48"]
SMALL += ["--vocab-size", "100", "--batch-size", "16", "--threads", "1", "--average", "0.9", "--dropout", "0"]


@pytest.fixture(scope="module")
def files(pairs: tuple[list[str], list[str]], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    english, german = pairs
    folder = tmp_path_factory.mktemp("pairs")
    for name, lines in (("train.en", english), ("train.de", german), ("val.en", english[::7]), ("val.de", german[::7])):
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    names = (("source", "train.en"), ("target", "train.de"), ("validation-source", "val.en"))
    options = [
        text for option, name in (*names, ("validation-target", "val.de")) for text in (f"--{option}", folder / name)
    ]
    return ["--languages", "en", "de", *map(str, options), *SMALL]


def trained(files: list[str], out: Path, *more: str) -> dict[str, float]:
    options = train._parser().parse_args([*files, "--out", str(out), *more])
    return train.run(options)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def learned(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("runs") / "learned"
    return out, trained(files, out, "--epochs", "40", "--evaluate-every", "20")


def test_it_learns_to_translate(learned: tuple[Path, dict[str, float]]) -> None:
    out, found = learned
    assert found["bleu"] > 90
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "source.json", "target.json"}
    translator = Translator.load(out, "cpu")
    assert translator.translate(["A big woman sees a red car."], Beam(beams=2, max_tokens=30)) == [
        "Ein großer Typ sieht ein rotes Auto."
    ]


def test_the_scores_are_one_json_object(
    learned: tuple[Path, dict[str, float]], files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = files[files.index("--validation-source") + 1], files[files.index("--validation-target") + 1]
    evaluate.main(["--checkpoint", str(learned[0]), "--source", source, "--target", target, "--beams", "2"])
    found = json.loads(capsys.readouterr().out)
    assert {"bleu", "chrf", "signature", "sentences"} <= set(found)
    assert found["bleu"] > 90
    assert "case:lc" in found["signature"]
    assert found["sentences"] == 14


def test_a_killed_training_resumes_to_the_same_weights(files: list[str], tmp_path: Path) -> None:
    more = ["--epochs", "4", "--evaluate-every", "1", "--dropout", "0.1", "--merge-dropout", "0"]
    whole = trained(files, tmp_path / "whole", *more)
    code = "import sys; from demo_app_translator import train; train.main(sys.argv[1:])"
    out = tmp_path / "killed"
    command = [sys.executable, "-c", code, *files, "--out", str(out), *more]
    path = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=path)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("epoch 2"):
            break
    running.send_signal(signal.SIGSTOP)  # most likely between two saves; SIGKILL follows
    running.kill()
    running.wait()
    running.stderr.close()
    again = trained(files, out, *more)
    assert again["bleu"] == whole["bleu"]
    ours, theirs = (Translator.load(tmp_path / name, "cpu").network.state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(files: list[str], tmp_path: Path) -> None:
    for name, seed in (("one", "3"), ("two", "3"), ("other", "4")):
        trained(files, tmp_path / name, "--epochs", "1", "--dropout", "0.1", "--merge-dropout", "0", "--seed", seed)
    one, two, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_a_missing_argument_gets_one_sentence(files: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Name the sentences"):
        train.main(["--languages", "en", "de", "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit, match="neither a folder"):
        evaluate.main(["--checkpoint", "nothing", "--data", "x.csv"])
    options = [*files, "--out", str(tmp_path / "y"), "--heads", "7"]
    with pytest.raises(SystemExit, match="cannot be shared out"):
        train.main(options)
