"""The answer and the drawings that a fresh page shows, precomputed by the real model for the first lesson's picture.

    python -m demo_app_separable_conv.example      rewrites example.npz; run it after every change of the weights

A test compares the file with the model's output today.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from demo_app.inputs.pictures import open_picture
from demo_app_separable_conv.checkpoints import CHECKPOINTS
from demo_app_separable_conv.explain import Inside, block_widths, grad_cam, look, look_inside, middle
from demo_app_separable_conv.lessons import lessons
from demo_app_separable_conv.seen import Array, Seen

FILE = Path(__file__).parent / "example.npz"
BLOCK = 1  # from 0: the block whose filters are shown at first


@dataclass(frozen=True, kw_only=True)
class Example:
    """All that the page opens with."""

    seen: Seen
    blocks: tuple[int, ...]  # channels after each
    cam: Array  # (H, W), Grad-CAM of the answer at the last block
    inside: Inside  # of block `BLOCK`


def compute() -> Example:
    """The example, computed with the default checkpoint."""
    from demo_app_separable_conv.classifier import Classifier

    checkpoint = CHECKPOINTS[0]
    assert checkpoint.folder is not None
    classifier = Classifier.load(checkpoint.folder, "cpu")
    picture = open_picture(lessons()[0].path, at_least=classifier.at_least)
    runs = [look(classifier, picture, checkpoint=checkpoint.name) for _ in range(10)]
    seen = min(runs, key=lambda seen: seen.milliseconds).shown()  # the page shows them, and the first run is slow
    seen = replace(seen, milliseconds=round(seen.milliseconds, 1))
    x, network = classifier.read(seen.pixels), classifier.network
    blocks = block_widths(network)
    inside = look_inside(network, x, BLOCK)
    assert inside is not None
    cam = grad_cam(network, x, seen.place(seen.answer), len(blocks) - 1)
    return Example(seen=seen, blocks=tuple(blocks), cam=cam, inside=inside)


def write(example: Example, file: Path = FILE) -> None:
    stored: dict[str, Any] = {"cam": example.cam, "blocks": np.array(example.blocks)}
    for name in ("seen", "inside"):
        part = getattr(example, name)
        stored |= {f"{name}.{f.name}": np.asarray(getattr(part, f.name)) for f in fields(part) if f.name != "picture"}
    np.savez_compressed(file, **stored)


@functools.cache
def example() -> Example:
    """The content of example.npz."""
    with np.load(FILE, allow_pickle=False) as stored:
        values = {name: array.item() if array.ndim == 0 else array for name, array in stored.items()}
    parts = {
        part: {
            field: value for name, value in values.items() for owner, _, field in [name.partition(".")] if owner == part
        }
        for part in ("seen", "inside")
    }
    parts["seen"]["labels"] = tuple(parts["seen"]["labels"].tolist())
    picture = np.asarray(middle(open_picture(lessons()[0].path), 1))  # the embedded networks see the whole square
    return Example(
        seen=Seen(**parts["seen"], picture=picture).shown(),
        blocks=tuple(values["blocks"].tolist()),
        cam=values["cam"],
        inside=Inside(**parts["inside"]),
    )


if __name__ == "__main__":
    write(compute())
