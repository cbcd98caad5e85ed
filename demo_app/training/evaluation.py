"""Measuring a classifier: a held-out part of the data, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def split(classes: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Row numbers to train on and row numbers to hold out, each ascending: a `share` of every class is held out.

    classes (N,) int64, at least two examples of each; then both parts have some of each class.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(classes), dtype=torch.bool)
    for place in sorted(set(classes.tolist())):
        rows = (classes == place).nonzero().squeeze(1)
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held_out[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return (~held_out).nonzero().squeeze(1), held_out.nonzero().squeeze(1)


def scores(predicted: Tensor, targets: Tensor, labels: Sequence[str]) -> dict[str, Any]:
    """Compare predicted and true classes, both (N,) int64 indices into `labels`.

    Returns accuracy; most_frequent, the accuracy of always predicting the most frequent class; by_class: precision,
    recall, f1 and number of examples of each label; confusion, one row for each true and one column for each predicted
    class.
    """
    C = len(labels)
    confusion = torch.zeros(C, C, dtype=torch.long)
    confusion.index_put_((targets, predicted), torch.ones(len(predicted), dtype=torch.long), accumulate=True)
    correct, actual, found = confusion.diagonal(), confusion.sum(1), confusion.sum(0)  # (C,)
    by_class = {}
    for place, label in enumerate(labels):
        precision = correct[place].item() / max(1, found[place].item())
        recall = correct[place].item() / max(1, actual[place].item())
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        measures = {"precision": precision, "recall": recall, "f1": f1, "examples": actual[place].item()}
        by_class[label] = {name: round(value, 4) for name, value in measures.items()}
    return {
        "accuracy": round(correct.sum().item() / len(predicted), 5),
        "most_frequent": round(actual.max().item() / len(predicted), 5),
        "by_class": by_class,
        "confusion": confusion.tolist(),
    }
