"""Trainings that visitors start: one at a time on this host, in a process of its own; the others wait for their turn.

What a visitor trains, and with what, is in a folder that nobody else is told of, and goes when the visitor goes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from demo_app import machine
from demo_app.api import Checkpoint, Demo, display_name
from demo_app.errors import DemoError
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.updates import KINDS, Update, Waiting
from demo_app.settings import Settings

log = logging.getLogger(__name__)

BEAT = 0.5  # seconds after which the last update is given again, so that who iterates can see whether it still matters
PATIENCE = 5.0  # seconds for a process to end before it is killed
KEPT_SECONDS = 3 * 3600  # what a session uploaded and trained is forgotten after so long without use


class TrainingFailed(DemoError):
    """The training ended without a result; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A fine-tuning by one strategy or several, one after the other."""

    demo: Demo[Any]
    checkpoint: Checkpoint  # to begin with
    folder: Path  # where its files are
    sources: tuple[Path, ...]  # the visitor's files: see `demo_app.finetune.data`
    same: bool | None  # whether labels that differ only in capitals or spaces are one
    recipes: tuple[Recipe, ...]


@dataclass(eq=False)
class _Place:
    """A training in the line."""

    visitor: str
    given_up: bool = False


class Trainings:
    """All trainings of this host's visitors."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._changed = threading.Condition()
        self._line: list[_Place] = []  # who trains, and after that who waits
        self._running: dict[str, subprocess.Popen[str]] = {}  # by visitor
        self._folders: dict[str, Path] = {}
        self._used: dict[str, float] = {}  # when each was last asked for
        self._elsewhere: dict[str, set[Path]] = {}  # files outside it, by visitor
        self._closed = False

    def follow(self, job: Job, visitor: str) -> Generator[Update, None, None]:
        """Train, and say how it goes, until all strategies are through.

        An update comes twice where nothing new happens for `BEAT` seconds. Whoever stops iterating ends the training.
        Raises `TrainingFailed`, also for a visitor who has a training under way already.
        """
        mine = _Place(visitor)
        with self._changed:
            if self._closed:
                raise TrainingFailed("The server is restarting; try again in a minute.")
            if any(place.visitor == visitor for place in self._line):
                raise TrainingFailed("A training of yours is under way already; wait for it, or stop it.")
            self._line.append(mine)
        try:
            yield from self._wait(mine)
            if not mine.given_up:
                yield from self._train(job, visitor)
        finally:
            with self._changed:
                self._line.remove(mine)
                self._changed.notify_all()

    def _wait(self, mine: _Place) -> Iterator[Waiting]:
        while True:
            with self._changed:
                before = self._line.index(mine)
                if before == 0 or mine.given_up:
                    return
            yield Waiting(place=before)
            with self._changed:
                self._changed.wait_for(
                    lambda before=before: mine.given_up or self._line.index(mine) != before,  # type: ignore[misc]
                    timeout=BEAT,
                )

    def _give_up(self, visitor: str) -> bool:
        """Whoever waits no longer does; whether there was anybody. To be called with the lock."""
        places = [place for place in self._line if place.visitor == visitor]
        for place in places:
            place.given_up = True
        self._changed.notify_all()
        return bool(places)

    def _train(self, job: Job, visitor: str) -> Iterator[Update]:
        out = Path(tempfile.mkdtemp(prefix="result-", dir=self.folder(visitor)))
        process = self._start(job, out)
        with self._changed:
            self._running[visitor] = process
        try:
            yield from updates(process)
        finally:
            end(process)
            with self._changed:
                if self._running.get(visitor) is process:
                    del self._running[visitor]
                if visitor in self._used:
                    self._used[visitor] = time.monotonic()

    def _start(self, job: Job, out: Path) -> subprocess.Popen[str]:
        tuner = job.demo.tuner
        assert tuner is not None
        settings = self.settings
        what = {
            "demo": job.demo.name,
            "tuner": f"{tuner.__module__}:{tuner.__qualname__}",
            "base": display_name(job.checkpoint.name),
            "on_hub": job.checkpoint.repo_id,
            "folder": str(job.folder),
            "sources": [str(source) for source in job.sources],
            "same": job.same,
            "recipes": [asdict(recipe) for recipe in job.recipes],
            "out": str(out),
            "max_rows": settings.tune_rows,
            "max_steps": settings.tune_steps,
            "max_minutes": settings.tune_minutes,
        }
        threads = str(max(1, (settings.threads or machine.cpus()) - 1))  # one stays free for other visitors
        process = subprocess.Popen(
            [sys.executable, "-m", "demo_app.finetune.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "CUDA_VISIBLE_DEVICES": "",  # the models of the page have the GPU
            },
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        return process

    def stop(self, visitor: str) -> bool:
        """End what this visitor trains, with the best weights so far, or waits for; whether there is any."""
        with self._changed:
            process = self._running.get(visitor)
            waited = process is None and self._give_up(visitor)
        if process is None or process.stdin is None:
            return waited
        try:
            process.stdin.write("stop\n")
            process.stdin.flush()
        except (OSError, ValueError):  # it ended just now
            return False
        return True

    def folder(self, visitor: str) -> Path:
        """This visitor's own folder, made when it is first asked for; for this process's user alone."""
        for other in self._long_gone() if visitor not in self._folders else ():
            self.forget(other)
        with self._changed:
            if visitor not in self._folders:
                self._folders[visitor] = Path(tempfile.mkdtemp(prefix="demo-app-tuning-"))
            self._used[visitor] = time.monotonic()
            return self._folders[visitor]

    def _long_gone(self) -> list[str]:
        """Who has done nothing for long: a program that calls without a page never says that it leaves."""
        with self._changed:
            busy, oldest = {place.visitor for place in self._line}, time.monotonic() - KEPT_SECONDS
            return [visitor for visitor, used in self._used.items() if used <= oldest and visitor not in busy]

    def remember(self, visitor: str, *files: Path) -> None:
        """Files outside the visitor's folder that go with it: what Gradio keeps of uploads and downloads."""
        with self._changed:
            self._elsewhere.setdefault(visitor, set()).update(files)

    def forget(self, visitor: str) -> None:
        """End what this visitor trains, and delete all that is left of it."""
        with self._changed:
            self._give_up(visitor)
            process = self._running.pop(visitor, None)
            folder = self._folders.pop(visitor, None)
            self._used.pop(visitor, None)
            files = self._elsewhere.pop(visitor, set())
        if process is not None:
            end(process)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()

    def close(self) -> None:
        """End everything: the host stops."""
        with self._changed:
            self._closed = True
            visitors = {*self._running, *self._folders, *self._elsewhere}
        for visitor in visitors:
            self.forget(visitor)


def updates(process: subprocess.Popen[str]) -> Iterator[Update]:
    """What the process says, until it says that it is done. It may take its time to end."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    last: Update = Waiting(place=0)
    yield last
    while True:
        try:
            line = lines.get(timeout=BEAT)
        except queue.Empty:
            yield last
            continue
        if line is None:
            break
        facts = json.loads(line)
        kind = facts.pop("kind")
        if kind == "done":
            return
        if kind == "failed":
            raise TrainingFailed(facts["text"])
        if "folder" in facts:
            facts["folder"] = Path(facts["folder"])
        last = KINDS[kind](**facts)
        yield last
    log.error("a training ended before it was done")
    raise TrainingFailed("The training ended before it was through; the machine may be short of memory. Try less.")


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # closed meanwhile
        pass
    finally:
        lines.put(None)


def end(process: subprocess.Popen[str]) -> None:
    """Let it end now: it does when its standard input does, and is killed where it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it ended just now
        process.stdin.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()  # not before: whoever reads it holds its lock
