"""Trainings that visitors start: one at a time on this host, each in a process of its own; the others queue.

A visitor's examples and checkpoints are in a private folder, which is deleted when the visitor leaves.
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
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from demo_app import machine
from demo_app.api import Checkpoint, Demo, display_name
from demo_app.errors import DemoError
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.updates import KINDS, Update, Waiting
from demo_app.finetune.watching import Run
from demo_app.settings import Settings

log = logging.getLogger(__name__)

HEARTBEAT = 0.5  # seconds after which the last update is repeated, so that its reader can check whether to go on
PATIENCE = 5.0  # seconds for a process to end before it is killed
MOST_WAITING = 12  # fewer than the events of trainings that may run at once: none waits in the queue of all others
KEPT_SECONDS = 3 * 3600  # without use, after which a session's uploads and checkpoints are deleted


class TrainingFailed(DemoError):
    """The training ended without a result; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A fine-tuning by one or more strategies, one after the other."""

    demo: Demo[Any]
    checkpoint: Checkpoint  # to start from
    folder: Path  # where its files are
    sources: tuple[Path, ...]  # the visitor's files: see `demo_app.finetune.data`
    same: bool | None  # whether labels that look alike are one class; see `read_data`
    recipes: tuple[Recipe, ...]


@dataclass(eq=False)
class _Place:
    """A training in the queue."""

    visitor: str
    cancelled: bool = False


class Trainings:
    """All trainings of this host's visitors."""

    def __init__(self, settings: Settings, is_here: Callable[[str], bool] = lambda visitor: False) -> None:
        self.settings = settings
        self.is_here = is_here  # whether a page of a visitor's is open
        self._runs: dict[str, Run] = {}  # by visitor, until somebody has watched its end
        self._changed = threading.Condition()
        self._queue: list[_Place] = []  # the first one trains, the others wait
        self._running: dict[str, subprocess.Popen[str]] = {}  # by visitor
        self._folders: dict[str, Path] = {}
        self._used: dict[str, float] = {}  # when each folder was last asked for
        self._elsewhere: dict[str, set[Path]] = {}  # files outside the folder, by visitor
        self._closed = False

    def begin(self, job: Job, visitor: str) -> Run:
        """Train by all strategies, watched or not. Raises `TrainingFailed` as `follow` does."""
        updates = self.follow(job, visitor)
        next(updates)  # raises
        patience, is_here = self.settings.goodbye_seconds, self.is_here
        run = Run(
            updates,
            base=job.checkpoint.name,
            strategies=[recipe.strategy for recipe in job.recipes],
            forsaken=lambda seconds: seconds > patience and not is_here(visitor),
            heartbeat=HEARTBEAT,
        )
        with self._changed:
            self._runs[visitor] = run
        return run

    def run_of(self, visitor: str) -> Run | None:
        """The visitor's training that is under way, or whose end nobody has seen."""
        return self._runs.get(visitor)

    def seen(self, run: Run) -> None:
        """The end of a training was shown to its visitor."""
        with self._changed:
            self._runs = {visitor: one for visitor, one in self._runs.items() if one is not run}

    def follow(self, job: Job, visitor: str) -> Generator[Update, None, None]:
        """Train by all strategies and yield updates on the way.

        The last update is repeated if nothing new happens for `HEARTBEAT` seconds. Closing the generator ends the
        training. Raises `TrainingFailed`, also for a visitor who has a training under way already.
        """
        mine = _Place(visitor)
        with self._changed:
            if self._closed:
                raise TrainingFailed("The server is restarting; try again in a minute.")
            if any(place.visitor == visitor for place in self._queue):
                raise TrainingFailed("A training of yours is under way already; wait for it, or stop it.")
            if len(self._queue) > MOST_WAITING:
                raise TrainingFailed("{count} trainings wait already; come back later.", count=MOST_WAITING)
            self._queue.append(mine)
        try:
            yield from self._wait(mine)
            if not mine.cancelled:
                yield from self._train(job, visitor)
        finally:
            with self._changed:
                self._queue.remove(mine)
                self._changed.notify_all()

    def _wait(self, mine: _Place) -> Iterator[Waiting]:
        while True:
            with self._changed:
                before = self._queue.index(mine)
                if before == 0 or mine.cancelled:
                    return
            yield Waiting(place=before)
            with self._changed:
                self._changed.wait_for(
                    lambda before=before: mine.cancelled or self._queue.index(mine) != before,  # type: ignore[misc]
                    timeout=HEARTBEAT,
                )

    def _cancel(self, visitor: str) -> bool:
        """Take the visitor out of the queue; returns whether there was a place. Call it with the lock held."""
        places = [place for place in self._queue if place.visitor == visitor]
        for place in places:
            place.cancelled = True
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
            terminate(process)
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
        threads = str(max(1, (settings.threads or machine.cpus()) - 1))  # one is left for other visitors
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
                "CUDA_VISIBLE_DEVICES": "",  # the GPU is for the page's models
            },
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        return process

    def stop(self, visitor: str) -> bool:
        """End this visitor's training with the best weights so far, or its wait; returns whether there was any."""
        with self._changed:
            process = self._running.get(visitor)
            waited = process is None and self._cancel(visitor)
        if process is None or process.stdin is None:
            return waited
        try:
            process.stdin.write("stop\n")
            process.stdin.flush()
        except (OSError, ValueError):  # it has just ended
            return False
        return True

    def folder(self, visitor: str) -> Path:
        """This visitor's own folder, made when first asked for, readable by this process's user alone."""
        for other in self._unused() if visitor not in self._folders else ():
            self.forget(other)
        with self._changed:
            if visitor not in self._folders:
                self._folders[visitor] = Path(tempfile.mkdtemp(prefix="demo-app-tuning-"))
            self._used[visitor] = time.monotonic()
            return self._folders[visitor]

    def _unused(self) -> list[str]:
        """Visitors who have done nothing for long: a program that calls without a page never reports that it leaves."""
        with self._changed:
            busy, oldest = {place.visitor for place in self._queue}, time.monotonic() - KEPT_SECONDS
            return [visitor for visitor, used in self._used.items() if used <= oldest and visitor not in busy]

    def remember(self, visitor: str, *files: Path) -> None:
        """Delete these files with the visitor's folder: Gradio keeps uploads and downloads outside of it."""
        with self._changed:
            self._elsewhere.setdefault(visitor, set()).update(files)

    def forget(self, visitor: str) -> None:
        """End this visitor's training, and delete all of the visitor's files."""
        with self._changed:
            self._cancel(visitor)
            self._runs.pop(visitor, None)
            process = self._running.pop(visitor, None)
            folder = self._folders.pop(visitor, None)
            self._used.pop(visitor, None)
            files = self._elsewhere.pop(visitor, set())
        if process is not None:
            terminate(process)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()

    def close(self) -> None:
        """End all trainings and delete all files: the host stops."""
        with self._changed:
            self._closed = True
            visitors = {*self._running, *self._folders, *self._elsewhere}
        for visitor in visitors:
            self.forget(visitor)


def updates(process: subprocess.Popen[str]) -> Iterator[Update]:
    """The updates that the process reports, until it reports that it is done; it may exit later."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    last: Update = Waiting(place=0)
    yield last
    while True:
        try:
            line = lines.get(timeout=HEARTBEAT)
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
            raise TrainingFailed(facts["text"], **facts.get("values", {}))
        if "folder" in facts:
            facts["folder"] = Path(facts["folder"])
        last = KINDS[kind](**facts)
        yield last
    log.error("a training's process ended without a result")
    raise TrainingFailed("The training ended before it was through; the machine may be short of memory. Try less.")


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # closed meanwhile
        pass
    finally:
        lines.put(None)


def terminate(process: subprocess.Popen[str]) -> None:
    """Close the process's standard input, at which it ends; kill it if it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it has just ended
        process.stdin.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()  # not before: its reader holds its lock
