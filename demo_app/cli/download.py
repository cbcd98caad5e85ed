"""`demo-app download`: fetch checkpoints from the Hub."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from demo_app.api import Checkpoint
from demo_app.cli.arguments import add_command
from demo_app.cli.targets import find_checkpoints
from demo_app.errors import DemoError, SettingsError
from demo_app.hub.fetch import fetch
from demo_app.hub.files import locate
from demo_app.hub.progress import Progress
from demo_app.machine import prepare_environment
from demo_app.settings import Settings


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "download", run, "Fetch checkpoints from the Hub; 1 if one could not be had.")
    parser.add_argument("target", nargs="*", metavar="DEMO[/CHECKPOINT]")
    parser.add_argument("--all", action="store_true", help="every checkpoint of every demo")


def run(args: argparse.Namespace) -> int:
    prepare_environment()
    if not args.target and not args.all:
        raise SettingsError("name what to fetch, as in text_classifier/sst2, or say --all.")
    failed = 0
    for demo, checkpoint in find_checkpoints(args.target, Settings.from_env(plugins_dir=args.plugins_dir)):
        label = f"{demo.name}/{checkpoint.name}"
        try:
            sys.stdout.write(f"{label}: {_fetch(checkpoint, label)}\n")
        except DemoError as error:
            failed += 1
            sys.stdout.write(f"{label}: failed: {error}\n")
    return failed > 0


def _fetch(checkpoint: Checkpoint, label: str) -> str:
    """Fetch one checkpoint, with a progress bar on standard error. Returns a sentence that says where it is."""
    from tqdm import tqdm

    if not checkpoint.on_hub:
        return f"embedded in {locate(checkpoint)}"
    with tqdm(unit="B", unit_scale=True, desc=label) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total or checkpoint.size
            bar.set_postfix_str(progress.note, refresh=False)
            bar.update(progress.done - bar.n)

        folder = fetch(checkpoint, show)
    return f"on disk in {folder}"
