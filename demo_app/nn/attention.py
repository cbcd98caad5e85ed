"""Scaled dot-product and multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2)."""

# B batch, T query tokens, S key tokens, H heads, D width, K = D / H width of one head

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    dropout: float = 0.0,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(Q K^T / sqrt(K)) V: every token takes a weighted mean of the values of the tokens that it attends to.

    query (B, H, T, K), key and value (B, H, S, K); mask bool, broadcastable to (B, H, T, S), True = attend.
    A token whose mask is all False gets zeros. `dropout` is the probability of dropping a weight.

    Returns (B, H, T, K) and, with `need_weights`, the weights (B, H, T, S) before dropout, else `None`.
    Without weights the same numbers come from torch's fused kernel, which never holds the (T, S) matrix in memory.
    """
    if not need_weights:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout), None
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(
            ~mask, -1e30 if scores.dtype.itemsize > 2 else -6e4
        )  # -inf would give 0/0 in a row of False
    weights = scores.softmax(dim=-1)  # (B, H, T, S), rows sum to 1
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return F.dropout(weights, dropout) @ value, weights  # (B, H, T, K)


class MultiHeadAttention(nn.Module):
    """H attention heads side by side, each in its own K-dimensional projection of the width D.

    Self-attention when called with one sequence, cross-attention with `memory`.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, bias: bool = True) -> None:
        """Raises `ValueError` if `width` is not a multiple of `heads`."""
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width {width} cannot be shared out among {heads} heads; choose a multiple.")
        self.heads = heads
        self.dropout = dropout
        self.q_proj = nn.Linear(width, width, bias=bias)
        self.k_proj = nn.Linear(width, width, bias=bias)
        self.v_proj = nn.Linear(width, width, bias=bias)
        self.out_proj = nn.Linear(width, width, bias=bias)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, K) of memory (B, S, D), to be computed once and attended to many times."""
        return self._split(self.k_proj(memory)), self._split(self.v_proj(memory))

    def forward(
        self,
        x: Tensor,
        memory: Tensor | tuple[Tensor, Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D); memory (B, S, D), or its `keys_values`, or `None` for x itself.

        mask is broadcastable to (B, H, T, S), True = attend.
        Returns (B, T, D) and, with `need_weights`, the weights (B, H, T, S), else `None`.
        """
        k, v = memory if isinstance(memory, tuple) else self.keys_values(x if memory is None else memory)
        q = self._split(self.q_proj(x))  # (B, H, T, K)
        dropout = self.dropout if self.training else 0.0
        heads, weights = scaled_dot_product_attention(q, k, v, mask, dropout=dropout, need_weights=need_weights)
        merged = heads.transpose(1, 2).flatten(2)  # (B, T, D)
        return self.out_proj(merged), weights

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, H, T, K)."""
        B, T, D = x.shape
        return x.view(B, T, self.heads, D // self.heads).transpose(1, 2)
