"""`demo-app space`: make a Hugging Face Space from plugins, in a folder or on the Hub."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo_app.cli.arguments import add_command, add_upload_options, agreed
from demo_app.errors import SettingsError
from demo_app.hub.upload import Files
from demo_app.machine import prepare_environment
from demo_app.publishing.errors import SpaceError
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings, parse_names

HARMLESS = ("wheel", "accessibility")  # stages of problems that a Space, which gets the folder, runs with


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "space", run, "Make a Hugging Face Space from plugins, in a folder or on the Hub.")
    parser.add_argument("target", nargs="?", metavar="FOLDER|USER/NAME", help="where; a folder below is ./A/B")
    parser.add_argument("--only", type=parse_names, metavar="NAMES", help="plugins it shall have; default: all")
    parser.add_argument("--title", help="of the Space and its page")
    parser.add_argument("--description", help="one line of up to 60 characters; default: from the demos")
    parser.add_argument("--license", metavar="NAME", help="of the Space; default: the plugins', where they agree")
    parser.add_argument("--cpu", action="store_true", help="PyTorch without CUDA: not for a GPU Space, nor for ZeroGPU")
    parser.add_argument("--hardware", metavar="NAME", help="that the Hub shall run it on, as in zero-a10g or t4-small")
    parser.add_argument(
        "--copy-host",
        action=argparse.BooleanOptionalAction,
        help="put the host itself into the Space (or have it from an index); default: unless it came from an index",
    )
    add_upload_options(parser)
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        "--update",
        action="store_true",
        help="of a checkout that is a Space (default: here): write its "
        "requirements.txt and the header of its README.md anew",
    )
    keep.add_argument("--check", action="store_true", help="of such a checkout: write nothing; 1 if one is stale")


def run(args: argparse.Namespace) -> int:
    if args.update or args.check:
        return _update_checkout(Path(args.target or ""), args)
    if args.target is None:
        raise SettingsError("say where: a folder, or USER/NAME on the Hub; of a checkout that is a Space say --update.")
    prepare_environment()
    from demo_app.hub import access, upload
    from demo_app.publishing import files as folders
    from demo_app.publishing import space

    settings = Settings.from_env(plugins_dir=args.plugins_dir, only=args.only)
    on_hub = upload.REPO_ID.fullmatch(args.target) is not None and args.target[0] not in "./~"
    folder = Path(args.target).expanduser().resolve()
    if on_hub and folder.exists():
        raise SettingsError(
            f"{args.target} is a folder here and a name on the Hub; for the folder write ./{args.target}"
        )
    if not on_hub and any(path.is_relative_to(folder) for path in space.sources(settings)):
        raise SettingsError(f"{folder} holds what the Space is copied from; name another folder, or say --update.")
    if not args.dry_run:  # refuse before the slow part
        if on_hub:
            access.token()
        else:
            folders.check_folder(folder, force=args.force)
    plugins = space.chosen_plugins(settings)
    names = ("title", "description", "license", "cpu", "hardware", "copy_host")
    files = space.make(plugins, settings, space.SpaceOptions(**{name: getattr(args, name) for name in names}))
    check(plugins, settings)
    if args.dry_run:
        sys.stdout.write(folders.listing(files) + "nothing was created\n")
    elif on_hub:
        if not agreed(files, args.target, args):
            return 1
        _upload(files, args)
    else:
        _write(files, folder, force=args.force)
    return 0


def _upload(files: Files, args: argparse.Namespace) -> None:
    from demo_app.hub import upload
    from demo_app.publishing import space

    done = upload.upload(
        files,
        args.target,
        kind="space",
        message="Made with demo-app space",
        private=args.private,
        force=args.force,
        hardware=args.hardware,
        owned=space.OWNED,
    )
    for name in done.removed:
        sys.stdout.write(f"removed {name}, which was there and does not belong any more\n")
    sys.stdout.write(f"{len(files)} files are in {done.url}, where it is built now\n")


def _write(files: Files, folder: Path, *, force: bool) -> None:
    from demo_app.publishing import files as folders

    before = {path.name for path in (folder / "plugins").glob("*/")} if folder.is_dir() else set()
    folders.write(files, folder, force=force)
    for name in sorted(before - {name.split("/")[1] for name in files if name.startswith("plugins/")}):
        sys.stdout.write(f"plugins/{name} was there and is left; remove it if the Space shall not show it\n")
    sys.stdout.write(f"{len(files)} files are in {folder}; try it: python {folder / 'app.py'}\n")


def _update_checkout(folder: Path, args: argparse.Namespace) -> int:
    """Write stale files of a checkout anew; with --check only name them, and return 1 if there are any."""
    from demo_app.publishing import space

    folder = folder.resolve()
    stale = space.stale_files(folder, args.plugins_dir or folder / "plugins")
    if args.check:
        for path in stale:
            sys.stdout.write(f"{path.name} is stale; run: demo-app space --update\n")
        return len(stale) > 0
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path.name}\n")
    if not stale:
        sys.stdout.write("nothing to do: requirements.txt and README.md are up to date\n")
    return 0


def check(plugins: Sequence[Plugin], settings: Settings) -> None:
    """Check each plugin, which takes seconds. Raises `SpaceError` for the first with a problem."""
    from demo_app.checking.plugin import check_demo

    for plugin in plugins:
        target = plugin.path if plugin.source == "folder" and plugin.path is not None else plugin.name
        found = check_demo(target, settings=settings).problems
        problems = [problem for problem in found if problem.stage not in HARMLESS]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SpaceError(f"{plugin.name} fails its check: {problems[0]}{more} See: demo-app check {target}")
