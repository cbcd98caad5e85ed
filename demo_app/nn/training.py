"""What trainings need beside the loop: a part held out, groups of parameters, scores, dropout that takes no time."""

# N examples, C classes

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from demo_app.nn.attention import MultiHeadAttention


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


def decayed(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: matrices and filters decay, biases and the scales of norms do not."""
    all_of_them = list(parameters)
    return [
        {"params": [p for p in all_of_them if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in all_of_them if p.ndim < 2], "weight_decay": 0.0},
    ]


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


class ByteDropout(nn.Module):
    """Dropout from random bytes: on a CPU torch's own Bernoulli numbers take a quarter of the time of a small step."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.forgotten = round(probability * 256)  # of 256 byte values

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.forgotten:
            return x
        bits = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)  # eight bytes at once
        kept = bits.view(torch.uint8)[: x.numel()].view(x.shape) >= self.forgotten
        return x * kept * (256 / (256 - self.forgotten))


def use_byte_dropout(network: nn.Module) -> None:
    """In place of every `nn.Dropout`; attention weights are no longer dropped, which torch does one by one."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(module, name, ByteDropout(child.p).train(child.training))
        if isinstance(module, MultiHeadAttention):
            module.dropout = 0.0
