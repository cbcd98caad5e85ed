"""The progress of a training, and a bar that shows it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """How far a training is. Reported after every step, and once more after every evaluation."""

    epoch: int  # finished epochs
    epochs: int
    step: int
    steps: int  # of all epochs
    loss: float  # of the last step
    seconds: float  # since it started or resumed
    seconds_left: float  # at the speed so far, if it does not end early
    measured: Mapping[str, float] | None = None  # the metrics, after an evaluation
    best: float | None = None  # of the monitored metric


@contextlib.contextmanager
def progress_bar(
    title: str = "", *, every: float = 2.0, shown: bool = True
) -> Iterator[Callable[[TrainingProgress], None]]:
    """A progress bar on standard error during a training. Yields the callback for `Trainer(progress=...)`.

    It is drawn at most once in `every` seconds.
    """
    facts: dict[str, str] = {}
    bar: tqdm[Any] | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(logging_redirect_tqdm())  # log records get lines of their own

        def update(progress: TrainingProgress) -> None:
            nonlocal bar
            if bar is None:
                steps: dict[str, Any] = {"total": progress.steps, "initial": progress.step - 1, "unit": "step"}
                bar = stack.enter_context(
                    tqdm(desc=title or None, file=sys.stderr, mininterval=every, disable=not shown, **steps)
                )
            facts["loss"] = f"{progress.loss:.3f}"
            facts.update({f"held out {name}": f"{value:.4g}" for name, value in (progress.measured or {}).items()})
            bar.set_postfix(facts, refresh=False)
            bar.update(progress.step - bar.n)

        yield update
