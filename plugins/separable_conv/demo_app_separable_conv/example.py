"""The pictures to try, and the answer that a freshly opened page shows, computed beforehand by the real model.

    python -m demo_app_separable_conv.example      writes example.npz anew; needed after every change of the weights

A test compares the file with what the model says today.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from demo_app.inputs.pictures import open_picture
from demo_app_separable_conv.checkpoints import CHECKPOINTS
from demo_app_separable_conv.explain import Array, Inside, Seen, block_names, grad_cam, look, look_inside, middle

FILE = Path(__file__).parent / "example.npz"
ASSETS = Path(__file__).parent / "assets"
BLOCK = 1  # from 0: the one whose filters are shown at first


@dataclass(frozen=True)
class Lesson:
    """A picture to try, and what to notice in it."""

    title: str
    path: Path
    lesson: str


def lessons() -> tuple[Lesson, ...]:
    """Those whose picture is there: some lie in the gradio package, which may move them."""
    package = importlib.util.find_spec("gradio")
    gradio = Path(package.origin or "").parent / "media_assets" / "images" if package else ASSETS
    known = (
        Lesson("Cat", ASSETS / "cat.jpg", "Where did it look: at the ears, the eyes, the fur?"),
        Lesson(
            "Horse",
            ASSETS / "horse.png",
            "A silhouette: no colour, no texture. What is left of a horse for a network that learned from photographs?",
        ),
        Lesson(
            "Bus",
            gradio / "bus.png",
            "A drawing, and a class that the ten do not have. Truck or automobile would be near.",
        ),
        Lesson(
            "Lion",
            gradio / "lion.jpg",
            "None of the ten classes. It cannot say “none”: it shares its certainty among what it knows.",
        ),
        Lesson(
            "Rocket",
            ASSETS / "rocket.jpg",
            "Ten classes have no rocket; with 1,000 it is a missile. Where it looks tells.",
        ),
        Lesson(
            "Espresso",
            ASSETS / "coffee.jpg",
            "Choose MobileNet in the picker: espresso, cup and saucer are classes of their own there.",
        ),
    )
    return tuple(lesson for lesson in known if lesson.path.is_file())


@dataclass(frozen=True, kw_only=True)
class Example:
    """All that the page opens with."""

    seen: Seen
    blocks: tuple[str, ...]
    cam: Array  # (H, W), of the answer at the last block
    inside: Inside  # of block `BLOCK`


def compute() -> Example:
    """From the default checkpoint, now."""
    from demo_app_separable_conv.classifier import Classifier

    checkpoint = CHECKPOINTS[0]
    assert checkpoint.folder is not None
    classifier = Classifier.load(checkpoint.folder, "cpu")
    picture = open_picture(lessons()[0].path, at_least=classifier.at_least)
    runs = [look(classifier, picture, checkpoint=checkpoint.name) for _ in range(10)]
    seen = min(runs, key=lambda seen: seen.milliseconds).shown()  # the first is slow, and the milliseconds are shown
    seen = replace(seen, milliseconds=round(seen.milliseconds, 1))
    x, network = classifier.read(seen.pixels), classifier.network
    names = block_names(network)
    inside = look_inside(network, x, BLOCK)
    assert inside is not None
    cam = grad_cam(network, x, seen.place(seen.answer), len(names) - 1)
    return Example(seen=seen, blocks=tuple(names), cam=cam, inside=inside)


def write(example: Example, file: Path = FILE) -> None:
    stored: dict[str, Any] = {"cam": example.cam, "blocks": np.array(example.blocks)}
    for name in ("seen", "inside"):
        part = getattr(example, name)
        stored |= {f"{name}.{f.name}": np.asarray(getattr(part, f.name)) for f in fields(part) if f.name != "picture"}
    np.savez_compressed(file, **stored)


@functools.cache
def example() -> Example:
    """What example.npz holds."""
    with np.load(FILE, allow_pickle=False) as stored:
        values = {name: array.item() if array.ndim == 0 else array for name, array in stored.items()}
    parts = {
        part: {
            field: value for name, value in values.items() for owner, _, field in [name.partition(".")] if owner == part
        }
        for part in ("seen", "inside")
    }
    parts["seen"]["labels"] = tuple(parts["seen"]["labels"].tolist())
    picture = np.asarray(middle(open_picture(lessons()[0].path), 1))  # the embedded networks see all of the square
    return Example(
        seen=Seen(**parts["seen"], picture=picture).shown(),
        blocks=tuple(values["blocks"].tolist()),
        cam=values["cam"],
        inside=Inside(**parts["inside"]),
    )


if __name__ == "__main__":
    write(compute())
