"""One layer of the decoder of an encoder-decoder Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

Three parts, each residual: the text so far attends to itself, then to the encoder's output for the other text
(cross-attention), then each token is transformed separately.
"""

# N rows of memory, B = N R rows of text (R beams share one memory), T new tokens, S tokens of memory, D width

from __future__ import annotations

from torch import Tensor, nn

from demo_app.nn.attention import MultiHeadAttention
from demo_app.nn.cache import KeyValueCache, Step
from demo_app.nn.decoder import CausalAttention
from demo_app.nn.encoder import FeedForward

Memory = tuple[Tensor, Tensor]


class CrossDecoderLayer(nn.Module):
    """Causal self-attention, cross-attention, feed-forward."""

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        *,
        norm: str = "pre",
        activation: str = "gelu",
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        """Raises `ValueError` for a `norm` other than pre and post, and for an unknown activation."""
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm {norm!r} is unknown; choose one of: pre, post.")
        self.pre_norm = norm == "pre"
        self.self_attention = CausalAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width, eps=norm_eps)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=norm_eps)
        self.feed_forward = FeedForward(width, feed_forward, activation=activation, dropout=dropout)
        self.ln_3 = nn.LayerNorm(width, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        memory: Memory,
        memory_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        step: Step | None = None,
        layer: int = 0,
        *,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x (B, T, D), memory from `cross_attention.keys_values`, its mask broadcastable to (N, H, T, S).

        With `cache`, x continues its tokens. Returns (B, T, D) and, with `need_weights`, the self-attention
        (B, H, T, all tokens so far) and the cross-attention (B, H, T, S), else `None` twice.
        """
        attended, own = self.self_attention(
            self.ln_1(x) if self.pre_norm else x, None, cache, step, layer, need_weights=need_weights
        )
        x = x + self.dropout(attended)  # (B, T, D)
        x = x if self.pre_norm else self.ln_1(x)
        attended, cross = self._attend_memory(self.ln_2(x) if self.pre_norm else x, memory, memory_mask, need_weights)
        x = x + self.dropout(attended)  # (B, T, D)
        if self.pre_norm:
            return x + self.dropout(self.feed_forward(self.ln_3(x))), own, cross
        x = self.ln_2(x)
        return self.ln_3(x + self.dropout(self.feed_forward(x))), own, cross

    def _attend_memory(
        self, x: Tensor, memory: Memory, mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Cross-attention; the R beams of a memory attend to it like R T tokens of one row, so it is never copied."""
        B, T, D = x.shape
        N = memory[0].shape[0]
        attended, weights = self.cross_attention(x.reshape(N, -1, D), memory, mask=mask, need_weights=need_weights)
        if weights is not None and N != B:
            H, S = weights.shape[1], weights.shape[3]
            weights = weights.view(N, H, B // N, T, S).transpose(1, 2).reshape(B, H, T, S)
        return attended.reshape(B, T, D), weights
