"""Command lines of plugins: options from dataclasses, checkpoints by name, readable errors."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo_app import DemoError, InputError
from demo_app.options import add_options, find_checkpoint, from_options, option, readable_errors


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    labels: tuple[str, ...]  # no default: no option
    steps: int = option(10, "optimiser steps")
    learning_rate: float = option(1e-3, "the highest")
    quick: bool = option(False, "few examples")
    kind: str = "plain"


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser, Hyperparameters, skip=("kind",))
    return parser.parse_args(arguments)


def test_every_field_with_a_default_is_an_option() -> None:
    options = parsed("--steps", "3", "--learning-rate", "0.5", "--quick")
    assert from_options(Hyperparameters, options, labels=("a",)) == Hyperparameters(
        labels=("a",), steps=3, learning_rate=0.5, quick=True
    )
    assert from_options(Hyperparameters, parsed(), labels=(), kind="other") == Hyperparameters(labels=(), kind="other")
    assert not hasattr(options, "kind")


def test_the_help_shows_text_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    assert "optimiser steps (default 10)" in capsys.readouterr().out


def test_a_checkpoint_is_a_folder_or_an_embedded_name(tmp_path: Path) -> None:
    embedded, own = tmp_path / "weights" / "tiny", tmp_path / "own"
    for folder in (embedded, own):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert find_checkpoint("tiny", tmp_path / "weights") == embedded
    assert find_checkpoint(str(own), tmp_path / "weights") == own
    with pytest.raises(DemoError, match=r"nor an embedded checkpoint \(tiny\)"):
        find_checkpoint("huge", tmp_path / "weights")
    with pytest.raises(DemoError, match=r"\(none\)"):
        find_checkpoint("huge", tmp_path / "empty")


@pytest.mark.parametrize("error", [InputError("no such file"), ValueError("no such file")])
def test_an_error_is_one_sentence(error: Exception) -> None:
    with pytest.raises(SystemExit) as ended, readable_errors():
        raise error
    assert ended.value.code == "error: no such file"
