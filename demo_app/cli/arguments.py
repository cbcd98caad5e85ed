"""Parsers and options that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from demo_app.errors import SettingsError
from demo_app.hub.upload import Files
from demo_app.publishing.files import listing
from demo_app.settings import parse_folder

T = TypeVar("T")


def add_command(
    commands: Any, name: str, call: Callable[[argparse.Namespace], Any], help: str
) -> argparse.ArgumentParser:
    """Add the parser of a command with the option `--plugins-dir`. `call` runs the command."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(call=call)
    folder = typed(parse_folder)
    parser.add_argument(
        "--plugins-dir", type=folder, metavar="DIR", help="a folder of plugins beside the installed ones"
    )
    return parser


def typed(read: Callable[[str], T]) -> Callable[[str], T]:
    """The reader of a setting as the `type` of an option: its `SettingsError` ends the command with its sentence."""

    def convert(text: str) -> T:
        try:
            return read(text)
        except SettingsError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def add_upload_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that write to the Hub or to a folder."""
    parser.add_argument("--private", action="store_true", help="on the Hub: for you alone")
    parser.add_argument("--force", action="store_true", help="write over what is there")
    parser.add_argument("--dry-run", action="store_true", help="list the files and create nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before an upload, at a terminal")


def agreed(files: Files, place: str, args: argparse.Namespace) -> bool:
    """Show what would be uploaded to `place`. Returns whether to: asks at a terminal, unless --yes was said."""
    sys.stdout.write(listing(files))
    if args.yes or sys.stdin is None or not sys.stdin.isatty():
        return True
    sys.stdout.write(f"Upload them to {place}? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    sys.stdout.write("nothing was created\n")
    return False
