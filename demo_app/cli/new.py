"""`demo-app new`: write a working plugin, to be changed into your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from demo_app.machine import prepare_environment


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("new", help="Write a plugin that works, to be changed into your own.")
    parser.set_defaults(call=run)
    parser.add_argument(
        "target", type=Path, metavar="NAME", help="of the plugin, and of the folder that is made for it"
    )
    parser.add_argument("--torch", action="store_true", help="its model is a network in torch; default: any callable")
    parser.add_argument("--hub", metavar="OWNER/NAME[@REVISION]", help="its weights are on the Hub, in that repository")


def run(args: argparse.Namespace) -> None:
    prepare_environment()
    from demo_app.scaffold import plugin

    for path in plugin.create(args.target, torch=args.torch, hub=args.hub):
        sys.stdout.write(f"wrote {path}\n")
    folder = args.target
    sys.stdout.write(f"now: demo-app check {folder} --load; pytest {folder}; demo-app run --plugins-dir {folder}\n")
