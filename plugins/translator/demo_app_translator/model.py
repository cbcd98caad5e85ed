"""The translator: an encoder reads the whole sentence, a decoder writes the translation and attends to the sentence.

Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. With `norm="post"`, one embedding for both languages and the
output, and a bias on the logits this is Marian (Junczys-Dowmunt et al. 2018, https://arxiv.org/abs/1804.00344), the
network of the OPUS-MT models; `published.py` reads such checkpoints. The embedded ones are small pre-norm networks.
"""

# N sentences, B = N R rows of target (R beams per sentence), S source tokens, T target tokens, H heads, D width,
# K = D / H width of a head, V target vocabulary, L layers

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn import EncoderLayer, KeyValueCache, SinusoidalPositions
from demo_app.nn.seq2seq import CrossDecoderLayer, Memory


@dataclass(frozen=True, kw_only=True)
class Config:
    """What config.json holds: everything needed to build the network."""

    source: str  # language, as in "en"
    target: str
    source_vocab_size: int
    target_vocab_size: int  # V
    pad_id: int = 0  # of both vocabularies
    start_id: int = 2  # the decoder's first input
    end_id: int = 3  # ends a sentence, in both languages
    banned_ids: tuple[int, ...] = (0, 1, 2)  # never written: padding, the unknown token, the start
    max_tokens: int = 128  # longer sentences are truncated
    width: int = 192  # D
    heads: int = 4  # H
    encoder_layers: int = 4
    decoder_layers: int = 2
    feed_forward: int = 512
    norm: str = "pre"  # or "post"
    activation: str = "relu"
    dropout: float = 0.2
    shared_embedding: bool = False  # one vocabulary, and one embedding, for both languages
    interleaved_positions: bool = True
    output_bias: bool = False


@dataclass(frozen=True)
class Trace:
    """The attention computed on the way to the logits: query, key; rows sum to 1."""

    encoder: tuple[Tensor, ...]  # L times (N, H, S, S)
    decoder: tuple[Tensor, ...]  # L times (B, H, T, T)
    cross: tuple[Tensor, ...]  # L times (B, H, T, S)


@dataclass(frozen=True)
class Output:
    logits: Tensor  # (B, T, V): of the token after each
    trace: Trace | None = None


@dataclass(frozen=True)
class Source:
    """The encoder's output: everything that the decoder needs, computed once."""

    memory: tuple[Memory, ...]  # for each decoder layer: keys and values (N, H, S, K)
    mask: Tensor | None  # (N, 1, 1, S), True = a token; None if nothing is padding
    encoder: tuple[Tensor, ...] = ()  # the encoder's attention, with `trace`


class EncoderDecoder(nn.Module):
    """Source and target ids to logits. It returns what it computed and stores nothing, so threads may share it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.source_embedding = nn.Embedding(config.source_vocab_size, D)
        self.target_embedding = (
            self.source_embedding if config.shared_embedding else nn.Embedding(config.target_vocab_size, D)
        )
        self.positions = SinusoidalPositions(config.max_tokens, D, interleaved=config.interleaved_positions)
        shape = {"norm": config.norm, "activation": config.activation, "dropout": config.dropout}
        self.encoder = nn.ModuleList(
            EncoderLayer(D, config.heads, config.feed_forward, **shape) for _ in range(config.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            CrossDecoderLayer(D, config.heads, config.feed_forward, **shape) for _ in range(config.decoder_layers)
        )
        normed = config.norm == "pre"
        self.encoder_norm = nn.LayerNorm(D) if normed else nn.Identity()
        self.decoder_norm = nn.LayerNorm(D) if normed else nn.Identity()
        self.output_bias = nn.Parameter(torch.zeros(config.target_vocab_size)) if config.output_bias else None
        self.dropout = nn.Dropout(config.dropout)
        for embedding in dict.fromkeys(
            (self.source_embedding, self.target_embedding)
        ):  # in this order, without repeats
            nn.init.normal_(embedding.weight, std=D**-0.5)

    def forward(self, source: Tensor, mask: Tensor, target: Tensor, *, trace: bool = False) -> Output:
        """Teacher forcing: source (N, S) and target (N, T) ids, mask (N, S) bool, True = a token, False = padding.

        The target begins with `start_id`; the logits (N, T, V) are those of the token after each.
        Raises `ValueError` for more than `max_tokens` tokens.
        """
        return self.decode(target, self.encode(source, mask, trace=trace), trace=trace)

    def encode(self, source: Tensor, mask: Tensor, *, trace: bool = False) -> Source:
        """Encode sentences: source (N, S) ids, mask (N, S) bool, True = a token."""
        x = self._embed(self.source_embedding, source, 0)  # (N, S, D)
        padded = mask[:, None, None, :] if not mask.all() else None  # (N, 1, 1, S)
        attention: list[Tensor] = []
        for layer in self.encoder:
            x, weights = layer(x, padded, need_weights=trace)  # (N, S, D), (N, H, S, S)
            attention += [weights] if trace else []
        x = self.encoder_norm(x)
        memory = tuple(layer.cross_attention.keys_values(x) for layer in self.decoder)
        return Source(memory, padded, tuple(attention))

    def decode(
        self, target: Tensor, source: Source, cache: KeyValueCache | None = None, *, trace: bool = False
    ) -> Output:
        """Logits (B, T, V) after each target token (B, T), where B is N or, for beams, a multiple of it.

        With `cache`, the target continues what the cache holds, and is added to it.
        """
        T = target.shape[1]
        step = cache.step(T) if cache is not None else None
        x = self._embed(self.target_embedding, target, step.start or 0 if step is not None else 0)  # (B, T, D)
        own: list[Tensor] = []
        cross: list[Tensor] = []
        for place, (layer, memory) in enumerate(zip(self.decoder, source.memory, strict=True)):
            x, own_weights, cross_weights = layer(x, memory, source.mask, cache, step, place, need_weights=trace)
            own += [own_weights] if trace else []
            cross += [cross_weights] if trace else []
        if cache is not None:
            cache.advance(T)
        logits = F.linear(self.decoder_norm(x), self.target_embedding.weight, self.output_bias)  # (B, T, V)
        return Output(logits, Trace(source.encoder, tuple(own), tuple(cross)) if trace else None)

    def new_cache(self, rows: int, tokens: int) -> KeyValueCache:
        """An empty cache for that many tokens of each row of the target."""
        config, weight = self.config, self.target_embedding.weight
        shape = (config.decoder_layers, rows, config.heads, tokens, config.width // config.heads)
        return KeyValueCache.empty(*shape, dtype=weight.dtype, device=weight.device)

    def _embed(self, embedding: nn.Embedding, ids: Tensor, start: int) -> Tensor:
        """(B, T) to (B, T, D). Embeddings are scaled up, because the positions, of size 1, would outweigh them."""
        places = self.positions(start + ids.shape[1])[start:]  # (T, D)
        return self.dropout(embedding(ids) * math.sqrt(self.config.width) + places)
