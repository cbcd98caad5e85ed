"""`demo-app publish`: put a checkpoint on the Hub, with its model card."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from demo_app.cli.arguments import add_command, add_upload_options, agreed
from demo_app.machine import prepare_environment
from demo_app.settings import Settings


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "publish", run, "Put a checkpoint on the Hub, with its model card.")
    parser.add_argument("source", metavar="DEMO/CHECKPOINT|DEMO=FOLDER", help="an embedded one, or one of your own")
    parser.add_argument("repo_id", metavar="USER/REPO")
    parser.add_argument("--license", metavar="NAME", help="of the weights; default: what their card says")
    add_upload_options(parser)


def run(args: argparse.Namespace) -> int:
    settings = Settings.from_env(plugins_dir=args.plugins_dir)
    prepare_environment(settings.threads)
    from demo_app.hub import access, upload
    from demo_app.publishing import checkpoint
    from demo_app.publishing.files import listing

    upload.check_name(args.repo_id)
    if not args.dry_run:
        access.token()
    ready = checkpoint.prepare(args.source, settings, license=args.license)
    if args.dry_run:
        sys.stdout.write(listing(ready.files) + "nothing was created\n")
        return 0
    if not agreed(ready.files, args.repo_id, args):
        return 1
    message = f"{args.source.partition('=')[0]}: published with demo-app"
    done = upload.upload(
        ready.files, args.repo_id, kind="model", message=message, private=args.private, force=args.force
    )
    sys.stdout.write(f"{len(ready.files)} files are in {done.url}; a plugin has them with\n\n")
    sys.stdout.write(ready.pinned(args.repo_id, done.commit))
    return 0
