"""What the command lines of plugins share: options from a dataclass, checkpoints by name, errors as one sentence.

@dataclass(frozen=True, kw_only=True)
class Recipe:
    epochs: int = option(30, "times to go through the data")

add_options(parser, Recipe)
def run(options: argparse.Namespace) -> dict[str, float]:
    recipe = chosen(Recipe, options)
    ...

report(run, parser.parse_args())
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import Any, TypeVar

from demo_app.errors import DemoError

Settings = TypeVar("Settings")


def option(default: Any, text: str) -> Any:
    """A field of a dataclass that is an option of a command line, with its help."""
    return field(default=default, metadata={"help": text})


def add_options(parser: argparse.ArgumentParser, of: type, skip: Sequence[str] = ()) -> None:
    """An option for each field of a dataclass that has a default, under a heading of the dataclass's name."""
    group = parser.add_argument_group(of.__name__)
    for one in fields(of):
        if one.name in skip or one.default is MISSING:
            continue
        name, text = f"--{one.name.replace('_', '-')}", f"{one.metadata.get('help', '')} (default {one.default})"
        if isinstance(one.default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=one.default, help=text)
        else:
            group.add_argument(name, type=type(one.default), default=one.default, help=text)


def chosen(of: type[Settings], options: argparse.Namespace, **others: Any) -> Settings:
    """The dataclass from the options that were made of it; `others` are its fields that are no options."""
    names = (one.name for one in fields(of) if hasattr(options, one.name))  # type: ignore[arg-type]
    return of(**{name: getattr(options, name) for name in names} | others)


def find_checkpoint(name_or_folder: str, weights: Path) -> Path:
    """The folder itself, or the embedded checkpoint of that name in `weights`. Raises `DemoError` for neither."""
    for folder in (Path(name_or_folder), weights / name_or_folder):
        if (folder / "config.json").is_file():
            return folder
    embedded = ", ".join(sorted(path.parent.name for path in weights.glob("*/config.json"))) or "none"
    raise DemoError(
        f"{name_or_folder!r} is neither a folder with a config.json nor an embedded checkpoint ({embedded})."
    )


@contextmanager
def clear_errors() -> Iterator[None]:
    """What was wrong is one sentence and not a traceback; the exit status is 1.

    A `ValueError` is a setting that a network refuses.
    """
    try:
        yield
    except (DemoError, ValueError) as error:
        sys.exit(f"error: {error}")


def report(run: Callable[[argparse.Namespace], Mapping[str, Any]], options: argparse.Namespace) -> None:
    """Run a long command: what it logs and its errors go to stderr, what it returns to stdout, as one JSON object.

    Nothing is printed where it returns nothing, as a process beside the first one of a training does.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with clear_errors():
        result = run(options)
    if result:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
