"""Keys and values of the tokens so far, so that a decoder processes each token once.

A cache belongs to the texts being generated, never to the network: it is an argument of `forward`, and many generations
share one set of weights. Each row has a length of its own, so texts may join and leave a batch.
"""

# L layers, B rows, T new tokens, S places in the cache, H key-value heads, K width of one head

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """Where T new tokens of each row go, and what they attend to. Made once per forward pass, used by every layer."""

    positions: Tensor  # (B, T) int64: of each new token in its text
    start: int | None  # position of the first new token if it is the same in all rows
    stop: int  # positions that this pass attends to: the length of the longest row after it
    mask: Tensor | None  # (B, 1, T, stop) bool, True = attend; None if every new token attends to all positions
    causal: bool  # the pass starts at position 0 in all rows: the mask is a plain triangle, and `mask` is None


class KeyValueCache:
    """Room for `max_tokens` tokens of B texts in every layer, allocated once."""

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        """keys and values (L, B, H, S, K); lengths (B,) int64 on the CPU: tokens in each row."""
        self.keys = keys
        self.values = values
        self.lengths = lengths

    @classmethod
    def empty(
        cls,
        layers: int,
        rows: int,
        heads: int,
        max_tokens: int,
        head_width: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> KeyValueCache:
        """A cache without tokens."""
        shape = (layers, rows, heads, max_tokens, head_width)
        keys, values = (_zeros(shape, dtype, device) for _ in range(2))
        return cls(keys, values, torch.zeros(rows, dtype=torch.int64))

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    @property
    def max_tokens(self) -> int:
        return self.keys.shape[3]

    def view(self, start: int, stop: int) -> KeyValueCache:
        """A view of the rows from `start` to before `stop`, which shares their memory."""
        return KeyValueCache(self.keys[:, start:stop], self.values[:, start:stop], self.lengths[start:stop])

    def move(self, source: int, target: int) -> None:
        """Copy one row over another, so that the rows in use stay next to each other."""
        length = int(self.lengths[source])
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]
        self.lengths[target] = length

    def select(self, rows: Tensor) -> None:
        """Row i becomes a copy of row `rows[i]`, (B,) int64: a beam continues another beam."""
        held = int(self.lengths.max())
        for store in (self.keys, self.values):
            store[:, :, :, :held] = store[:, rows, :, :held]
        self.lengths = self.lengths[rows.cpu()]

    def grow(self, max_tokens: int) -> None:
        """Make room for that many tokens per row, if there is less; the tokens so far are copied."""
        if max_tokens > self.max_tokens:
            held = int(self.lengths.max())
            stores = self.keys, self.values
            L, B, H, _, K = self.keys.shape
            self.keys, self.values = (_zeros((L, B, H, max_tokens, K), store.dtype, store.device) for store in stores)
            self.keys[:, :, :, :held], self.values[:, :, :, :held] = (store[:, :, :, :held] for store in stores)

    def step(self, tokens: int) -> Step:
        """The step for the next `tokens` tokens of every row. Raises `ValueError` if they do not fit."""
        starts = self.lengths.tolist()
        first, last = min(starts), max(starts)
        stop = last + tokens
        if stop > self.max_tokens:
            raise ValueError(f"{stop} tokens do not fit the {self.max_tokens} places of the cache; cut the text.")
        positions = self.lengths[:, None] + torch.arange(tokens)  # (B, T)
        mask = None
        if first != last or (tokens > 1 and first > 0):
            mask = (torch.arange(stop) <= positions[..., None]).unsqueeze(1)  # (B, 1, T, stop)
        device = self.keys.device
        return Step(
            positions=positions.to(device),
            start=first if first == last else None,
            stop=stop,
            mask=mask if mask is None else mask.to(device),
            causal=last == 0 and tokens > 1,
        )

    def write(self, layer: int, keys: Tensor, values: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Store the new keys and values (B, H, T, K); returns all that are attended to, (B, H, S, K)."""
        for store, new in ((self.keys[layer], keys), (self.values[layer], values)):
            if step.start is not None:
                store[:, :, step.start : step.stop] = new
            else:
                rows = torch.arange(self.rows, device=new.device)[:, None]  # (B, 1)
                store[rows, :, step.positions] = new.transpose(1, 2)  # indices on both sides of a slice go first
        return self.keys[layer, :, :, : step.stop], self.values[layer, :, :, : step.stop]

    def advance(self, tokens: int | Tensor) -> None:
        """Count the tokens of a finished pass: one number, or (B,) if rows were padded on the right.

        Positions beyond a row's length are never attended to, and the next pass overwrites them.
        """
        self.lengths += tokens


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Zeros that take no memory until they are written, if the system can do that: torch writes its own at once."""
    if torch.device(device).type == "cpu" and dtype == torch.float32:
        return torch.from_numpy(np.zeros(shape, np.float32))
    return torch.zeros(shape, dtype=dtype, device=device)
