"""Published translations of the checkpoints beside those of the models here, for `demo-app selfcheck`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demo_app import Checkpoint, Comparison

if TYPE_CHECKING:
    from demo_app_translator.translator import Translator

# Checkpoint -> where it was published, beams, a sentence, its translation
PUBLISHED = {
    "opus_mt_en_zh": (
        ("pipeline tests of transformers", 2, "My name is Wolfgang and I live in Berlin", "我叫沃尔夫冈 我住在柏林"),
    ),
}


def selfcheck(translator: Translator, checkpoint: Checkpoint) -> Iterator[Comparison]:
    """One comparison per published translation; none for a checkpoint without any."""
    from demo_app_translator.search import Beam

    for source, beams, sentence, expected in PUBLISHED.get(checkpoint.name, ()):
        (found,) = translator.translate([sentence], Beam(beams=beams, max_tokens=translator.config.max_tokens))
        yield Comparison(what=f"{sentence!r} with {beams} beams", source=source, expected=expected, found=found)
