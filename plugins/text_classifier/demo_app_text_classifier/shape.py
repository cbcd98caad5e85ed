"""What the page must know of a checkpoint before its model is loaded. Imports neither gradio nor torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from demo_app.i18n import say


@dataclass(frozen=True)
class Shape:
    """Layers, heads and longest input of a checkpoint; by default those of DistilBERT, the largest one."""

    layers: int = 6
    heads: int = 12
    max_tokens: int = 512

    @classmethod
    def of(cls, folder: Path | None) -> Shape:
        """Read from config.json, ours or a published one; the largest shape if the files are not on this disk."""
        if folder is None:
            return cls()
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if "n_layers" in config:
            return cls(config["n_layers"], config["n_heads"], config["max_position_embeddings"])
        return cls(config["layers"], config["heads"], config["max_tokens"])

    def info(self, limit: int) -> str:
        """The line above the text box; `limit` is the most characters that the page accepts."""
        return say(
            "Up to {limit} characters, of which the model reads at most {tokens} tokens. Enter classifies.",
            limit=f"{limit:,}",
            tokens=self.max_tokens,
        )
