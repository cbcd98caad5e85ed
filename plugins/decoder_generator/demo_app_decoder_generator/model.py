"""The decoder: token embedding, positions, decoder layers, a last norm, and the embedding again as the output matrix.

Depending on `Config` this is GPT-2 (Radford et al. 2019: learned positions, LayerNorm, GELU), Llama or Qwen2 (Touvron
et al. 2023: rotary positions, RMSNorm, SwiGLU, grouped queries), or one of the small embedded models, also Llamas.
"""

# B batch, T new tokens, S tokens looked at, V vocabulary, D width, H heads, L layers

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn.cache import KeyValueCache
from demo_app.nn.decoder import DecoderLayer
from demo_app.nn.norms import RMSNorm
from demo_app.nn.positions import LearnedPositions
from demo_app.nn.rotary import RotaryPositions


@dataclass(frozen=True, kw_only=True)
class Config:
    """The contents of config.json: all that is needed to build the network."""

    vocab_size: int  # V
    context: int = 256  # tokens that a position attends to at most, itself included
    width: int = 224  # D
    layers: int = 6  # L
    heads: int = 7  # H
    kv_heads: int | None = None  # heads of keys and values; None: as many as heads
    feed_forward: int = 608
    positions: str = "rotary"  # or "learned"
    rotary_base: float = 10_000.0
    norm: str = "rms"  # or "layer"
    norm_eps: float = 1e-5
    activation: str = "swiglu"  # or "gelu_tanh"
    qkv_bias: bool = False
    out_bias: bool = False
    dropout: float = 0.0
    stop_ids: tuple[int, ...] = ()  # tokens that end a text

    def __post_init__(self) -> None:
        for field, known in (("positions", ("rotary", "learned")), ("norm", ("rms", "layer"))):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} {getattr(self, field)!r} is unknown; choose one of: {', '.join(known)}.")

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class Trace:
    """Intermediate results."""

    hidden: tuple[Tensor, ...]  # L + 1 times (B, T, D): the input of the first layer, and the output of each
    attention: tuple[Tensor, ...]  # L times (B, H, T, S): attention weights, rows sum to 1


@dataclass(frozen=True)
class Output:
    logits: Tensor  # (B, T, V), or (B, V) with `last_only`
    trace: Trace | None = None


class Decoder(nn.Module):
    """Ids to logits. `forward` returns all results and stores nothing, so threads may share one network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        learned, rotary = config.positions == "learned", config.positions == "rotary"
        self.positions = LearnedPositions(config.context, config.width) if learned else None
        self.rotary = RotaryPositions(config.context, config.head_width, base=config.rotary_base) if rotary else None
        self.layers = nn.ModuleList(
            DecoderLayer(
                config.width,
                config.heads,
                config.feed_forward,
                kv_heads=config.kv_heads,
                norm=config.norm,
                norm_eps=config.norm_eps,
                activation=config.activation,
                qkv_bias=config.qkv_bias,
                out_bias=config.out_bias,
                dropout=config.dropout,
            )
            for _ in range(config.layers)
        )
        make_norm = RMSNorm if config.norm == "rms" else nn.LayerNorm
        self.final_norm = make_norm(config.width, config.norm_eps)
        self.output: nn.Module | None = None  # (..., D) to (..., V); None: the embedding's matrix
        self.dropout = nn.Dropout(config.dropout)

    @torch.no_grad()
    def initialise(self) -> None:
        """As GPT-2: normal with deviation 0.02, smaller for matrices whose output is added to the residual stream."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 2:
                outwards = name.endswith(("out_proj.weight", "fc_out.weight"))
                parameter.normal_(std=0.02 / (2 * self.config.layers) ** 0.5 if outwards else 0.02)

    def new_cache(self, rows: int, max_tokens: int | None = None) -> KeyValueCache:
        """An empty cache for `rows` texts of at most `max_tokens` tokens each (default: the whole context)."""
        config, weight = self.config, self.final_norm.weight
        return KeyValueCache.empty(
            config.layers,
            rows,
            config.kv_heads or config.heads,
            min(max_tokens or config.context, config.context),
            config.head_width,
            dtype=weight.dtype,
            device=weight.device,
        )

    def forward(
        self,
        ids: Tensor,
        cache: KeyValueCache | None = None,
        *,
        lengths: Tensor | None = None,
        last_only: bool = False,
        trace: bool = False,
    ) -> Output:
        """ids (B, T) int64, which continue what is in the cache, if any, and are appended to it.

        `lengths` (B,) int64 on the CPU are the numbers of real tokens in rows that are padded on the right. `last_only`
        returns the logits (B, V) of each row's last token alone. Prefill (T > 1) and decode (T = 1) take the same path.
        Raises `ValueError` if the context is exceeded.
        """
        B, T = ids.shape
        step = cache.step(T) if cache is not None else None
        positions = step.positions if step is not None else torch.arange(T, device=ids.device).expand(B, T)
        if step is None and self.config.context < T:
            raise ValueError(f"{T} tokens do not fit the context of {self.config.context}; cut the text.")
        x = self.token_embedding(ids).to(self.final_norm.weight.dtype)  # (B, T, D); the table may be in half precision
        if self.positions is not None:
            x = x + self.positions.weight[positions]
        x = self.dropout(x)
        turn = self.rotary(positions) if self.rotary is not None else None
        hidden, attention = [x] if trace else [], []
        for number, layer in enumerate(self.layers):
            x, weights = layer(x, turn, cache, step, number, need_weights=trace)  # (B, T, D), (B, H, T, S)
            if trace:
                hidden.append(x)
                attention.append(weights)
        if cache is not None:
            cache.advance(T if lengths is None else lengths)
        if last_only:
            x = x[:, -1] if lengths is None else x[torch.arange(B), lengths.to(x.device) - 1]  # (B, D)
        return Output(self.logits(x), Trace(tuple(hidden), tuple(attention)) if trace else None)

    def logits(self, x: Tensor) -> Tensor:
        """The residual stream (..., D) after any layer to (..., V), by the last norm and the output matrix."""
        x = self.final_norm(x)
        return F.linear(x, self.token_embedding.weight) if self.output is None else self.output(x)
