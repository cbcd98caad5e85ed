"""Self-attention over the positions of a picture (SAGAN, Zhang et al. 2018, https://arxiv.org/abs/1805.08318)."""

# B batch, C channels, H x W positions, N = H W, K width of queries and keys

from __future__ import annotations

import torch
from torch import Tensor, nn

from demo_app.nn.attention import scaled_dot_product_attention


class SpatialAttention(nn.Module):
    """One head: every position takes a weighted mean over all positions, and adds gamma times that to itself.

    gamma is learned and starts at 0: the network first learns without attention, and adds it as far as it helps. As in
    SAGAN, queries and keys have C / 8 channels and values C / 2; unlike there, scores are divided by sqrt(K), as
    everywhere in this package.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.q_proj = nn.Linear(channels, narrow, bias=False)
        self.k_proj = nn.Linear(channels, narrow, bias=False)
        self.v_proj = nn.Linear(channels, half, bias=False)
        self.out_proj = nn.Linear(half, channels, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, *, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) to the same shape, and with `need_weights` the attention (B, N, N); rows sum to 1."""
        positions = x.flatten(2).transpose(1, 2)  # (B, N, C)
        q, k, v = (proj(positions)[:, None] for proj in (self.q_proj, self.k_proj, self.v_proj))  # (B, 1, N, ...)
        attended, weights = scaled_dot_product_attention(q, k, v, need_weights=need_weights)  # (B, 1, N, C / 2)
        added = self.out_proj(attended[:, 0]).transpose(1, 2).unflatten(2, x.shape[-2:])  # (B, C, H, W)
        return x + self.gamma * added, None if weights is None else weights[:, 0]
