"""What a fused network looked at: from words to patches, from patches to words, all layers together.

Attention says where information was fetched from, not why an answer came out; to find that out, remove a modality
(`Answerer.fuse` without a picture, or without a question). Imports no torch, so that the tab can redraw without it.
"""

# L layers, H heads, S pieces, T tokens, h x w patches

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from demo_app_image_text_fusion.answerer import Answerer

Array = NDArray[np.float32]
ROLLOUT = "rollout"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture, a question and the scores of all answers: all that a session keeps."""

    checkpoint: str
    labels: tuple[str, ...]
    scores: Array  # (C,)
    picture: NDArray[np.uint8]  # as the network saw it
    tokens: tuple[str, ...]  # of the question, with [CLS] and [SEP]
    truncated: bool  # the question was longer than the network reads
    unknown: tuple[str, ...]  # words that the network has no vector for
    attention: NDArray[np.float16]  # (L, H, S, S), tokens first, then patches
    grid: tuple[int, int]  # h, w
    extra: int  # pieces between tokens and patches, such as a vision Transformer's [CLS]
    parameters: int
    precision: str  # fp32, bf16 or int8
    milliseconds: float

    @property
    def answer(self) -> str:
        return self.labels[int(self.scores.argmax())]

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        return likeliest(self.labels, self.scores, count)


def likeliest(labels: Sequence[str], scores: Array, count: int = 5) -> list[tuple[str, float]]:
    """The best answers and their scores, the best first."""
    order = np.argsort(-scores, kind="stable")[:count]
    return [(labels[i], float(scores[i])) for i in order.tolist()]


def look(answerer: Answerer, picture: Image.Image, question: str, *, checkpoint: str = "") -> Seen:
    """Answer one question, and keep the attention of all layers."""
    seen = answerer.look(picture)
    heard, words = answerer.listen([question]), answerer.words(question)
    started = time.perf_counter()
    output = answerer.fuse(seen, heard, trace=True)
    milliseconds = 1000 * (time.perf_counter() - started)
    assert output.trace is not None
    assert seen.grid is not None
    attention = np.stack([layer[0].half().cpu().numpy() for layer in output.trace.attention])
    return Seen(
        checkpoint=checkpoint,
        labels=answerer.labels,
        scores=answerer.scores(output.logits)[0].float().cpu().numpy(),
        picture=np.asarray(answerer.see(picture)),
        tokens=words.tokens,
        truncated=words.truncated,
        unknown=words.unknown,
        attention=attention,
        grid=seen.grid,
        extra=seen.x.shape[1] - seen.grid[0] * seen.grid[1],
        parameters=answerer.parameters,
        precision=answerer.precision,
        milliseconds=milliseconds,
    )


def matrix(seen: Seen, layer: int | str | None, head: int | None) -> Array:
    """(S, S): the attention of a layer (from 0), the average of all (`None`) or `ROLLOUT`; of a head or the average."""
    heads = seen.attention.astype(np.float32)
    heads = heads.mean(axis=1) if head is None else heads[:, head]  # (L, S, S)
    if layer == ROLLOUT:
        return rollout(heads)
    return heads.mean(axis=0) if layer is None else heads[int(layer)]


def rollout(layers: Array) -> Array:
    """How much of each piece of the input is in each piece of the output, if a layer keeps half and fetches half.

    Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928, section 3. (L, S, S) to (S, S), rows sum to 1.
    """
    total = np.eye(layers.shape[-1], dtype=np.float32)
    for attention in layers:
        step = (attention + np.eye(len(attention), dtype=np.float32)) / 2
        total = step / step.sum(axis=1, keepdims=True) @ total
    return total


def patches_of(seen: Seen, weights: Array, token: int) -> Array:
    """(h, w): how much a word looks at each patch; the largest is 1."""
    first = len(seen.tokens) + seen.extra
    row = weights[token, first:].reshape(seen.grid)
    return row / max(float(row.max()), 1e-12)


def words_of(seen: Seen, weights: Array, row: int, column: int) -> Array:
    """(T,): how much a patch looks at each word; the largest is 1."""
    patch = len(seen.tokens) + seen.extra + row * seen.grid[1] + column
    found = weights[patch, : len(seen.tokens)]
    return found / max(float(found.max()), 1e-12)


def most_visual_word(seen: Seen) -> int:
    """The token, other than [CLS] and [SEP], that looks at patches most: the one that a drawing opens with."""
    first = len(seen.tokens) + seen.extra
    looks = seen.attention[:, :, 1 : len(seen.tokens) - 1, first:].astype(np.float32).sum(axis=-1).mean(axis=(0, 1))
    return 1 + int(looks.argmax()) if len(looks) else 0
