"""demo-app new | run | plugins | check | download | selfcheck | finetune | space | publish. Also `python -m demo_app`.

Exit codes: 0 success, 1 something failed and was reported, 2 the command line or a setting is wrong, 130 stopped by
Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import sys
from collections.abc import Sequence

import demo_app
from demo_app import environment
from demo_app.cli import check, download, finetune, new, plugins, publish, run, selfcheck, space
from demo_app.errors import DemoError, SettingsError
from demo_app.registry.plugin import PluginError

COMMANDS = (new, run, plugins, check, download, selfcheck, finetune, space, publish)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; reports errors on standard error, without a traceback."""
    environment.open_streams()
    try:
        args = parser().parse_args(argv)
        code = _run(args)
        sys.stdout.flush()  # here, where it can be reported, rather than when Python ends
    except BrokenPipeError:  # as in `demo-app plugins | head -1`: nobody reads any more, and that is no fault
        _discard_output()
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        _discard_output()
        sys.stderr.write(f"demo-app: the output cannot be written ({error.strerror}); write it somewhere else.\n")
        return 1
    return code


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.INFO if args.command == "run" else logging.CRITICAL,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        environment.prepare()
        return int(args.call(args) or 0)
    except (SettingsError, DemoError, PluginError) as error:
        sys.stderr.write(f"demo-app: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo-app: stopped; give the same command again to go on.\n")
        return 130


def _discard_output() -> None:
    """Let what is still in the buffer of standard output go nowhere, so that Python does not fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
