"""Greedy search and beam search, which extends several partial translations at once.

The rules are those of `transformers` (`num_beams`, `length_penalty`, `early_stopping=False`), so that the same network
writes the same ids. Of the 2 R best continuations in a step, the ones among the first R that end are finished, and the
first R that do not end become the next beams. The score of a finished translation is its log-probability over
(length ** `length_penalty`), because otherwise the shortest would win (Wu et al. 2016,
https://arxiv.org/abs/1609.08144, section 7).
"""

# N sentences, R beams of each, V target vocabulary, t tokens written so far

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from demo_app.nn import KeyValueCache
from demo_app_translator.model import EncoderDecoder, Source

NEVER = -1e9  # log-probability of a forbidden token; finite, so that sums of it can be compared


@dataclass(frozen=True, kw_only=True)
class Beam:
    """The settings of a search. One beam is greedy search."""

    beams: int = 4  # R
    length_penalty: float = 1.0  # above 1 favours long translations, below 1 short ones
    max_tokens: int = 128  # of a translation, its end included

    def __post_init__(self) -> None:
        if self.beams < 1 or self.max_tokens < 1:
            raise ValueError(f"beams {self.beams} and max_tokens {self.max_tokens} must be 1 at least.")


@dataclass(frozen=True)
class Candidate:
    """One of the 2 R best continuations in a step."""

    parent: int  # the beam that it continues
    token: int
    log_probability: float  # of this token alone
    total: float  # log-probability of all tokens so far
    ended: bool
    beam: int | None  # the beam that it becomes; None if it is dropped or has ended


@dataclass(frozen=True)
class Hypothesis:
    """A translation, finished or not, and its score."""

    ids: tuple[int, ...]  # after the start; with the end, if it is finished
    log_probability: float
    score: float  # log-probability over length ** length_penalty


@dataclass(frozen=True)
class SearchStep:
    """The state of a search after a step, for each sentence."""

    candidates: tuple[tuple[Candidate, ...], ...]  # empty for a sentence that is done
    best: tuple[Hypothesis, ...]  # the best finished one, or if there is none the likeliest beam


@torch.no_grad()
def search(network: EncoderDecoder, source: Source, sentences: int, settings: Beam) -> Iterator[SearchStep]:
    """Translate step by step; the last step holds the translations. `source` comes from the network's `encode`."""
    config = network.config
    N, R, device = sentences, settings.beams, network.target_embedding.weight.device
    cache = network.new_cache(N * R, settings.max_tokens)
    written = torch.full((N * R, 1), config.start_id, device=device)  # (N R, 1 + t)
    totals = torch.full((N, R), NEVER, device=device)
    totals[:, 0] = 0.0  # all beams are still equal, so only the first one is continued
    finished: list[list[Hypothesis]] = [[] for _ in range(N)]
    best: list[Hypothesis] = [Hypothesis((), 0.0, NEVER)] * N
    done = [False] * N
    for length in range(1, settings.max_tokens + 1):
        log_probabilities = _next(network, written, source, cache, last=length == settings.max_tokens)  # (N R, V)
        V = log_probabilities.shape[1]
        top = (totals.view(N * R, 1) + log_probabilities).view(N, R * V).topk(min(2 * R, R * V))  # (N, 2 R)
        parents, tokens = top.indices // V, top.indices % V
        ended = tokens == config.end_id
        going = top.values.masked_fill(ended, NEVER).topk(R)  # (N, R) of the 2 R
        norm = length**settings.length_penalty
        rows = [x.tolist() for x in (parents, tokens, top.values, ended, going.indices)]
        own = log_probabilities.view(N, R * V).gather(1, top.indices).tolist()  # of the token alone
        step: list[tuple[Candidate, ...]] = []
        for n in range(N):
            if done[n]:
                step.append(())
                continue
            columns = zip(*(part[n] for part in rows[:4]), own[n], strict=True)
            beams = {rank: beam for beam, rank in enumerate(rows[4][n])}
            step.append(
                tuple(
                    Candidate(parent, token, alone, total, end, None if end else beams.get(rank))
                    for rank, (parent, token, total, end, alone) in enumerate(columns)
                )
            )
            for candidate in step[n][:R]:
                if candidate.ended:
                    ids = (*written[n * R + candidate.parent, 1:].tolist(), candidate.token)
                    finished[n].append(Hypothesis(ids, candidate.total, candidate.total / norm))
            finished[n] = sorted(finished[n], key=lambda h: -h.score)[:R]
            enough = len(finished[n]) == R
            done[n] = enough and (R == 1 or going.values[n, 0].item() / norm <= finished[n][-1].score)
        order = parents.gather(1, going.indices) + torch.arange(N, device=device)[:, None] * R  # (N, R) row numbers
        totals = going.values
        written = torch.cat((written[order.flatten()], tokens.gather(1, going.indices).view(N * R, 1)), dim=1)
        if R > 1:
            cache.select(order.flatten())
        done = [over or length == settings.max_tokens for over in done]
        for n in range(N):
            if finished[n]:
                best[n] = finished[n][0]
            elif not done[n]:
                best[n] = Hypothesis(
                    tuple(written[n * R, 1:].tolist()), totals[n, 0].item(), totals[n, 0].item() / norm
                )
        yield SearchStep(tuple(step), tuple(best))
        if all(done):
            return


def _next(network: EncoderDecoder, written: Tensor, source: Source, cache: KeyValueCache, *, last: bool) -> Tensor:
    """Log-probabilities (N R, V) of the next token. Banned tokens are excluded; in the last step, all but the end."""
    config = network.config
    logits = network.decode(written[:, -1:], source, cache).logits[:, -1].float()
    logits[:, list(config.banned_ids)] = -torch.inf
    if last:
        end = logits[:, config.end_id].clone()
        logits = torch.full_like(logits, -torch.inf)
        logits[:, config.end_id] = end
    return logits.log_softmax(dim=-1).clamp(min=NEVER)
