"""Drawn pictures of three shapes: something to fine-tune on before one has pictures of one's own."""

# S pixels of a side

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

EACH, S, FINE = 40, 64, 4  # drawn FINE times as large, for smooth edges
Corners = list[tuple[float, float]]


def write(folder: Path, seed: int = 0) -> list[Path]:
    """A folder of pictures a shape, in one folder."""
    draw_from = random.Random(seed)
    for shape, corners in SHAPES.items():
        (folder / "shapes" / shape).mkdir(parents=True)
        for number in range(EACH):
            picture(corners, draw_from).save(folder / "shapes" / shape / f"{number + 1:02}.png")
    return [folder / "shapes"]


def picture(corners: Callable[[], Corners], chance: random.Random) -> Image.Image:
    """The shape anywhere, of any size, turned by any angle, on a ground of another lightness."""
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
