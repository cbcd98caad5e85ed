"""What the page must know of a checkpoint before it is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """The sizes that the pickers offer, and whether the checkpoint writes poems."""

    layers: int = 30  # the most that any checkpoint has
    heads: int = 14
    poems: bool = False

    @classmethod
    def of(cls, folder: Path | None) -> Shape:
        """From config.json, ours or a published one; the largest sizes if the files are not on this disk."""
        if folder is None:
            return cls()
        config = json.loads((folder / "config.json").read_text("utf-8"))
        layers = config.get("layers") or config.get("n_layer") or config.get("num_hidden_layers") or cls.layers
        heads = config.get("heads") or config.get("n_head") or config.get("num_attention_heads") or cls.heads
        ours = "layers" in config
        return cls(layers, heads, ours and '"[FIVE]"' in (folder / "tokenizer.json").read_text("utf-8"))
