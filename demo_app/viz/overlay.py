"""Numbers laid over pictures: where something matters, and which place is meant. Imports neither gradio nor torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

OPACITY = 0.65  # of the strongest colour over a picture
WEAK, STRONG = (213, 94, 0), (240, 228, 66)  # vermilion and yellow of Okabe and Ito: all eyes tell them from grey
COLOURS = [
    round(weak + level / 255 * (strong - weak))
    for level in range(256)
    for weak, strong in zip(WEAK, STRONG, strict=True)
]  # red, green and blue of each level


def heat(picture: Pixels, strength: NDArray[np.float32]) -> Pixels:
    """A picture in grey, with colour where it matters: (P, Q, 3) and (h, w) from 0 to 1 make (P, Q, 3)."""
    levels = (255 * np.nan_to_num(strength).clip(0, 1)).round().astype(np.uint8)
    smooth = Image.fromarray(levels).resize((picture.shape[1], picture.shape[0]), Image.Resampling.BICUBIC)
    grey = Image.fromarray(picture).convert("L").convert("RGB")
    opaque = smooth.point([round(OPACITY * level) for level in range(256)])
    smooth.putpalette(COLOURS)  # each level becomes its colour
    return np.asarray(Image.composite(smooth.convert("RGB"), grey, opaque))


def framed(picture: Pixels, row: int, column: int, places: tuple[int, int]) -> Pixels:
    """The picture with a frame, black outside and white inside, around one of h x w places; row and column from 0."""
    height, width = picture.shape[:2]
    top, bottom = row * height // places[0], (row + 1) * height // places[0]
    left, right = column * width // places[1], (column + 1) * width // places[1]
    result = picture.copy()
    for inset, colour in ((0, 0), (2, 255)):
        inside = np.s_[top + inset + 2 : bottom - inset - 2, left + inset + 2 : right - inset - 2]
        result[top + inset : bottom - inset, left + inset : right - inset] = colour
        result[inside] = picture[inside]
    return result
