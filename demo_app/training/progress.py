"""How far a training is, and a bar that shows it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is. Said after every step, and once more when an epoch has been measured."""

    epoch: int  # whole epochs so far
    epochs: int
    step: int
    steps: int  # of all epochs
    loss: float  # of the last step
    seconds: float  # since it began, or went on
    seconds_left: float  # if it goes on as it began and does not end early
    measured: Mapping[str, float] | None = None  # at the end of an epoch that was measured
    best: float | None = None  # of what is watched


@contextlib.contextmanager
def bar(what: str = "", *, every: float = 2.0, shown: bool = True) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on standard error, for the time of a training: what to give `train` as `progress`."""
    facts: dict[str, str] = {}
    drawn: tqdm[Any] | None = None
    with contextlib.ExitStack() as opened:
        opened.enter_context(logging_redirect_tqdm())  # what is logged meanwhile has lines of its own

        def tell(progress: Progress) -> None:
            nonlocal drawn
            if drawn is None:
                steps: dict[str, Any] = {"total": progress.steps, "initial": progress.step - 1, "unit": "step"}
                drawn = opened.enter_context(
                    tqdm(desc=what or None, file=sys.stderr, mininterval=every, disable=not shown, **steps)
                )
            facts["loss"] = f"{progress.loss:.3f}"
            facts.update({f"held out {name}": f"{value:.4g}" for name, value in (progress.measured or {}).items()})
            drawn.set_postfix(facts, refresh=False)
            drawn.update(progress.step - drawn.n)

        yield tell
