"""What a translation shows of itself: who looked at whom, what else was considered. Pure functions; no gradio."""

# L layers, H heads, S source tokens, T target tokens; words instead of tokens: W of the source, V of the target

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from demo_app_translator.search import Beam, Candidate, Stage
    from demo_app_translator.translator import Translator

Array = NDArray[np.float32]
END = "</s>"


@dataclass(frozen=True)
class Node:
    """A continuation that a beam search kept, or with which a translation ended."""

    step: int  # from 0
    beam: int | None  # None: ended here
    parent: int  # the beam of the step before
    text: str
    probability: float  # of this token alone
    total: float  # log-probability of all tokens so far
    chosen: bool  # on the way to the translation


@dataclass(frozen=True)
class Seen:
    """One sentence and its translation, with all that the tab draws of them."""

    checkpoint: str
    source_language: str
    target_language: str
    source: tuple[str, ...]  # S tokens; the last is the end
    target: tuple[str, ...]  # T tokens; the last is the end, if the translation ended
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


def watch(translator: Translator, sentence: str, settings: Beam, checkpoint: str) -> Iterator[str | Seen]:
    """Translate a sentence: its translation as it grows, and at last all that was seen."""
    started = time.perf_counter()
    stages: list[tuple[Candidate, ...]] = []
    stage: Stage | None = None
    for stage in translator.steps(sentence, settings):
        stages.append(stage.candidates[0])
        yield translator.text(stage.best[0].ids)
    assert stage is not None
    milliseconds = 1e3 * (time.perf_counter() - started)
    best = stage.best[0]
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
        nodes=nodes(stages, best.ids, translator),
        width=config.width,
        milliseconds=milliseconds,
    )


def _named(pieces: Sequence[str], ids: Sequence[int], end: int) -> tuple[str, ...]:
    return tuple(END if token == end else piece for piece, token in zip(pieces, ids, strict=True))


def nodes(stages: Sequence[Sequence[Candidate]], ids: Sequence[int], translator: Translator) -> tuple[Node, ...]:
    """The candidates that went on or ended, step by step; those that led to `ids` are marked."""
    found: list[Node] = []
    at: int | None = 0  # the beam that carries `ids` so far
    for step, candidates in enumerate(stages):
        following: int | None = None
        for rank, candidate in enumerate(candidates):
            wanted = at is not None and step < len(ids) and (candidate.parent, candidate.token) == (at, ids[step])
            following = candidate.beam if wanted else following
            counts = candidate.ended and (wanted or rank < len(candidates) // 2)  # others that end are dropped
            if candidate.beam is None and not counts:
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
                    chosen=wanted,
                )
            )
        at = following
    return tuple(found)


def words(pieces: Sequence[str], language: str) -> list[tuple[str, list[int]]]:
    """The words that pieces make, each with the places of its pieces. Where no spaces are written, each is one."""
    found: list[tuple[str, list[int]]] = []
    for place, piece in enumerate(pieces):
        text = piece.strip()
        alone = piece == END or language in ("zh", "ja") or not any(letter.isalnum() for letter in text)
        if not found or alone or piece.startswith(" ") or found[-1][0] == END or not found[-1][0][-1:].isalnum():
            found.append((text, [place]))
        else:
            word, places = found[-1]
            found[-1] = (word + text, [*places, place])
    return [(word, places) for word, places in found if word]


def alignment(seen: Seen, layer: int | None, head: int | None) -> tuple[list[str], list[str], Array]:
    """Source words, target words, and how much each target word looked at each source word: (V, W).

    A word of several pieces is looked at by the sum of them, and looks as the mean of them does. Attention is no
    alignment by definition, and it is often read as one (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473).
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
    """A translation that was given, token by token, with what the network thought of each."""

    pieces: tuple[str, ...]
    probabilities: tuple[float, ...]
    likeliest: tuple[str, ...]  # what it would have written instead


def force(translator: Translator, sentence: str, translation: str) -> Forced:
    """Teacher forcing: the network reads the given translation, whatever it would have written itself."""
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
