"""Follows the tutorial: writes every file, types every command, in order, and compares the output.

Beside what a reader has there are only an index for pip (the wheel of the host, in a folder), virtual environments that
see the packages of this one, another port, and a Hub on this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from installing import copied, wheels
from markdown_it import MarkdownIt
from plugins_on_disk import ROOT

if TYPE_CHECKING:
    from demo_app.testing.hub import Hub

PAGE = ROOT / "docs" / "first-plugin.md"
PATIENCE = 600.0  # seconds of a busy machine until a terminal is given up
DONE = "what-was-typed-is-done"
SERVING = "serving on "
TO_PASTE = re.compile(r" *# Checkpoint\(.*\n")

# `python3` of a reader's machine: its virtual environments see the packages of this one, and have the command pytest
PYTHON = """#!/bin/bash
{python} "$@" || exit
[ "$1 $2" = "-m venv" ] || exit 0
own=$(realpath -s "$3/bin/python")
echo {packages} > "$("$own" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/heavy.pth"
printf '#!%s\\nimport sys, pytest\\nsys.exit(pytest.main())\\n' "$own" > "$3/bin/pytest"
chmod +x "$3/bin/pytest"
"""


@dataclass(frozen=True)
class File:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True)
class Commands:
    """Commands that the reader types, and the output that the page shows."""

    text: str
    shown: str

    @property
    def serves(self) -> bool:
        return re.search(r"^(demo-app run|python .*app\.py)$", self.text, flags=re.MULTILINE) is not None


@dataclass(frozen=True)
class Stop:
    """The reader presses Ctrl-C."""


def steps(page: str) -> Iterator[File | Commands | Stop]:
    """The steps of a page. A block that is none of them is an error."""
    tokens = [token for token in MarkdownIt("commonmark").parse(page) if token.type in ("inline", "fence")]
    for i, token in enumerate(tokens):
        before = tokens[i - 1].content
        if token.type == "inline":
            if "Ctrl-C" in token.content:
                yield Stop()
        elif token.info == "bash":
            after = tokens[i + 1]
            yield Commands(token.content, after.content if after.info == "text" else "")
        elif token.info in ("python", "toml"):
            name = re.fullmatch(r"`([\w/.-]+)`", before)
            assert name, f"no file is named above the block after {before!r}"
            yield File(name[1], token.content)
        else:
            assert token.info == "text", f"what is the block after {before!r}?"
            assert tokens[i - 1].info == "bash", f"which command shows what follows {before!r}?"


class Terminal:
    """A shell that keeps its state between commands."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._keys: IO[str] = self._shell.stdin
        self._screen: IO[str] = self._shell.stdout
        self._giving_up = threading.Timer(PATIENCE, os.killpg, (self._shell.pid, signal.SIGKILL))
        self._giving_up.start()
        self.type("set -e")

    def type(self, commands: str, until: str = DONE) -> str:
        """Type the commands and read until the output has `until`. Returns the output before it."""
        self._keys.write(f"{commands.rstrip()}\necho {DONE}\n")
        self._keys.flush()
        return self.read(until)

    def read(self, until: str) -> str:
        seen = []
        for line in self._screen:
            seen.append(line.partition(until)[0])
            if until in line:
                return "".join(seen)
        pytest.fail("a command failed:\n" + "".join(seen))

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self._shell.pid, signal.SIGINT)
        self.read(DONE)

    def close(self) -> None:
        self._giving_up.cancel()
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()


class Reader:
    """Follows the page."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.variables = variables
        self.terminals = [Terminal(folder, variables)]
        self.serving: Terminal | None = None  # where the host runs
        self.printed = ""  # by the last commands

    def follow(self, step: File | Commands | Stop) -> None:
        if isinstance(step, File):
            self.write(step)
        elif isinstance(step, Stop):
            assert self.serving is not None, "there is nothing to stop"
            self.serving.interrupt()
            self.serving = None
        else:
            self.type(step)

    def here(self, text: str) -> str:
        """The text with the port of the host here."""
        return text.replace("127.0.0.1:7860", f"127.0.0.1:{self.variables['DEMO_APP_PORT']}")

    def write(self, file: File) -> None:
        path, text = self.folder / file.name, self.here(file.text)
        if TO_PASTE.search(text):
            lines = self.printed[self.printed.index("Checkpoint(") :]
            text = TO_PASTE.sub(lambda _: lines, text)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def type(self, commands: Commands) -> None:
        text = self.here(commands.text)
        if self.serving is self.terminals[-1]:
            self.terminals.append(Terminal(self.folder, self.variables))
        if commands.serves:
            self.printed = self.terminals[-1].type(text, until=SERVING)
            self.serving = self.terminals[-1]
        else:
            self.printed = self.terminals[-1].type(text)
        pattern = ".*".join(map(re.escape, commands.shown.rstrip("\n").split("...")))
        assert re.search(pattern, self.printed, flags=re.DOTALL), (
            f"{text}\nshows\n{self.printed}\nnot\n{commands.shown}"
        )

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()


@pytest.fixture
def reader(tmp_path: Path, test_hub: Hub) -> Iterator[Reader]:
    """A reader with an empty folder, a `python3`, and the account `you` on the Hub."""
    (wheel,) = wheels([copied(ROOT, tmp_path / "source")], tmp_path / "index")
    shutil.rmtree(tmp_path / "source")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text(PYTHON.format(python=sys.executable, packages=sysconfig.get_path("purelib")))
    (tools / "python3").chmod(0o755)
    test_hub.user, test_hub.token = "you", "hf_..."
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    folder = tmp_path / "work"
    folder.mkdir()
    following = Reader(
        folder,
        {
            "PATH": os.pathsep.join([str(tools), "/usr/bin", "/bin"]),
            "HOME": str(tmp_path / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheel.parent),
            "PIP_NO_DEPS": "1",  # what is required is seen; pip would look for newer builds of some
            "PIP_NO_BUILD_ISOLATION": "0",  # as --no-build-isolation
            "PYTHONUNBUFFERED": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_XET": "1",
            "HF_ENDPOINT": test_hub.url,
            "DEMO_APP_PORT": port,
        },
    )
    yield following
    following.close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial calls an action with curl; install it")
def test_every_block_of_the_tutorial_works_in_order(reader: Reader, test_hub: Hub) -> None:
    for step in steps(PAGE.read_text("utf-8")):
        reader.follow(step)
    assert reader.serving is None
    assert {"model.safetensors", "config.json", "README.md"} <= set(test_hub.repos["you/mood-sure"].files)
    space = test_hub.repos["spaces/you/mood"].files
    assert "plugins/mood/demo_app_mood/model.py" in space
    assert b"you/mood-sure" in space["README.md"]  # fetched when it is built
    assert json.loads(space["plugins/mood/demo_app_mood/weights/tiny/config.json"])["words"]
