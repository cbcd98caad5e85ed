"""Drawn pictures of three shapes: a data set to try fine-tuning with."""

# S pixels of a side

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

EACH = 40  # pictures of each shape
S = 64
FINE = 4  # pictures are drawn so many times larger, for smooth edges
Corners = list[tuple[float, float]]


def write(folder: Path, seed: int = 0) -> list[Path]:
    """Write a folder of pictures for each shape; returns the folder that holds them."""
    draw_from = random.Random(seed)
    for shape, corners in SHAPES.items():
        (folder / "shapes" / shape).mkdir(parents=True)
        for number in range(EACH):
            picture(corners, draw_from).save(folder / "shapes" / shape / f"{number + 1:02}.png")
    return [folder / "shapes"]


def picture(corners: Callable[[], Corners], chance: random.Random) -> Image.Image:
    """The shape at a random place, size and angle, dark on light or light on dark."""
    dark, light = (tuple(chance.randint(low, low + 100) for _ in range(3)) for low in (0, 155))
    ground, ink = chance.sample([dark, light], 2)
    size, turn = chance.uniform(0.22, 0.38), chance.uniform(0, 2 * math.pi)
    x, y = (chance.uniform(size, 1 - size) for _ in range(2))
    turned = [
        (
            x + size * (a * math.cos(turn) - b * math.sin(turn)),
            y + size * (a * math.sin(turn) + b * math.cos(turn)),
        )
        for a, b in corners()
    ]
    large = Image.new("RGB", (S * FINE, S * FINE), ground)
    ImageDraw.Draw(large).polygon([(a * S * FINE, b * S * FINE) for a, b in turned], fill=ink)
    return large.resize((S, S), Image.Resampling.LANCZOS)


def _round(count: int, lengths: tuple[float, ...] = (1.0,)) -> Corners:
    """`count` corners at equal angles around the origin, whose distances from it cycle through `lengths`."""
    return [
        (
            lengths[i % len(lengths)] * math.cos(2 * math.pi * i / count),
            lengths[i % len(lengths)] * math.sin(2 * math.pi * i / count),
        )
        for i in range(count)
    ]


SHAPES: dict[str, Callable[[], Corners]] = {
    "circle": lambda: _round(48),
    "star": lambda: _round(10, (1.0, 0.42)),
    "triangle": lambda: _round(3),
}
