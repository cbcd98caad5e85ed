"""The text classifier: token embedding, positions, Transformer encoder, pooling, head.

With `norm="post"`, `pooling="first"`, a norm on the embeddings and a hidden layer in the head this is the classifier of
DistilBERT (Sanh et al. 2019, https://arxiv.org/abs/1910.01108), a small BERT (Devlin et al. 2018,
https://arxiv.org/abs/1810.04805); `published.py` reads such checkpoints. The embedded ones are small pre-norm networks.
Without labels there is no head, and the logits are the pooled vector.
"""

# B batch, T tokens, H heads, D width, C classes, L layers, P = D or 2 D width of the pooled vector

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn import EncoderLayer, LearnedPositions, SinusoidalPositions
from demo_app.nn.stages import Stage

POOLINGS = ("first", "mean", "max", "mean_max")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What config.json holds: everything needed to build the network."""

    labels: tuple[str, ...]  # name of each class, in the order of the logits; empty for an encoder without a head
    vocab_size: int
    max_tokens: int = 128  # longer texts are truncated
    width: int = 128  # D
    heads: int = 4  # H
    layers: int = 2  # L
    feed_forward: int = 512
    positions: str = "learned"  # or "sinusoidal", or "none", which leaves word order to the convolution
    norm: str = "pre"  # or "post"
    norm_eps: float = 1e-5
    activation: str = "gelu"  # or "relu"
    dropout: float = 0.1
    embedding_norm: bool = False  # LayerNorm on the sum of token and position embeddings, as in BERT
    convolution: int = 0  # kernel of a depthwise convolution before the encoder; 0 = none
    final_norm: bool = True  # pre-norm only: LayerNorm after the last layer; without it, vectors keep their lengths
    pooling: str = "first"  # or "mean", "max", "mean_max" (both, concatenated)
    head_hidden: bool = False  # a ReLU layer of width D before the last linear map, as in DistilBERT

    def __post_init__(self) -> None:
        if len(self.labels) == 1:
            raise ValueError("labels must name at least two classes, or none.")
        for field, known in (("positions", ("learned", "sinusoidal", "none")), ("pooling", POOLINGS)):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} {getattr(self, field)!r} is unknown; choose one of: {', '.join(known)}.")
        if self.convolution and self.convolution % 2 == 0:
            raise ValueError(f"convolution {self.convolution} must be odd, so that a token stays in its place.")


@dataclass(frozen=True)
class Trace:
    """What the network computed on its way to the logits."""

    embeddings: Tensor  # (B, T, D) token embeddings before the positions are added; in the autograd graph
    attention: tuple[Tensor, ...]  # L times (B, H, T, T): query, key; rows sum to 1


@dataclass(frozen=True)
class Output:
    logits: Tensor  # (B, C); the pooled vector (B, P) of an encoder without a head
    trace: Trace | None = None


class LocalMixer(nn.Module):
    """A depthwise convolution over neighbouring tokens: word order, which a small data set cannot teach attention."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, D), mask (B, T), True = a token; returns x plus its filtered neighbourhood, (B, T, D)."""
        x = x.masked_fill(~mask[..., None], 0.0)  # otherwise padding leaks into the last tokens
        return x + F.gelu(self.conv_dw(x.transpose(1, 2))).transpose(1, 2)


