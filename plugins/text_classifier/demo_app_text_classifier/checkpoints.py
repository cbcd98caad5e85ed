"""The checkpoints: all embedded, trained from scratch by `train.py`; each folder's README.md is its model card."""

from __future__ import annotations

from pathlib import Path

from demo_app import Checkpoint

WEIGHTS = Path(__file__).parent / "weights"
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def _embedded(name: str, title: str) -> Checkpoint:
    return Checkpoint(name=name, title=title, folder=WEIGHTS / name, files=FILES, license="apache-2.0")


CHECKPOINTS = (
    _embedded("sst2", "Film reviews, English: sentiment"),
    _embedded("emotion", "Tweets, English: six emotions"),
    _embedded("zh_reviews", "Shop reviews, Chinese: sentiment"),
)
