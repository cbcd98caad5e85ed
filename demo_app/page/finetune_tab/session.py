"""A session's examples and results."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_app.api import display_name
from demo_app.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Mine:
    """A visitor's examples: where their files are, and what they say."""

    folder: Path
    sources: tuple[Path, ...]
    labels: tuple[str, ...] = ()
    examples: int = 0
    same: bool | None = None
    kept: int = 0  # of them to measure on
    usable: bool = False  # whether there is something to learn


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A strategy that a visitor tried, and what came of it."""

    number: int
    base: str  # name of the checkpoint that it began with
    result: dict[str, Any]  # the fields of `demo_app.finetune.result.Result`
    folder: Path

    @property
    def title(self) -> str:
        return f"{self.number}. {self.result['strategy']}"

    @property
    def base_title(self) -> str:
        return display_name(self.base)


def chosen(which: Any, tried: tuple[Tried, ...]) -> Tried:
    """The training of that number. Raises `InputError`."""
    if not tried:
        raise InputError("Nothing is trained yet; press Start.")
    for one in tried:
        if str(one.number) == str(which):
            return one
    raise InputError(f"There is no training {which}; choose one from 1 to {len(tried)}.")


def copied(file: Path, folder: Path) -> Path:
    """The visitor's own copy: what Gradio keeps of an upload goes after an hour, or with another who sent the same."""
    folder.mkdir()
    target = folder / file.name
    try:
        os.link(file, target)
    except OSError:  # another disk
        shutil.copyfile(file, target)
    return target


def drop_examples(mine: Mine | None) -> None:
    if mine is not None:
        shutil.rmtree(mine.folder, ignore_errors=True)


def drop_results(tried: tuple[Tried, ...] | None) -> None:
    for one in tried or ():
        shutil.rmtree(one.folder, ignore_errors=True)
