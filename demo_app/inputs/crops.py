"""The centre crop of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image


def centre_crop(
    picture: Image.Image, resize: int, crop: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """The middle `crop` x `crop` pixels of the picture with its shorter side made `resize` long; black where it ends.

    Pixel by pixel what torchvision's `Resize(resize)` and `CenterCrop(crop)` make of a PIL picture. For ratios above
    8:1 only what the crop keeps is resized, instead of (for 5,000 x 3) 100 million pixels; one value in a thousand then
    differs by 1.
    """
    width, height = picture.size
    longer = int(resize * max(width, height) / min(width, height))
    size = (resize, longer) if width <= height else (longer, resize)
    left, top = _offset(size[0], crop), _offset(size[1], crop)
    if longer <= 8 * resize:
        resized = picture.resize(size, resample)
    else:
        x, y = _kept(width, size[0], crop), _kept(height, size[1], crop)
        needed = picture.crop((x.first, y.first, x.last, y.last))
        resized = needed.resize((x.pixels, y.pixels), resample, box=(x.start, y.start, x.end, y.end))
        left, top = min(left, 0), min(top, 0)
    return resized.crop((left, top, left + crop, top + crop))


def _offset(side: int, crop: int) -> int:
    """Where the crop begins, with torchvision's rounding: negative where the side is shorter and gets padded."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What a crop of the resized picture keeps, along one axis of the picture as it is."""

    pixels: int  # of the crop
    first: int  # pixels that go into them, up to `last`
    last: int
    start: float  # where the crop begins and ends, counted from `first`: Pillow takes it as float32, exact near 0 only
    end: float


def _kept(side: int, resized: int, crop: int) -> _Kept:
    begin = max(_offset(resized, crop), 0)
    end = min(begin + crop, resized)
    scale = side / resized
    reach = math.ceil(3 * max(scale, 1)) + 1  # of Lanczos, the widest filter
    first = max(math.floor(begin * scale) - reach, 0)
    last = min(math.ceil(end * scale) + reach, side)
    return _Kept(
        pixels=end - begin,
        first=first,
        last=last,
        start=begin * scale - first,
        end=min(end * scale - first, last - first),
    )
