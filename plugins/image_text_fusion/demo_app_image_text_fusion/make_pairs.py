"""Write scenes and questions as pictures and a CSV, as `train` takes them: a data set to try the training with.

python -m demo_app_image_text_fusion.make_pairs --out FOLDER --examples 300
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from demo_app_image_text_fusion import scenes

TASK = "is there"  # yes or no: neither the picture nor the question alone gives the answer


def make_pairs(out: Path, examples: int, seed: int, kind: str = TASK, language: str = "en") -> Path:
    """Write `examples` pictures with a question of one kind each into `out`; returns the CSV."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    file = out / "pairs.csv"
    with file.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["image", "text", "label"])
        for number, (scene, question) in enumerate(islice(scenes.asked(seed, kind, language), examples)):
            name = f"pictures/{number:05}.png"
            Image.fromarray(scenes.draw(scene)).save(out / name)
            writer.writerow([name, question.text, question.answer])
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=tuple(scenes.KINDS), default=TASK)
    parser.add_argument("--language", choices=scenes.LANGUAGES, default="en")
    options = parser.parse_args(arguments)
    make_pairs(options.out, options.examples, options.seed, options.kind, options.language)


if __name__ == "__main__":
    main()
