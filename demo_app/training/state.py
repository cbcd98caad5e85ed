"""What a training must remember to resume: counters, the best weights so far, and a file that holds them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demo_app.training.schedule import Schedule

log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """How far a training is and how good it was, beside the states of network and optimisers."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps
    best: float | None = None  # of the monitored metric
    best_tie: float = math.inf  # of the tie breaker, at the best evaluation
    since_best: int = 0  # evaluations since the best one
    best_weights: dict[str, Tensor] = field(default_factory=dict)  # on the CPU; empty unless the best are kept
    measured: list[Mapping[str, float]] = field(default_factory=list)  # metrics of every evaluation, in order

    def record(self, metrics: Mapping[str, float], schedule: Schedule) -> bool:
        """Note an evaluation. Returns whether it is the best so far; NaN never is."""
        self.measured.append(metrics)
        value = metrics[schedule.monitor]
        tie = metrics[schedule.tie_breaker] if schedule.tie_breaker else 0.0
        if not self._improves(value, tie, schedule.higher_is_better):
            self.since_best += 1
            return False
        self.best, self.best_tie, self.since_best = value, tie, 0
        return True

    def _improves(self, value: float, tie: float, higher_is_better: bool) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        if value == self.best:
            return tie < self.best_tie
        return value > self.best if higher_is_better else value < self.best


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """A file from which a killed training resumes."""

    path: Path
    settings: str = ""  # a state is resumed only if it was written with the same settings and the same schedule

    def save(self, state: TrainingState, parts: Mapping[str, Any], schedule: Schedule) -> None:
        """Write the state and the `state_dict` of each part. Killed at any moment, the file on disk is complete."""
        saved = {
            "settings": self._settings(schedule),
            "state": vars(state),
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        unfinished = self.path.with_suffix(".tmp")
        torch.save(saved, unfinished)
        unfinished.replace(self.path)

    def load(self, parts: Mapping[str, Any], schedule: Schedule, device: torch.device) -> TrainingState | None:
        """Load the parts and return the state; `None` if there is no file, or one of other settings."""
        if not self.path.is_file():
            return None
        saved = torch.load(self.path, weights_only=True, map_location=device)
        if saved["settings"] != self._settings(schedule):
            log.warning("%s is of other settings; training starts anew.", self.path)
            return None
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        state = TrainingState(**saved["state"])
        log.info("going on after step %d of %s", state.step, self.path)
        return state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _settings(self, schedule: Schedule) -> str:
        return f"{replace(schedule, bfloat16=False)} {self.settings}"  # bfloat16 may be chosen differently on resuming
