"""The process in which a page's training runs: `python -m demo_app.tuning.worker`, started by `jobs`.

It takes what to do as one line of JSON on standard input, and says how it goes in lines of JSON on standard output, the
last of which is `done` or `failed`. A line `stop` ends the strategy that runs with its best weights so far. When
standard input ends, whoever started it is gone, or wants nothing more, and so it ends at once. It runs at the lowest
priority there is.
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from demo_app.errors import DemoError
from demo_app.finetune.recipe import Recipe, check_steps

log = logging.getLogger(__name__)
OFTEN = 0.25  # seconds between two words about progress


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")  # ours alone: what a library prints goes to the log
    os.dup2(2, 1)
    lower_priority()
    logging.basicConfig(level=logging.WARNING, format="training: %(message)s", stream=sys.stderr)
    job = json.loads(sys.stdin.readline())
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(stopped,), daemon=True).start()
    try:
        _train(job, stopped, out)
    except DemoError as error:
        _say(out, "failed", text=str(error))
    except MemoryError:
        _say(out, "failed", text="The training needs more memory than there is; choose a smaller checkpoint or batch.")
    except Exception:
        log.exception("the training failed")
        _say(out, "failed", text="Something went wrong in the training; the host's log says what.")
    else:
        _say(out, "done")
    os._exit(0)  # at this priority, on a busy machine, it would take torch long to put its things away


def lower_priority() -> None:
    """Run when nobody else wants the processor: other visitors' answers must not wait for a training."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no nice
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has a class below all priorities
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _listen(stopped: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            stopped.set()
    os._exit(1)


def _say(out: IO[str], kind: str, **facts: Any) -> None:
    out.write(json.dumps({"kind": kind, **facts}) + "\n")
    out.flush()


def _train(job: dict[str, Any], stopped: threading.Event, out: IO[str]) -> None:
    from demo_app.finetune.card import write_card
    from demo_app.finetune.data import check, read_data
    from demo_app.finetune.run import Listener, tune
    from demo_app.training.progress import Progress

    module, _, name = job["tuner"].partition(":")
    tuner = getattr(importlib.import_module(module), name)()
    _say(out, "started")
    began, said = time.monotonic(), 0.0
    data = read_data([Path(path) for path in job["sources"]], tuner.reads, max_rows=job["max_rows"], same=job["same"])
    check(data)
    recipes = [Recipe(**fields) for fields in job["recipes"]]
    check_steps(recipes, len(data.examples), job["max_steps"])
    for place, recipe in enumerate(recipes):
        left = job["max_minutes"] - (time.monotonic() - began) / 60
        if stopped.is_set() or left <= 0:
            break
        strategy = recipe.strategy

        def progress(now: Progress, strategy: str = strategy) -> None:
            nonlocal said
            if now.measured is None and time.monotonic() - said < OFTEN:
                return
            said = time.monotonic()
            facts = {name: value for name, value in asdict(now).items() if name != "best"}
            _say(out, "running", strategy=strategy, **facts)

        def planned(plan: Any, strategy: str = strategy) -> None:
            _say(out, "planned", strategy=strategy, plan=plan.table(), trained=plan.trained, parameters=plan.parameters)

        minutes = left / (len(recipes) - place)  # what one leaves the others may use
        recipe = replace(recipe, minutes=min(recipe.minutes or minutes, minutes))
        folder = Path(job["out"]) / f"{place + 1}-{strategy}"
        listener = Listener(planned=planned, progress=progress, stop=stopped.is_set)
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
        _say(out, "finished", strategy=strategy, result=asdict(result), folder=str(folder))


if __name__ == "__main__":
    main()
