"""`demo-app selfcheck`: compare models with their published outputs."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from demo_app.cli.arguments import add_command
from demo_app.cli.targets import find_checkpoints
from demo_app.machine import prepare_environment
from demo_app.settings import Settings


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "selfcheck", run, "Compare models with their published outputs; 1 if one differs.")
    parser.add_argument("target", nargs="*", metavar="DEMO[/CHECKPOINT]", help="default: all")
    parser.add_argument("--hub", action="store_true", help="fetch what is not on this disk")


def run(args: argparse.Namespace) -> int:
    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    prepare_environment(settings.threads)
    from demo_app.checking import published
    from demo_app.models.cache import Models

    rows = list(published.compare(Models(settings), find_checkpoints(args.target, settings), fetch=args.hub))
    sys.stdout.write(published.table(rows))
    return any(row.failed for row in rows)
