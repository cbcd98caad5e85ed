"""One layer of a Transformer encoder, with the norm after (2017) or before (2020) each part.

Post-norm: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Pre-norm: Xiong et al. 2020,
https://arxiv.org/abs/2002.04745, which trains without a warm-up and needs one more norm after the last layer.
"""

# B batch, T tokens, H heads, D width, F inner width of the feed-forward part

from __future__ import annotations

import functools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn.attention import MultiHeadAttention

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # exact, with erf
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),  # as in GPT-2
    "relu": F.relu,
    "silu": F.silu,  # also called swish
}


class FeedForward(nn.Module):
    """Two linear maps with a nonlinearity between them, applied to every token separately."""

    def __init__(self, width: int, inner: int, *, activation: str = "gelu", dropout: float = 0.0) -> None:
        """Raises `ValueError` for an activation that is not in `ACTIVATIONS`."""
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is unknown; choose one of: {', '.join(ACTIVATIONS)}.")
        self.fc_in = nn.Linear(width, inner)
        self.fc_out = nn.Linear(inner, width)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = self.fc_out(self.dropout(self.activation(self.fc_in(x))))
        return x


class EncoderLayer(nn.Module):
    """Tokens exchange information (attention), then each is transformed separately (feed-forward); both residual."""

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
        """Raises `ValueError` for a `norm` other than pre and post."""
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm {norm!r} is unknown; choose one of: pre, post.")
        self.pre_norm = norm == "pre"
        self.attention = MultiHeadAttention(width, heads, dropout=dropout)
        self.ln_1 = nn.LayerNorm(width, eps=norm_eps)
        self.feed_forward = FeedForward(width, feed_forward, activation=activation, dropout=dropout)
        self.ln_2 = nn.LayerNorm(width, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, *, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D), mask broadcastable to (B, H, T, T), True = attend.

        Returns (B, T, D) and, with `need_weights`, the attention (B, H, T, T), else `None`.
        """
        attended, weights = self.attention(self.ln_1(x) if self.pre_norm else x, mask=mask, need_weights=need_weights)
        x = x + self.dropout(attended)  # (B, T, D)
        if self.pre_norm:
            return x + self.dropout(self.feed_forward(self.ln_2(x))), weights
        x = self.ln_1(x)
        return self.ln_2(x + self.dropout(self.feed_forward(x))), weights
