"""What trainings need beside the loop: a part held out, groups of parameters, scores, dropout that takes no time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def split(classes: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to train on, and those of `share` of each class to measure on, in order.

    classes (N,) int64. Of each class there must be two examples at least; both parts then have some of each.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(classes), dtype=torch.bool)
    for place in sorted(set(classes.tolist())):
        rows = (classes == place).nonzero().squeeze(1)
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held_out[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return (~held_out).nonzero().squeeze(1), held_out.nonzero().squeeze(1)


def scores(said: Tensor, wanted: Tensor, labels: Sequence[str]) -> dict[str, Any]:
    """How good answers are, of classes (N,) that were said and wanted, both numbers of `labels`.

    accuracy; most_frequent, that of who always says the most frequent class; by_class: precision, recall, f1 and number
    of examples of each label; confusion, with a row for what each is and a column for what was said.
    """
    C = len(labels)
    confusion = torch.zeros(C, C, dtype=torch.long)
    confusion.index_put_((wanted, said), torch.ones(len(said), dtype=torch.long), accumulate=True)
    right, there, named = confusion.diagonal(), confusion.sum(1), confusion.sum(0)  # (C,)
    by_class = {}
    for place, label in enumerate(labels):
        precision = right[place].item() / max(1, named[place].item())
        recall = right[place].item() / max(1, there[place].item())
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        scores = {"precision": precision, "recall": recall, "f1": f1, "examples": there[place].item()}
        by_class[label] = {name: round(value, 4) for name, value in scores.items()}
    return {
        "accuracy": round(right.sum().item() / len(said), 5),
        "most_frequent": round(there.max().item() / len(said), 5),
        "by_class": by_class,
        "confusion": confusion.tolist(),
    }