def pool(x: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector per text: x (B, T, D), mask (B, T), True = a token; returns (B, D), or (B, 2 D) for mean_max."""
    if how == "first":
        return x[:, 0]
    keep = mask[..., None]  # (B, T, 1)
    mean = x.masked_fill(~keep, 0.0).sum(dim=1) / keep.sum(dim=1).clamp(min=1)  # (B, D)
    if how == "mean":
        return mean
    top = x.masked_fill(~keep, torch.finfo(x.dtype).min).amax(dim=1)  # (B, D)
    return top if how == "max" else torch.cat((mean, top), dim=-1)


class TextClassifier(nn.Module):
    """Token ids to logits. `forward` returns what it computed and stores nothing, so threads may share the network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        kinds = {"learned": LearnedPositions, "sinusoidal": SinusoidalPositions}
        kind = kinds.get(config.positions)
        self.positions = kind(config.max_tokens, config.width) if kind else None
        self.embedding_norm = nn.LayerNorm(config.width, config.norm_eps) if config.embedding_norm else nn.Identity()
        self.local_mixer = LocalMixer(config.width, config.convolution) if config.convolution else None
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.width,
                config.heads,
                config.feed_forward,
                norm=config.norm,
                activation=config.activation,
                dropout=config.dropout,
                norm_eps=config.norm_eps,
            )
            for _ in range(config.layers)
        )
        normed = config.norm == "pre" and config.final_norm
        self.final_norm = nn.LayerNorm(config.width, config.norm_eps) if normed else nn.Identity()
        pooled = config.width * (2 if config.pooling == "mean_max" else 1)
        self.head_hidden = nn.Linear(pooled, config.width) if config.head_hidden else None
        inner = config.width if config.head_hidden else pooled
        self.head = nn.Linear(inner, len(config.labels)) if config.labels else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.token_embedding.weight, std=0.02 if config.final_norm else 0.1)

    def forward(self, ids: Tensor, mask: Tensor, *, trace: bool = False) -> Output:
        """ids (B, T) int64, mask (B, T) bool, True = a token, False = padding; returns logits (B, C).

        With `trace`, also the token embeddings and every layer's attention; `torch.autograd.grad` of a logit by
        `trace.embeddings` works for frozen networks too. Raises `ValueError` when T exceeds `config.max_tokens`.
        """
        embeddings = self.token_embedding(ids)  # (B, T, D)
        if trace and torch.is_grad_enabled() and not embeddings.requires_grad:
            embeddings.requires_grad_()
        x = self.place(embeddings, mask)  # (B, T, D)
        attention: list[Tensor] = []
        padded = padding(mask)
        for layer in self.layers:
            x, weights = layer(x, padded, need_weights=trace)  # (B, T, D), (B, H, T, T)
            attention += [weights] if trace else []
        logits = self.classify(self.pool(x, mask))
        return Output(logits, Trace(embeddings, tuple(attention)) if trace else None)

    def place(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Token embeddings (B, T, D) plus positions, and the local mixer: the encoder's input, (B, T, D)."""
        x = embeddings if self.positions is None else embeddings + self.positions(embeddings.shape[1])  # (B, T, D)
        x = self.dropout(self.embedding_norm(x))  # (B, T, D)
        return x if self.local_mixer is None else self.local_mixer(x, mask)

    def pool(self, x: Tensor, mask: Tensor) -> Tensor:
        """The encoder's output (B, T, D) as one vector per text, (B, P)."""
        return pool(self.final_norm(x), mask, self.config.pooling)

    def classify(self, pooled: Tensor) -> Tensor:
        """(B, P) to logits (B, C)."""
        x = self.dropout(pooled)
        if self.head_hidden is not None:
            x = self.dropout(F.relu(self.head_hidden(x)))  # (B, D)
        return self.head(x)  # type: ignore[no-any-return]

    def stages(self) -> list[Stage]:
        """The network as stages that take ids and mask, so that frozen first stages are computed only once."""
        first = (self.token_embedding, self.positions, self.embedding_norm, self.local_mixer)
        last = (self.head_hidden, self.head)
        return [
            Stage(
                lambda ids, mask: (self.place(self.token_embedding(ids), mask), mask),
                tuple(module for module in first if module is not None),
            ),
            *(
                Stage(lambda x, mask, layer=layer: (layer(x, padding(mask))[0], mask), (layer,))
                for layer in self.layers
            ),
            Stage(self.pool, (self.final_norm,)),
            Stage(self.classify, tuple(module for module in last if module is not None)),
        ]


def padding(mask: Tensor) -> Tensor | None:
    """The mask (B, T) in attention's shape (B, 1, 1, T); `None`, which is a fifth faster, if nothing is padding."""
    return mask[:, None, None, :] if not mask.all() else None
