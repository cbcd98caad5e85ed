"""What the tab keeps of a visitor's session: their examples, and what was trained on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_app.api import display_name
from demo_app.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OwnExamples:
    """A visitor's examples: where their files are, and what was read in them."""

    folder: Path
    sources: tuple[Path, ...]
    labels: tuple[str, ...] = ()
    count: int = 0
    same: bool | None = None  # the visitor's answer whether labels that look alike are one class
    held_out: int = 0  # how many of them will be held out for measuring
    usable: bool = False  # whether a model can be trained on them


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A strategy that a visitor tried, and its result."""

    number: int  # in the session, from 1
    base: str  # name of the checkpoint that it started from
    result: dict[str, Any]  # the fields of `demo_app.finetune.result.Result`
    folder: Path  # of the new checkpoint

    @property
    def title(self) -> str:
        """Number and strategy."""
        return f"{self.number}. {self.result['strategy']}"

    @property
    def base_title(self) -> str:
        """The name of the checkpoint that it started from, without the secret part."""
        return display_name(self.base)


def find_trial(which: Any, trials: Sequence[Trial]) -> Trial:
    """The trial of that number. Raises `InputError` if there is none."""
    if not trials:
        raise InputError("Nothing is trained yet; press Start.")
    for trial in trials:
        if str(trial.number) == str(which):
            if not trial.folder.is_dir():  # the page was away for too long, or the host was started anew
                raise InputError("The files of {name} are not here any more; train it again.", name=trial.title)
            return trial
    raise InputError("There is no training {number}; choose one from 1 to {count}.", number=which, count=len(trials))


def keep_copy(file: Path, folder: Path) -> Path:
    """Copy an upload into a new folder; returns the copy.

    Gradio deletes an upload after an hour, or together with an equal one that another visitor sent.
    """
    folder.mkdir()
    target = folder / file.name
    try:
        os.link(file, target)
    except OSError:  # another disk
        shutil.copyfile(file, target)
    return target


def delete_examples(examples: OwnExamples | None) -> None:
    """Delete the files of a session's examples."""
    if examples is not None:
        shutil.rmtree(examples.folder, ignore_errors=True)


def delete_trials(trials: Sequence[Trial] | None) -> None:
    """Delete the checkpoints that a session trained."""
    for trial in trials or ():
        shutil.rmtree(trial.folder, ignore_errors=True)
