"""Demos whose models have a known size in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from demo_app import Checkpoint, Demo
from demo_app.models.cache import Models
from demo_app.settings import Settings

MB = 10**6


class Weights:
    """A model of a known size."""

    def __init__(self, size: int) -> None:
        self.array = np.zeros(size, dtype=np.uint8)


def demo_of(tmp_path: Path, load: Any, *names: str, size: int = 0) -> Demo[Any]:
    checkpoints = []
    for name in names or ("tiny",):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.bin").write_bytes(b"0" * size)
        checkpoints.append(Checkpoint(name=name, title=name, folder=folder, files=("model.bin",)))
    return Demo(
        name="sized", title="Sized", summary="s", load=load, build=lambda _: None, checkpoints=tuple(checkpoints)
    )


def models_of(budget: int, **kwargs: Any) -> Models:
    return Models(Settings(memory_budget=budget, device="cpu"), **kwargs)


def own_folder(tmp_path: Path, name: str = "mine", size: int = 0) -> Path:
    folder = tmp_path / "own" / name
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"0" * size)
    return folder
