"""Rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864): queries and keys are rotated by their position.

Pairs of features are rotated by an angle that grows with the token's position, so that the product of a query and a key
depends only on their distance. The pairs are (i, i + K / 2), as in Llama's published weights; the paper pairs
neighbours, which is the same up to a fixed order of the features.
"""

# T tokens, K width of one head

from __future__ import annotations

import torch
from torch import Tensor, nn


class RotaryPositions(nn.Module):
    """The table of angles; it has no parameters and is not saved in a checkpoint."""

    cos: Tensor
    sin: Tensor

    def __init__(self, max_tokens: int, head_width: int, *, base: float = 10_000.0) -> None:
        """Raises `ValueError` for an odd `head_width`."""
        super().__init__()
        if head_width % 2:
            raise ValueError(f"rotary positions need an even head width, not {head_width}.")
        self.max_tokens = max_tokens
        self.head_width = head_width
        self.base = base
        for name, table in self.tables().items():
            self.register_buffer(name, table, persistent=False)

    def tables(self) -> dict[str, Tensor]:
        """The buffers' values, on the CPU, even for a network that was made on the meta device."""
        with torch.device("cpu"):
            feature = torch.arange(0, self.head_width, 2, dtype=torch.float32)  # (K / 2,)
            frequency = self.base ** -(feature / self.head_width)  # (K / 2,)
            angle = torch.arange(self.max_tokens, dtype=torch.float32)[:, None] * frequency  # (T, K / 2)
            signed = torch.cat((-angle.sin(), angle.sin()), dim=-1)  # (T, K)
            return {"cos": torch.cat((angle, angle), dim=-1).cos(), "sin": signed}

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, T) int64 to the rotation for `rotate`: cosine and signed sine, each (B, 1, T, K).

        Raises `IndexError` past the table's end.
        """
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each token of (B, H, T, K) by its position; returns the same shape."""
    cos, sin = rotation
    half = x.shape[-1] // 2
    return x * cos + torch.cat((x[..., half:], x[..., :half]), dim=-1) * sin
