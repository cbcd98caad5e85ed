"""A small network for scenes with random weights, and a writer of clips."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from demo_app_image_text_fusion import scenes
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.model import Config, Fusion, Modality
from demo_app_image_text_fusion.scene_data import POINTING
from demo_app_image_text_fusion.texts import word_tokenizer

CODECS = {".mp4": "mpeg4", ".webm": "libvpx", ".avi": "mpeg4", ".gif": "gif", ".mkv": "mpeg4", ".mov": "mpeg4"}


@pytest.fixture(scope="session")
def answerer() -> Answerer:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(question.text for _, question in scenes.examples(1, 2000, 4))
    config = Config(
        labels=scenes.ANSWERS,
        modalities=(
            Modality(name="text", kind="tokens", inputs=tokenizer.get_vocab_size(), places=(40,)),
            Modality(name="image", kind="stem", inputs=3, places=(8, 8), patch=8),
        ),
        width=32,
        heads=4,
        layers=3,
        feed_forward=64,
        pointing=POINTING,
    )
    network = Fusion(config)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return Answerer(network, tokenizer)


def _grey(number: int, count: int, size: tuple[int, int]) -> np.ndarray:
    return np.full((size[1], size[0], 3), 255 * number // max(count - 1, 1), np.uint8)


def _write(
    path: Path,
    count: int,
    rate: Fraction | int = 10,
    size: tuple[int, int] = (64, 48),
    group: int = 12,
    paint: Callable[[int, int, tuple[int, int]], np.ndarray] = _grey,
) -> Path:
    """A clip that goes from black to white."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if path.suffix == ".gif" else "yuv420p"
        if path.suffix != ".gif":
            stream.codec_context.gop_size = group
            stream.bit_rate = 2_000_000
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(paint(i, count, size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """A function that writes a clip of `count` frames, each drawn by `paint`."""
    return _write
