"""The checkpoints: embedded ones, trained from scratch by `train.py`, and published ones on the Hub at a pinned commit.

Each embedded folder's README.md is its model card.
"""

from __future__ import annotations

from pathlib import Path

from demo_app import Checkpoint

WEIGHTS = Path(__file__).parent / "weights"
FILES = ("config.json", "model.safetensors", "tokenizer.json")
CHAT = (*FILES, "tokenizer_config.json")  # has the chat template


def _embedded(name: str, title: str) -> Checkpoint:
    return Checkpoint(name=name, title=title, folder=WEIGHTS / name, files=FILES, license="apache-2.0")


CHECKPOINTS = (
    _embedded("shakespeare", "Shakespeare, letter by letter"),
    _embedded("tang", "Tang poems, Chinese"),
    Checkpoint(
        name="smollm2",
        title="SmolLM2 135M Instruct: chat",
        repo_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        files=CHAT,
        size=271_169_733,
        sha256={
            "config.json": "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a",
            "model.safetensors": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
            "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
            "tokenizer_config.json": "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df",
        },
        license="apache-2.0",
    ),
    Checkpoint(
        name="gpt2",
        title="GPT-2, 124M",
        repo_id="openai-community/gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        files=FILES,
        size=549_460_000,
        sha256={
            "config.json": "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
            "model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        },
        license="mit",
    ),
    Checkpoint(
        name="distilgpt2",
        title="DistilGPT2, 82M",
        repo_id="distilbert/distilgpt2",
        revision="2290a62682d06624634c1f46a6ad5be0f47f38aa",
        files=FILES,
        size=354_180_000,
        sha256={"model.safetensors": "e1ff18884359fe8beb795a5f414feb85a6ce3d929ad019c0d958c039d2b94a1b"},
        license="apache-2.0",
    ),
    Checkpoint(
        name="qwen2_5",
        title="Qwen2.5 0.5B Instruct: chat, Chinese too",
        repo_id="Qwen/Qwen2.5-0.5B-Instruct",
        revision="7ae557604adf67be50417f59c2c2f167def9a775",
        files=CHAT,
        size=995_137_433,
        sha256={
            "config.json": "18e18afcaccafade98daf13a54092927904649e1dd4eba8299ab717d5d94ff45",
            "model.safetensors": "fdf756fa7fcbe7404d5c60e26bff1a0c8b8aa1f72ced49e7dd0210fe288fb7fe",
            "tokenizer.json": "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539",
            "tokenizer_config.json": "5b5d4f65d0acd3b2d56a35b56d374a36cbc1c8fa5cf3b3febbbfabf22f359583",
        },
        license="apache-2.0",
    ),
)
