"""One layer of a decoder-only Transformer, as in GPT-2 and Llama.

GPT-2 (Radford et al. 2019): LayerNorm, learned positions, GELU, biases. Llama (Touvron et al. 2023,
https://arxiv.org/abs/2302.13971): RMSNorm, rotary positions, no biases, SwiGLU (Shazeer 2020,
https://arxiv.org/abs/2002.05202); grouped queries (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245) let several
heads share keys and values.
"""

# B batch, T new tokens, S tokens attended to, H query heads, G key-value heads, R = H / G, K width of a head, D width

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn.attention import scaled_dot_product_attention
from demo_app.nn.cache import KeyValueCache, Step
from demo_app.nn.encoder import FeedForward
from demo_app.nn.norms import RMSNorm
from demo_app.nn.rotary import rotate

Rotation = tuple[Tensor, Tensor]  # of `RotaryPositions`


class CausalAttention(nn.Module):
    """Self-attention in which a token attends to itself and to the tokens before it.

    Queries, keys and values come from one matrix: decoding is bound by reading weights, and one product reads fastest.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        qkv_bias: bool = True,
        out_bias: bool = True,
    ) -> None:
        """Raises `ValueError` if `heads` does not divide `width`, or `kv_heads` does not divide `heads`."""
        super().__init__()
        kv_heads = kv_heads or heads
        if width % heads or heads % kv_heads:
            raise ValueError(f"width {width}, heads {heads} and kv_heads {kv_heads} must each divide the one before.")
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, width // heads
        self.qkv_proj = nn.Linear(width, (heads + 2 * kv_heads) * self.head_width, bias=qkv_bias)
        self.out_proj = nn.Linear(width, width, bias=out_bias)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation | None = None,
        cache: KeyValueCache | None = None,
        step: Step | None = None,
        layer: int = 0,
        *,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D); `rotation` encodes the positions in queries and keys; with `cache`, x continues its tokens.

        Returns (B, T, D) and, with `need_weights`, the attention (B, H, T, S), else `None`.
        """
        B, T, D = x.shape
        H, G, K = self.heads, self.kv_heads, self.head_width
        qkv = self.qkv_proj(x).view(B, T, H + 2 * G, K).transpose(1, 2)  # (B, H + 2 G, T, K)
        qk, v = qkv[:, : H + G], qkv[:, H + G :]
        if rotation is not None:
            qk = rotate(qk, rotation)
        q, k = qk[:, :H], qk[:, H:]
        mask, causal = None, T > 1
        if cache is not None and step is not None:
            k, v = cache.write(layer, k, v, step)  # (B, G, S, K)
            mask, causal = step.mask, step.causal
        heads, weights = self._attend(q, k, v, mask, causal, need_weights)
        return self.out_proj(heads.transpose(1, 2).reshape(B, T, D)), weights

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """q (B, H, T, K), k and v (B, G, S, K) to (B, H, T, K): R query heads share one key-value head."""
        B, H, T, K = q.shape
        G, S = k.shape[1], k.shape[2]
        if T == 1 and mask is None and H != G:  # the R heads of a group become R tokens of one head: nothing is copied
            heads, weights = scaled_dot_product_attention(q.reshape(B, G, -1, K), k, v, need_weights=need_weights)
            return heads.reshape(B, H, T, K), weights.reshape(B, H, T, S) if weights is not None else None
        if H != G:
            k, v = (x.repeat_interleave(H // G, dim=1) for x in (k, v))  # (B, H, S, K)
        if causal and not need_weights:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True), None
        if causal:
            mask = torch.ones(T, S, dtype=torch.bool, device=q.device).tril()
        return scaled_dot_product_attention(q, k, v, mask, need_weights=need_weights)


class GatedFeedForward(nn.Module):
    """SwiGLU: one half of the inner features, through SiLU, gates the other half."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc_in = nn.Linear(width, 2 * inner, bias=False)  # gate, then value: one product reads both
        self.fc_out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        gate, value = self.fc_in(x).chunk(2, dim=-1)
        x = self.fc_out(F.silu(gate) * value)
        return x


class DecoderLayer(nn.Module):
    """Causal attention, then a feed-forward part for each token; both are residual, with the norm first (pre-norm).

    Dropout applies only to what each part adds: on attention weights it costs a CPU more than the attention itself.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        *,
        kv_heads: int | None = None,
        norm: str = "layer",
        norm_eps: float = 1e-5,
        activation: str = "gelu_tanh",
        qkv_bias: bool = True,
        out_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        """Raises `ValueError` for a `norm` other than layer and rms, and for an unknown activation."""
        super().__init__()
        if norm not in ("layer", "rms"):
            raise ValueError(f"norm {norm!r} is unknown; choose one of: layer, rms.")
        make_norm = nn.LayerNorm if norm == "layer" else RMSNorm
        self.ln_1 = make_norm(width, norm_eps)
        self.attention = CausalAttention(width, heads, kv_heads=kv_heads, qkv_bias=qkv_bias, out_bias=out_bias)
        self.ln_2 = make_norm(width, norm_eps)
        self.feed_forward: nn.Module
        if activation == "swiglu":
            self.feed_forward = GatedFeedForward(width, feed_forward)
        else:
            self.feed_forward = FeedForward(width, feed_forward, activation=activation)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation | None = None,
        cache: KeyValueCache | None = None,
        step: Step | None = None,
        layer: int = 0,
        *,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `CausalAttention.forward`."""
        attended, weights = self.attention(self.ln_1(x), rotation, cache, step, layer, need_weights=need_weights)
        x = x + self.dropout(attended)  # (B, T, D)
        return x + self.dropout(self.feed_forward(self.ln_2(x))), weights
