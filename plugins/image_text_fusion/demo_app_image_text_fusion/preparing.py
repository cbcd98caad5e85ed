"""Prepares pictures for the networks."""

# S pixels of a side

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SHORTER, LONGER, PATCH = 384, 639, 32  # ViLT's; LONGER is int(1333 / 800 * 384)


def squared(picture: Image.Image, side: int) -> Image.Image:
    """The whole picture in a square of `side` pixels, padded with the colour of its top left corner."""
    scale = side / max(picture.size)
    size = tuple(max(1, round(length * scale)) for length in picture.size)
    corner = picture.getpixel((0, 0))
    square = Image.new("RGB", (side, side), corner)  # type: ignore[arg-type]
    square.paste(picture.resize(size, Image.Resampling.BICUBIC), ((side - size[0]) // 2, (side - size[1]) // 2))  # type: ignore[arg-type]
    return square


def vilt_size(width: int, height: int) -> tuple[int, int]:
    """Width and height for ViLT: the shorter side 384, the longer at most 639, both rounded down to whole patches.

    As published (Kim et al. 2021), except that each side keeps at least one patch: there, a picture of more than 20 to
    1 vanishes.
    """
    scale = SHORTER / min(width, height)
    scale = min(scale, LONGER / max(width, height))
    sides = (int(length * scale + 0.5) // PATCH * PATCH for length in (width, height))
    wide, high = (max(PATCH, side) for side in sides)
    return wide, high


def vilt(picture: Image.Image) -> Image.Image:
    """The picture at ViLT's size."""
    return picture.resize(vilt_size(*picture.size), Image.Resampling.BICUBIC)


def normalised(picture: Image.Image) -> Tensor:
    """A picture as (1, 3, height, width), from -1 to 1."""
    return scaled(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None])


def scaled(pixels: Tensor) -> Tensor:
    """uint8 of any shape to floats from -1 to 1."""
    return pixels / 127.5 - 1
