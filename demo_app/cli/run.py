"""`demo-app run`: serve the page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import demo_app
from demo_app.cli.arguments import add_command, typed
from demo_app.errors import SettingsError
from demo_app.settings import (
    Settings,
    parse_checkpoints,
    parse_device,
    parse_host,
    parse_names,
    parse_port,
    parse_size,
)

FIELDS = ("plugins_dir", "host", "port", "only", "disable", "preload", "device", "memory_budget", "mcp", "strict")


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "run", run, "Serve the page.")
    parser.add_argument("--host", type=typed(parse_host))
    parser.add_argument("--port", type=typed(parse_port))
    parser.add_argument("--only", type=parse_names, metavar="NAMES", help="plugins to use, comma-separated")
    parser.add_argument("--disable", type=parse_names, metavar="NAMES", help="plugins not to import, comma-separated")
    parser.add_argument(
        "--checkpoint",
        dest="checkpoints",
        type=_checkpoint,
        action="append",
        metavar="[DEMO=]FOLDER",
        help="one of your own, for the picker of that demo, or of the one on its card; may be given again",
    )
    parser.add_argument("--preload", type=parse_names, metavar="NAMES", help="first (default), all, none, or demos")
    parser.add_argument("--device", type=typed(parse_device), help="cuda, mps or cpu; default: the best one here")
    parser.add_argument("--memory-budget", type=typed(parse_size), metavar="SIZE", help="for loaded models, as in 2G")
    parser.add_argument("--mcp", action="store_true", default=None, help="also serve every action to MCP clients")
    parser.add_argument(
        "--strict", action="store_true", default=None, help="the first plugin that fails stops the start"
    )


def run(args: argparse.Namespace) -> None:
    checkpoints = args.checkpoints and tuple(args.checkpoints)
    options = {name: getattr(args, name) for name in FIELDS}
    demo_app.run(Settings.from_env(checkpoints=checkpoints, **options))


def _checkpoint(text: str) -> tuple[str, Path]:
    try:
        (pair,) = parse_checkpoints(text)
    except (SettingsError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} names no checkpoint; write DEMO=FOLDER.") from None
    return pair
