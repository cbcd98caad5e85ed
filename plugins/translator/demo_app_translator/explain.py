"""What a translation shows of itself: its attention, and what else the search considered. Imports no gradio.

Importing this module does not import torch, because the page is built without it.
"""

# L layers, H heads, S source tokens, T target tokens; words instead of tokens: W of the source, V of the target

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from demo_app_translator.texts import SPACELESS

if TYPE_CHECKING:
    from demo_app_translator.search import Beam, Candidate, SearchStep
    from demo_app_translator.translator import Translator

Array = NDArray[np.float32]
END = "</s>"


@dataclass(frozen=True)
class Node:
    """A continuation that a beam search kept, or that ended a translation."""

    step: int  # from 0
    beam: int | None  # None: a translation ends here
    parent: int  # its beam in the step before
    text: str
    probability: float  # of this token alone
    total: float  # log-probability of all tokens so far
    chosen: bool  # part of the translation


@dataclass(frozen=True)
class Seen:
    """One sentence and its translation, with everything that the tab draws."""

    checkpoint: str
    source_language: str
    target_language: str
    source: tuple[str, ...]  # S tokens; the last is the end
    target: tuple[str, ...]  # T tokens; the last is the end, if the translation is finished
    text: str  # the translation
    log_probability: float
    beams: int
    length_penalty: float
    encoder: Array  # (L, H, S, S): attention; rows sum to 1
    decoder: Array  # (L, H, T, T)
    cross: Array  # (L, H, T, S)
    nodes: tuple[Node, ...]
    width: int  # of the network
    milliseconds: float

    @property
    def bytes(self) -> int:
        """Of its attention."""
        return int(self.encoder.nbytes + self.decoder.nbytes + self.cross.nbytes)


def watch(
    translator: Translator, sentence: str, settings: Beam, checkpoint: str, *, until: float = math.inf
) -> Iterator[str | Seen]:
    """Translate a sentence; yields the translation as it grows, then `Seen`.

    At `until`, in the seconds of `time.monotonic`, the search ends with what it has.
    """
    started = time.perf_counter()
    candidates: list[tuple[Candidate, ...]] = []
    step: SearchStep | None = None
    for step in translator.steps(sentence, settings):
        candidates.append(step.candidates[0])
        yield translator.text(step.best[0].ids)
        if time.monotonic() > until:
            break
    assert step is not None
    milliseconds = 1e3 * (time.perf_counter() - started)
    best = step.best[0]
    trace = translator.trace(sentence, best.ids)
    ids, _ = translator.encode([sentence])
    config = translator.config
    encoder, decoder, cross = (
        np.stack([layer[0].cpu().numpy() for layer in part]) for part in (trace.encoder, trace.decoder, trace.cross)
    )
    yield Seen(
        checkpoint=checkpoint,
        source_language=config.source,
        target_language=config.target,
        source=_named(translator.source.pieces(ids[0].tolist()), ids[0].tolist(), config.end_id),
        target=_named(translator.target.pieces(best.ids), best.ids, config.end_id),
        text=translator.text(best.ids),
        log_probability=best.log_probability,
        beams=settings.beams,
        length_penalty=settings.length_penalty,
        encoder=encoder,
        decoder=decoder,
        cross=cross,
        nodes=nodes(candidates, best.ids, translator),
        width=config.width,
        milliseconds=milliseconds,
    )


def _named(pieces: Sequence[str], ids: Sequence[int], end: int) -> tuple[str, ...]:
    return tuple(END if token == end else piece for piece, token in zip(pieces, ids, strict=True))


def nodes(steps: Sequence[Sequence[Candidate]], ids: Sequence[int], translator: Translator) -> tuple[Node, ...]:
    """The candidates of each step that became a beam or ended; those that lead to `ids` are marked as chosen."""
    found: list[Node] = []
    beam: int | None = 0  # the one that holds `ids` so far
    for step, candidates in enumerate(steps):
        next_beam: int | None = None
        for rank, candidate in enumerate(candidates):
            chosen = beam is not None and step < len(ids) and (candidate.parent, candidate.token) == (beam, ids[step])
            next_beam = candidate.beam if chosen else next_beam
            finished = candidate.ended and (chosen or rank < len(candidates) // 2)  # the search drops other ends
            if candidate.beam is None and not finished:
                continue
            (piece,) = translator.target.pieces([candidate.token])
            found.append(
                Node(
                    step=step,
                    beam=candidate.beam,
                    parent=candidate.parent,
                    text=END if candidate.ended else piece,
                    probability=float(np.exp(candidate.log_probability)),
                    total=candidate.total,
                    chosen=chosen,
                )
            )
        beam = next_beam
    return tuple(found)


def words(pieces: Sequence[str], language: str) -> list[tuple[str, list[int]]]:
    """Words made of pieces, each with the indices of its pieces. In languages without spaces every piece is a word."""
    found: list[tuple[str, list[int]]] = []
    for place, piece in enumerate(pieces):
        text = piece.strip()
        alone = piece == END or language in SPACELESS or not any(letter.isalnum() for letter in text)
        if not found or alone or piece.startswith(" ") or found[-1][0] == END or not found[-1][0][-1:].isalnum():
            found.append((text, [place]))
        else:
            word, places = found[-1]
            found[-1] = (word + text, [*places, place])
    return [(word, places) for word, places in found if word]


def alignment(seen: Seen, layer: int | None, head: int | None) -> tuple[list[str], list[str], Array]:
    """Source words, target words, and the attention of each target word to each source word: (V, W).

    The attention to a word is the sum over its pieces; the attention of a word is the mean over its pieces. Attention
    is often read as an alignment (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473), but it need not be one.
    `layer` and `head` count from 0; `None` averages over all.
    """
    cross = seen.cross if layer is None else seen.cross[layer : layer + 1]  # (L, H, T, S)
    cross = cross if head is None else cross[:, head : head + 1]
    weights = cross.mean(axis=(0, 1))  # (T, S)
    source = words(seen.source, seen.source_language)
    target = [(word, places) for word, places in words(seen.target, seen.target_language) if word != END]
    matrix = [[weights[np.ix_(rows, columns)].sum(axis=1).mean() for _, columns in source] for _, rows in target]
    names = [word for word, _ in source], [word for word, _ in target]
    return *names, np.array(matrix, np.float32).reshape(len(target), len(source))


@dataclass(frozen=True)
class Forced:
    """A given translation, token by token, and what the network expected instead."""

    pieces: tuple[str, ...]
    probabilities: tuple[float, ...]
    likeliest: tuple[str, ...]  # the network's own choice in each place


def force(translator: Translator, sentence: str, translation: str) -> Forced:
    """Teacher forcing: the network reads the given translation instead of its own."""
    import torch

    config = translator.config
    ids = [*translator.target.encode(translation)[: config.max_tokens - 2], config.end_id]
    with torch.no_grad():
        target = torch.tensor([[config.start_id, *ids[:-1]]], device=translator.network.target_embedding.weight.device)
        shares = translator.network.decode(target, translator.read([sentence])).logits[0].softmax(dim=-1)  # (T, V)
    best = shares.argmax(dim=-1).tolist()
    return Forced(
        _named(translator.target.pieces(ids), ids, config.end_id),
        tuple(shares[range(len(ids)), ids].tolist()),
        _named(translator.target.pieces(best), best, config.end_id),
    )
