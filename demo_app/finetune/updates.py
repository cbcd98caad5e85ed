"""What a training reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Waiting:
    place: int  # trainings that come before it


@dataclass(frozen=True, kw_only=True)
class Started:
    """The process has started, and reads the data."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    strategy: str
    plan: list[list[str]]  # rows of layer, parameters, trained or not, learning rate
    trained: int  # parameters
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Running:
    strategy: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float  # of the last step
    seconds: float
    seconds_left: float
    measured: dict[str, float] | None  # loss and accuracy on the held-out examples, at the end of an epoch


@dataclass(frozen=True, kw_only=True)
class Finished:
    strategy: str
    result: dict[str, Any]  # the fields of `demo_app.finetune.result.Result`
    folder: Path  # the new checkpoint


Update = Waiting | Started | Planned | Running | Finished
KINDS: dict[str, type] = {"started": Started, "planned": Planned, "running": Running, "finished": Finished}
