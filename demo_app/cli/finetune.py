"""`demo-app finetune`: teach a checkpoint from your own examples. `finetuning` runs it, and imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from demo_app.cli.arguments import add_command
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.machine import prepare_environment
from demo_app.options import add_options
from demo_app.settings import Settings


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "finetune", run, "Teach a checkpoint from your own examples; writes a new one.")
    parser.add_argument("target", metavar="DEMO[/CHECKPOINT]|DEMO=FOLDER", help="what to begin with")
    parser.add_argument(
        "--data", required=True, type=Path, nargs="+", metavar="FILE_OR_FOLDER",
        help="a CSV with the columns text and label; pictures in a folder or ZIP with a folder for each class; or "
        "pictures and a CSV with the columns image and label (and text)",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the new checkpoint")
    parser.add_argument(
        "--strategy", default="layerwise", metavar="NAMES", help=f"who learns: {', '.join(STRATEGIES)}; several, by "
        "commas, are compared, each with a folder of its own in DIR",
    )  # fmt: skip
    parser.add_argument(
        "--layers", default="", metavar="GLOB", help="of `layers` and `lora`: names of layers, by commas; re:... too"
    )
    parser.add_argument("--original", type=Path, metavar="FILE", help="examples of what DEMO/CHECKPOINT can do")
    parser.add_argument(
        "--same-labels", action=argparse.BooleanOptionalAction,
        help="whether labels that differ in capitals or spaces alone are one class",
    )  # fmt: skip
    parser.add_argument("--plan", action="store_true", help="say who would learn, and do nothing")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: the best there is")
    parser.add_argument("--force", action="store_true", help="write over what is there")
    add_options(parser, Recipe, skip=("strategy", "layers"))


def run(args: argparse.Namespace) -> None:
    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    prepare_environment(settings.threads)
    from demo_app.cli import finetuning

    finetuning.run(args, settings)
