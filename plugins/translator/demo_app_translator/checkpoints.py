"""The checkpoints: embedded ones, trained from scratch by `train.py`, and published ones, pinned to a Hub commit.

Each embedded folder's README.md is its model card.
"""

from __future__ import annotations

from pathlib import Path

from demo_app import Checkpoint

WEIGHTS = Path(__file__).parent / "weights"
FILES = ("config.json", "model.safetensors", "source.json", "target.json")
MARIAN = ("config.json", "vocab.json", "source.spm", "target.spm")


def _embedded(name: str, title: str, license: str) -> Checkpoint:
    return Checkpoint(name=name, title=title, folder=WEIGHTS / name, files=FILES, license=license)


CHECKPOINTS = (
    _embedded("en_de", "English to German: what pictures show", "apache-2.0"),
    _embedded("en_zh", "English to Chinese: everyday sentences", "apache-2.0"),
)
