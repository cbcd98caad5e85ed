"""The process in which a page's training runs: `python -m demo_app.finetune.worker`, started by `jobs`.

It reads its job as one line of JSON from standard input, and reports as lines of JSON on standard output, of which the
last is `done` or `failed`. A line `stop` ends the current strategy with its best weights so far. When standard input
ends, its parent is gone or needs no result, so it exits at once. It runs at the lowest priority there is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from demo_app.errors import DemoError
from demo_app.finetune.recipe import Recipe, check_steps

if TYPE_CHECKING:
    from demo_app.finetune.plans import Plan
    from demo_app.training.progress import TrainingProgress

log = logging.getLogger(__name__)
REPORT_SECONDS = 0.25  # between two reports of progress


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")  # for reports only: what a library prints goes to the log
    os.dup2(2, 1)
    lower_priority()
    logging.basicConfig(level=logging.WARNING, format="training: %(message)s", stream=sys.stderr)
    job = json.loads(sys.stdin.readline())
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(stopped,), daemon=True).start()
    report = _Reports(out)
    try:
        _train(job, stopped, report)
    except DemoError as error:
        report("failed", text=error.text, values={name: _plain(value) for name, value in error.values.items()})
    except MemoryError:
        report("failed", text="The training needs more memory than there is; choose a smaller checkpoint or batch.")
    except Exception:
        log.exception("the training failed")
        report("failed", text="Something went wrong in the training; the host's log says what.")
    else:
        report("done")
    os._exit(0)  # at this priority, on a busy machine, torch would take long to clean up


def lower_priority() -> None:
    """Run only when nothing else needs the processor: other visitors' answers must not wait for a training."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no nice
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):  # only Linux has a class below all priorities
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _listen(stopped: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            stopped.set()
    os._exit(1)


def _plain(value: Any) -> Any:
    """The value as JSON can carry it."""
    return value if isinstance(value, str | int | float) else str(value)


class _Reports:
    """Writes one line of JSON for each report."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out
        self.last_progress = 0.0

    def __call__(self, kind: str, **facts: Any) -> None:
        self.out.write(json.dumps({"kind": kind, **facts}) + "\n")
        self.out.flush()

    def planned(self, strategy: str) -> Callable[[Plan], None]:
        def report(plan: Plan) -> None:
            self("planned", strategy=strategy, plan=plan.table(), trained=plan.trained, parameters=plan.parameters)

        return report

    def progress(self, strategy: str) -> Callable[[TrainingProgress], None]:
        """Reports evaluations always, and steps every `REPORT_SECONDS`."""

        def report(progress: TrainingProgress) -> None:
            now = time.monotonic()
            if progress.measured is None and now - self.last_progress < REPORT_SECONDS:
                return
            self.last_progress = now
            facts = {name: value for name, value in asdict(progress).items() if name != "best"}
            self("running", strategy=strategy, **facts)

        return report


def _train(job: dict[str, Any], stopped: threading.Event, report: _Reports) -> None:
    from demo_app.finetune.card import write_card
    from demo_app.finetune.data import check, read_data
    from demo_app.finetune.run import Listener, tune

    module, _, name = job["tuner"].partition(":")
    tuner = getattr(importlib.import_module(module), name)()
    report("started")
    started = time.monotonic()
    data = read_data([Path(path) for path in job["sources"]], tuner.reads, max_rows=job["max_rows"], same=job["same"])
    check(data)
    recipes = [Recipe(**fields) for fields in job["recipes"]]
    check_steps(recipes, len(data.examples), job["max_steps"])
    for place, recipe in enumerate(recipes):
        left = job["max_minutes"] - (time.monotonic() - started) / 60
        if stopped.is_set() or left <= 0:
            break
        strategy = recipe.strategy
        minutes = left / (len(recipes) - place)  # the next strategies may use what this one leaves
        recipe = replace(recipe, minutes=min(recipe.minutes or minutes, minutes))
        folder = Path(job["out"]) / f"{place + 1}-{strategy}"
        listener = Listener(planned=report.planned(strategy), progress=report.progress(strategy), stop=stopped.is_set)
        result = tune(tuner, Path(job["folder"]), data, recipe, folder, listener=listener)
        write_card(
            folder,
            demo=job["demo"],
            base=f"{job['demo']}/{job['base']}",
            base_folder=Path(job["folder"]),
            base_on_hub=job["on_hub"],
            data=", ".join(Path(path).name for path in job["sources"][:5]),
            recipe=recipe,
            result=result,
        )
        report("finished", strategy=strategy, result=asdict(result), folder=str(folder))


if __name__ == "__main__":
    main()
