"""The checkpoints: embedded ones, trained from scratch by `train.py`, and published ones, pinned to a Hub commit.

The README.md in each embedded folder is its model card.
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
    _embedded("en_zh", "English to Chinese: everyday sentences", "cc-by-2.0"),
    Checkpoint(
        name="opus_mt_zh_en",
        title="OPUS-MT, Chinese to English",
        repo_id="Helsinki-NLP/opus-mt-zh-en",
        revision="badebd2bdd4cdfde141a969df82a0f2c4e3b1dfe",
        files=(*MARIAN, "model.safetensors"),
        size=315_300_000,
        license="cc-by-4.0",
    ),
    Checkpoint(
        name="opus_mt_en_zh",
        title="OPUS-MT, English to Chinese",
        repo_id="Helsinki-NLP/opus-mt-en-zh",
        revision="408d9bc410a388e1d9aef112a2daba955b945255",
        files=(*MARIAN, "pytorch_model.bin"),  # at that commit there is no model.safetensors
        size=315_300_000,
        license="apache-2.0",
    ),
)
