"""Measure a checkpoint on pictures in class folders.

python -m demo_app_separable_conv.evaluate --checkpoint NAME_OR_FOLDER --data FOLDER_OR_TAR
"""

# N examples, L labels

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from demo_app.options import find_checkpoint, readable_errors
from demo_app_separable_conv.classifier import Classifier, normalised
from demo_app_separable_conv.data import read_examples

WEIGHTS = Path(__file__).parent / "weights"
BATCH = 100


def scores(logits: Tensor, wanted: Tensor) -> dict[str, float]:
    """Top-1 and top-5 accuracy.

    logits (N, L), wanted (N,) int64.
    """
    ranked = logits.topk(min(5, logits.shape[1])).indices == wanted[:, None]  # (N, 5)
    return {
        "accuracy": round(ranked[:, 0].double().mean().item(), 5),
        "top5": round(ranked.any(dim=1).double().mean().item(), 5),
    }


@torch.inference_mode()
def evaluate(classifier: Classifier, source: Path) -> dict[str, float]:
    """`scores` on the pictures of a source, their number, and the seconds of the predictions."""
    config = classifier.config
    examples = read_examples(source, resize=config.resize, crop=config.crop, labels=config.labels)
    started = time.perf_counter()
    batches = tqdm(examples.pictures.split(BATCH), desc="evaluate", file=sys.stderr)
    logits = torch.cat([classifier.logits(normalised(part, config)).cpu() for part in batches])  # (N, L)
    seconds = round(time.perf_counter() - started, 2)
    return scores(logits, examples.classes) | {"examples": len(examples), "seconds": seconds}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="demo_app_separable_conv.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="name of an embedded checkpoint, or a folder")
    parser.add_argument("--data", required=True, type=Path, help="folder, TAR or ZIP with a folder for each class")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    with readable_errors():
        result = evaluate(Classifier.load(find_checkpoint(options.checkpoint, WEIGHTS), options.device), options.data)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
