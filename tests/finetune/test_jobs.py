"""Trainings of visitors: one process each, one at a time, ended when their visitor leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import demo_app_text_classifier
import pytest
from demo_app_text_classifier.sample import write

from demo_app.finetune import jobs
from demo_app.finetune.jobs import Job, TrainingFailed, Trainings
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.updates import Finished, Planned, Running, Started, Update, Waiting
from demo_app.settings import Settings

(DEMO,) = demo_app_text_classifier.register_demos()
pytestmark = pytest.mark.slow  # each starts processes that import torch


@pytest.fixture
def trainings() -> Iterator[Trainings]:
    found = Trainings(Settings())
    yield found
    found.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    checkpoint = DEMO.checkpoint("sst2")
    assert checkpoint is not None
    assert checkpoint.folder is not None
    return Job(
        demo=DEMO,
        checkpoint=checkpoint,
        folder=checkpoint.folder,
        sources=tuple(write(tmp_path)),
        same=None,
        recipes=(Recipe(strategy="freeze", epochs=2),),
    )


def long(job: Job) -> Job:
    return replace(job, recipes=(Recipe(strategy="full", epochs=100, patience=100),))


def until(updates: Iterator[Update], kind: type) -> Update:
    return next(update for update in updates if isinstance(update, kind))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_strategies_follow_one_another_in_one_process(trainings: Trainings, job: Job) -> None:
    recipes = (Recipe(strategy="freeze", epochs=2), Recipe(strategy="layers", layers="layers.2", epochs=1))
    kinds = []
    finished = []
    for update in trainings.follow(replace(job, recipes=recipes), "a"):
        if not kinds or kinds[-1] is not type(update):
            kinds.append(type(update))
        if isinstance(update, Finished) and update not in finished:
            finished.append(update)
    assert kinds[:3] == [Waiting, Started, Planned]
    assert kinds[-1] is Finished
    assert [one.strategy for one in finished] == ["freeze", "layers"]
    assert all((one.folder / "model.safetensors").is_file() for one in finished)
    assert all(one.folder.is_relative_to(trainings.folder("a")) for one in finished)
    assert "fine-tuned from text_classifier/sst2" in (finished[0].folder / "README.md").read_text("utf-8")


def test_it_runs_below_everything_else(trainings: Trainings, job: Job) -> None:
    updates = trainings.follow(long(job), "a")
    until(updates, Running)
    pid = trainings._running["a"].pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    updates.close()


def test_who_leaves_ends_the_training_and_the_next_one_begins(trainings: Trainings, job: Job) -> None:
    first = trainings.follow(long(job), "a")
    until(first, Running)
    pid = trainings._running["a"].pid
    second = trainings.follow(job, "b")
    assert next(second) == Waiting(place=1)
    third = trainings.follow(job, "c")
    assert next(third) == Waiting(place=2)
    first.close()
    assert not alive(pid)
    assert until(second, Finished).strategy == "freeze"
    second.close()
    third.close()


def test_a_folder_is_for_its_visitor_and_goes_with_the_visitor(trainings: Trainings, job: Job) -> None:
    updates = trainings.follow(long(job), "a")
    until(updates, Running)
    folder, other = trainings.folder("a"), trainings.folder("b")
    assert folder != other
    assert folder.stat().st_mode & 0o077 == 0
    pid = trainings._running["a"].pid
    ended = threading.Thread(target=trainings.forget, args=("a",))
    ended.start()
    with pytest.raises(TrainingFailed):
        list(updates)
    ended.join()
    assert not alive(pid)
    assert not folder.exists()
    assert other.exists()


def test_stop_keeps_the_best_so_far(trainings: Trainings, job: Job) -> None:
    updates = trainings.follow(long(job), "a")
    until(updates, Running)
    assert trainings.stop("a")
    found = until(updates, Finished)
    assert isinstance(found, Finished)
    assert found.result["ended"] == "stopped"
    assert (found.folder / "model.safetensors").is_file()
    list(updates)
    assert not trainings.stop("a")


def test_a_second_one_of_the_same_visitor_is_refused(trainings: Trainings, job: Job) -> None:
    updates = trainings.follow(long(job), "a")
    until(updates, Running)
    with pytest.raises(TrainingFailed, match="under way already"):
        next(trainings.follow(job, "a"))
    updates.close()


def test_what_is_wrong_is_one_sentence(trainings: Trainings, job: Job, tmp_path: Path) -> None:
    data = tmp_path / "one.csv"
    data.write_text("text,label\na,x\nb,x\nc,x\nd,x\n")
    with pytest.raises(TrainingFailed, match="All examples are of the class"):
        list(trainings.follow(replace(job, sources=(data,)), "a"))
    with pytest.raises(TrainingFailed, match=r"no layer matches 'layer\.1'"):
        list(trainings.follow(replace(job, recipes=(Recipe(strategy="layers", layers="layer.1"),)), "a"))


def test_bounds_hold_also_for_who_did_not_ask_first(job: Job) -> None:
    few = Trainings(Settings(tune_rows=10, tune_steps=5))
    with pytest.raises(TrainingFailed, match="10"):
        list(few.follow(job, "a"))
    few = Trainings(Settings(tune_steps=5))
    with pytest.raises(TrainingFailed, match="the limit here is 5"):
        list(few.follow(job, "a"))


def test_a_process_that_dies_is_told(trainings: Trainings, job: Job) -> None:
    updates = trainings.follow(long(job), "a")
    until(updates, Running)
    os.kill(trainings._running["a"].pid, signal.SIGKILL)
    with pytest.raises(TrainingFailed, match="ended before it was through"):
        list(updates)
    assert until(trainings.follow(job, "a"), Started)


def test_a_process_that_is_done_may_take_its_time_to_end() -> None:
    said = [{"kind": "started"}, {"kind": "done"}]
    code = f"import json, time\nfor line in {said!r}: print(json.dumps(line), flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        begun = time.monotonic()
        assert list(jobs.updates(process))[-1] == Started()
        assert time.monotonic() - begun < 30
    finally:
        process.kill()
        process.communicate()


def test_the_host_s_end_is_the_training_s(job: Job) -> None:
    trainings = Trainings(Settings())
    updates = trainings.follow(long(job), "a")
    until(updates, Running)
    pid = trainings._running["a"].pid
    began = time.monotonic()
    trainings.close()
    assert not alive(pid)
    assert time.monotonic() - began < 3
    with pytest.raises(TrainingFailed, match="restarting"):
        next(trainings.follow(job, "b"))


def test_who_did_nothing_for_long_is_forgotten_when_another_comes(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    gone, trains = trainings.folder("called without a page"), trainings.folder("trains")
    updates = trainings.follow(long(job), "trains")
    until(updates, Running)
    trainings.folder("came a while ago")
    assert gone.exists()

    monkeypatch.setattr(jobs, "KEPT_SECONDS", 0)
    trainings.folder("comes")

    assert not gone.exists()
    assert trains.exists()
    assert isinstance(next(updates), Running)
    updates.close()
