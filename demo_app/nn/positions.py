"""Encodings of positions: fixed sinusoids (Vaswani et al. 2017, section 3.5) or one learned vector per position."""

# T tokens, D width

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(tokens: int, width: int, *, interleaved: bool = True) -> Tensor:
    """(T, D) with sin(t / 10000^(i/D)) in the even columns i and the cosine of the same angle in the odd ones.

    Not interleaved, all sines are in the first half and all cosines in the second, as in Marian.
    A shift of position is the same rotation everywhere, so "three words earlier" is a linear map of the encoding.
    Raises `ValueError` for an odd width.
    """
    if width % 2:
        raise ValueError(f"sinusoidal positions need an even width, not {width}.")
    position = torch.arange(tokens, dtype=torch.float32)[:, None]  # (T, 1)
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))  # (D / 2,)
    angle = position * frequency  # (T, D / 2)
    alternating = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)  # (T, D)
    return alternating if interleaved else torch.cat((angle.sin(), angle.cos()), dim=-1)


class SinusoidalPositions(nn.Module):
    """The fixed table; it has no parameters and is not saved in a checkpoint."""

    table: Tensor

    def __init__(self, max_tokens: int, width: int, *, interleaved: bool = True) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.width = width
        self.interleaved = interleaved
        self.register_buffer("table", self.tables()["table"], persistent=False)

    def tables(self) -> dict[str, Tensor]:
        """The buffer's value, on the CPU, even for a network that was made on the meta device."""
        with torch.device("cpu"):
            return {"table": sinusoids(self.max_tokens, self.width, interleaved=self.interleaved)}

    def forward(self, tokens: int) -> Tensor:
        """(T, D) for the first `tokens` positions; raises `ValueError` past the table's end."""
        return _first(self.table, tokens)


class LearnedPositions(nn.Module):
    """One trained vector per position, as in BERT and GPT."""

    def __init__(self, max_tokens: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_tokens, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, tokens: int) -> Tensor:
        """(T, D) for the first `tokens` positions; raises `ValueError` past the table's end."""
        return _first(self.weight, tokens)


def _first(table: Tensor, tokens: int) -> Tensor:
    if tokens > table.shape[0]:
        raise ValueError(f"{tokens} tokens do not fit {table.shape[0]} positions; cut the text.")
    return table[:tokens]
