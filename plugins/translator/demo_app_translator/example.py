"""The sentence and the translation that the page opens with, computed in advance by the real model.

    python -m demo_app_translator.example      rewrites example.npz; needed after every change of the weights

A test compares the file with the model.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from demo_app_translator.checkpoints import CHECKPOINTS
from demo_app_translator.explain import Node, Seen, watch

FILE = Path(__file__).parent / "example.npz"
SENTENCE = "A small dog is jumping over a wooden fence."
ARRAYS = ("encoder", "decoder", "cross")


def compute() -> Seen:
    """Compute it with the default checkpoint."""
    from demo_app_translator.search import Beam
    from demo_app_translator.translator import Translator

    checkpoint = CHECKPOINTS[0]
    assert checkpoint.folder is not None
    translator = Translator.load(checkpoint.folder, "cpu")
    runs = [list(watch(translator, SENTENCE, Beam(), checkpoint.name))[-1] for _ in range(5)]
    seen = min(
        (run for run in runs if isinstance(run, Seen)), key=lambda run: run.milliseconds
    )  # the first run is slow
    return replace(seen, milliseconds=round(seen.milliseconds, 1))


def write(seen: Seen, file: Path = FILE) -> None:
    """Write it in the format that `example` reads."""
    plain = {name: value for name, value in asdict(seen).items() if name not in ARRAYS}
    arrays: dict[str, Any] = {name: getattr(seen, name).astype(np.float16) for name in ARRAYS}
    np.savez_compressed(file, plain=np.array(json.dumps(plain, ensure_ascii=False)), **arrays)


@functools.cache
def example() -> Seen:
    """Read example.npz."""
    with np.load(FILE) as stored:
        plain = json.loads(str(stored["plain"]))
        arrays = {name: stored[name].astype(np.float32) for name in ARRAYS}
    plain["nodes"] = tuple(Node(**node) for node in plain["nodes"])
    lists = {field.name: tuple(plain[field.name]) for field in fields(Seen) if isinstance(plain.get(field.name), list)}
    return Seen(**plain | lists | arrays)


if __name__ == "__main__":
    write(compute())
