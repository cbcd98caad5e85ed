"""Command lines of plugins: options from a dataclass, checkpoints by name, errors as one sentence.

@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    epochs: int = option(30, "times to go through the data")

add_options(parser, TrainingSettings)
def run(options: argparse.Namespace) -> dict[str, float]:
    settings = from_options(TrainingSettings, options)
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
    """A field of a dataclass with a default and a help text for the command line."""
    return field(default=default, metadata={"help": text})


def add_options(parser: argparse.ArgumentParser, of: type, skip: Sequence[str] = ()) -> None:
    """Add an option for each field of a dataclass that has a default, in a group with the dataclass's name."""
    group = parser.add_argument_group(of.__name__)
    for one in fields(of):
        if one.name in skip or one.default is MISSING:
            continue
        name, text = f"--{one.name.replace('_', '-')}", f"{one.metadata.get('help', '')} (default {one.default})"
        if isinstance(one.default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=one.default, help=text)
        else:
            group.add_argument(name, type=type(one.default), default=one.default, help=text)


def from_options(of: type[Settings], options: argparse.Namespace, **others: Any) -> Settings:
    """The dataclass with the values of its options; `others` are values of fields without an option."""
    names = (one.name for one in fields(of) if hasattr(options, one.name))  # type: ignore[arg-type]
    return of(**{name: getattr(options, name) for name in names} | others)


def find_checkpoint(name_or_folder: str, weights: Path) -> Path:
    """The folder itself, or the embedded checkpoint of that name in `weights`. Raises `DemoError` if it is neither."""
    for folder in (Path(name_or_folder), weights / name_or_folder):
        if (folder / "config.json").is_file():
            return folder
    embedded = ", ".join(sorted(path.parent.name for path in weights.glob("*/config.json"))) or "none"
    raise DemoError(
        "{name} is neither a folder with a config.json nor an embedded checkpoint ({embedded}).",
        name=repr(name_or_folder),
        embedded=embedded,
    )


@contextmanager
def readable_errors() -> Iterator[None]:
    """Print errors as one sentence instead of a traceback, and exit with status 1.

    Applies to `DemoError`, and to `ValueError`, which a network raises for settings that it does not support.
    """
    try:
        yield
    except (DemoError, ValueError) as error:
        sys.exit(f"error: {error}")


def report(run: Callable[[argparse.Namespace], Mapping[str, Any]], options: argparse.Namespace) -> None:
    """Run a long command: log records and errors go to stderr, its result to stdout as one JSON object.

    An empty result is not printed: all processes of a training but the first return one.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with readable_errors():
        result = run(options)
    if result:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
