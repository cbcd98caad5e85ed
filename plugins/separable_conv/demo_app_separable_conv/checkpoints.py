"""The checkpoints: embedded ones, trained from scratch by `train.py`, and published ones, pinned to a Hub commit.

The model card of an embedded one is the README.md in its folder.
"""

from __future__ import annotations

from pathlib import Path

from demo_app import Checkpoint

WEIGHTS = Path(__file__).parent / "weights"
FILES = ("config.json", "model.safetensors")


def _embedded(name: str, title: str) -> Checkpoint:
    return Checkpoint(name=name, title=title, folder=WEIGHTS / name, files=FILES, license="apache-2.0")


CHECKPOINTS = (
    _embedded("cifar10", "Ours, ten classes: separable"),
    _embedded("cifar10_dense", "Ours, ten classes: its dense twin"),
    _embedded("cifar10_attention", "Ours, ten classes: separable, with attention"),
    Checkpoint(
        name="mobilenetv1",
        title="MobileNetV1, 1,000 classes",
        repo_id="timm/mobilenetv1_100.ra4_e3600_r224_in1k",
        revision="dda9ab42e23f3061aa191630817df76e8fe9cace",
        files=FILES,
        size=17_000_000,
        license="apache-2.0",
    ),
    Checkpoint(
        name="mobilenetv2",
        title="MobileNetV2, 1,000 classes",
        repo_id="timm/mobilenetv2_100.ra_in1k",
        revision="f3ff81ba89de0bc46b546568ebeab2edef6b9d49",
        files=FILES,
        size=14_200_000,
        sha256={"model.safetensors": "55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e"},
        license="apache-2.0",
    ),
)
