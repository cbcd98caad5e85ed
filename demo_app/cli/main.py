"""demo-app new | run | plugins | check | download | selfcheck | finetune | space | publish. Also `python -m demo_app`.

Exit codes: 0 success, 1 something failed and was reported, 2 the command line or a setting is wrong, 130 stopped by
Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import demo_app
from demo_app.cli import check, download, finetune, new, plugins, publish, run, selfcheck, space
from demo_app.errors import DemoError, SettingsError
from demo_app.registry.plugin import PluginError

COMMANDS = (new, run, plugins, check, download, selfcheck, finetune, space, publish)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; reports errors on standard error, without a traceback."""
    args = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.command == "run" else logging.CRITICAL,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return int(args.call(args) or 0)
    except (SettingsError, DemoError, PluginError) as error:
        sys.stderr.write(f"demo-app: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo-app: stopped; give the same command again to go on.\n")
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser with all commands and their options."""
    top = argparse.ArgumentParser(prog="demo-app", description=demo_app.__doc__)
    top.add_argument("--version", action="version", version=demo_app.__version__)
    commands = top.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return top


if __name__ == "__main__":
    raise SystemExit(main())
