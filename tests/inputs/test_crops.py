"""The centre crop is torchvision's, and stays quick on pictures of odd shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torchvision.transforms as T
from PIL import Image
from sample_pictures import RED, best

from demo_app.inputs.crops import centre_crop


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


SHAPES = [(1, 1), (1, 2), (2, 1), (31, 33), (224, 224), (256, 256), (255, 257), (500, 375), (375, 500), (641, 427)]
SHAPES += [(800, 100), (100, 800), (57, 391), (7, 5), (640, 361), (333, 334), (1200, 300)]


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (235, 224), (224, 224), (32, 32), (40, 33), (20, 33)])
@pytest.mark.parametrize("resample", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
def test_the_crop_equals_torchvisions_pixel_by_pixel(resize: int, crop: int, resample: Image.Resampling) -> None:
    mode = {
        Image.Resampling.BICUBIC: T.InterpolationMode.BICUBIC,
        Image.Resampling.BILINEAR: T.InterpolationMode.BILINEAR,
    }
    theirs = T.Compose([T.Resize(resize, mode[resample]), T.CenterCrop(crop)])
    for size in SHAPES:
        picture = noise(*size)
        assert np.array_equal(centre_crop(picture, resize, crop, resample), theirs(picture)), size


@pytest.mark.parametrize("size", [(5000, 3), (3, 5000), (900, 100), (100, 1700), (610, 11)])
def test_a_long_picture_is_cropped_as_by_torchvision_up_to_rounding(size: tuple[int, int]) -> None:
    for resize, crop in [(64, 56), (32, 32), (20, 33)]:
        picture = noise(*size)
        theirs = T.CenterCrop(crop)(T.Resize(resize, T.InterpolationMode.BICUBIC)(picture))
        apart = np.abs(np.asarray(centre_crop(picture, resize, crop)).astype(int) - np.asarray(theirs))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.005


def test_a_long_picture_is_not_resized_as_a_whole() -> None:
    """torchvision would make 256 x 426,667 pixels of it."""
    assert best(lambda: centre_crop(Image.new("RGB", (5000, 3)), 256, 224)) < 0.05
    assert centre_crop(Image.new("RGB", (50_000_000, 1), RED), 256, 224).getcolors() == [(224 * 224, RED)]
