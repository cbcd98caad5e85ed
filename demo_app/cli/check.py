"""`demo-app check`: list everything that is wrong with a plugin."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from demo_app.cli.arguments import add_command
from demo_app.machine import prepare_environment
from demo_app.settings import Settings


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "check", run, "Say everything that is wrong with a plugin; 1 if anything is.")
    parser.add_argument("target", nargs="+", metavar="PATH|NAME", help="a plugin's folder, or its name")
    parser.add_argument(
        "--seconds",
        type=float,
        default=120,
        metavar="N",
        help="that a step may take; default: 120, for loading 600",
    )
    parser.add_argument("--load", action="store_true", help="also load every checkpoint that is on this disk")


def run(args: argparse.Namespace) -> int:
    prepare_environment()
    from demo_app.checking.plugin import check_alone

    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    count = 0
    for target in args.target:
        report = check_alone(target, settings=settings, load=args.load, seconds=args.seconds)
        sys.stdout.write(str(report))
        count += len(report.problems)
    return count > 0
