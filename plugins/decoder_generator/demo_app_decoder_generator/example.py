"""The text that a freshly opened page shows, written beforehand by the real model and kept in example.json.

    python -m demo_app_decoder_generator.example      writes it again, as is needed after every change of the weights

A test checks that the model still finds it likely.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FILE = Path(__file__).parent / "example.json"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt and a checkpoint's continuation of it."""

    checkpoint: str = "shakespeare"
    prompt: str = "ROMEO:"
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 4
    tokens: int = 300
    written: str = ""


@functools.cache
def example() -> Example:
    """The example in example.json."""
    return Example(**json.loads(FILE.read_text("utf-8")))


def write(settings: Example) -> Example:
    """The example with what the checkpoint writes today."""
    from demo_app_decoder_generator.checkpoints import WEIGHTS
    from demo_app_decoder_generator.sampling import Sampling
    from demo_app_decoder_generator.writer import Writer

    writer = Writer.load(WEIGHTS / settings.checkpoint, "cpu")
    sampling = Sampling(temperature=settings.temperature, top_p=settings.top_p, seed=settings.seed)
    text = writer.engine.write(writer.encode(settings.prompt), settings.tokens, sampling)
    return replace(settings, written=writer.tokenizer.decode([token.id for token in text]))


if __name__ == "__main__":
    FILE.write_text(json.dumps(asdict(write(Example())), indent=2) + "\n", "utf-8")
