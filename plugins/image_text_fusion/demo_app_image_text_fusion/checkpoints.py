"""The checkpoints: the embedded one, trained from scratch on scenes, and published ones, pinned to a Hub commit.

The model card of the embedded one is the README.md in its folder.
"""

from __future__ import annotations

from pathlib import Path

from demo_app import Checkpoint

WEIGHTS = Path(__file__).parent / "weights"
OWN = ("config.json", "model.safetensors", "tokenizer.json")
VILT = ("config.json", "pytorch_model.bin", "tokenizer.json")

CHECKPOINTS = (
    Checkpoint(
        name="scenes",
        title="Ours: questions about coloured shapes",
        folder=WEIGHTS / "scenes",
        files=OWN,
        license="apache-2.0",
    ),
    Checkpoint(
        name="vilt_vqa",
        title="ViLT, any photograph, 3,129 answers",
        repo_id="dandelin/vilt-b32-finetuned-vqa",
        revision="d0a1f6ab88522427a7ae76ceb6e1e1e7b68a1d08",
        files=VILT,
        size=470_500_000,
        sha256={"pytorch_model.bin": "4d5f3409947b0369487ece7c5868f0040ceb67d25735dbb4ac5e99e03bab3a19"},
        license="apache-2.0",
    ),
    Checkpoint(
        name="vilt_coco",
        title="ViLT, does this caption fit this picture?",
        repo_id="dandelin/vilt-b32-finetuned-coco",
        revision="4e5b334774d26f89aa86edaf7e7ae8a82ae342ea",
        files=VILT,
        size=446_500_000,
        sha256={"pytorch_model.bin": "8d79a91faf3067a25e604adac4717d064d4035b87d02a6ef9311222151a3ccea"},
        license="apache-2.0",
    ),
)
