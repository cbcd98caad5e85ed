"""Evaluate a checkpoint on a labelled CSV file.

python -m demo_app_text_classifier.evaluate --checkpoint NAME_OR_FOLDER --data FILE
"""

# N examples, C classes

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
from demo_app_text_classifier.classifier import Classifier
from demo_app_text_classifier.data import class_ids, read_csv

WEIGHTS = Path(__file__).parent / "weights"
CHUNK = 1024  # examples per step of the progress bar


def scores(predicted: Tensor, expected: Tensor, classes: int) -> dict[str, float]:
    """Accuracy and macro F1.

    F1 of a class is 2 hits / (predictions + examples), or 0 if it has neither; macro F1 is the mean over the classes.
    predicted and expected are (N,) int64.
    """
    hits = torch.bincount(expected[predicted == expected], minlength=classes)  # (C,)
    counts = torch.bincount(predicted, minlength=classes) + torch.bincount(expected, minlength=classes)  # (C,)
    f1 = 2 * hits / counts.clamp(min=1)  # (C,)
    return {"accuracy": round(hits.sum().item() / len(expected), 5), "macro_f1": round(f1.mean().item(), 5)}


def evaluate(classifier: Classifier, path: Path) -> dict[str, float]:
    """`scores` of a checkpoint on a CSV file, with the number of examples and the seconds of prediction."""
    rows = read_csv(path, require_label=True)
    expected = torch.tensor(class_ids(rows.labels or [], classifier.labels))  # (N,)
    start = time.perf_counter()
    chunks = range(0, len(rows.texts), CHUNK)
    probabilities = torch.cat(
        [classifier.predict(rows.texts[at : at + CHUNK]) for at in tqdm(chunks, desc="evaluate", file=sys.stderr)]
    )  # (N, C)
    seconds = round(time.perf_counter() - start, 2)
    return scores(probabilities.argmax(-1), expected, len(classifier.labels)) | {
        "examples": len(rows.texts),
        "seconds": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="demo_app_text_classifier.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="name of an embedded checkpoint, or a folder")
    parser.add_argument("--data", required=True, type=Path, help="CSV file (.gz too) with the columns text and label")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    with readable_errors():
        result = evaluate(Classifier.load(find_checkpoint(options.checkpoint, WEIGHTS), options.device), options.data)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
