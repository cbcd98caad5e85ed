"""From logits to the next token: each step a pure function on logits (B, V), and their composition.

Temperature and top-k as in Fan et al. 2018 (https://arxiv.org/abs/1805.04833), top-p Holtzman et al. 2019
(https://arxiv.org/abs/1904.09751), min-p Nguyen et al. 2024 (https://arxiv.org/abs/2407.01082), repetition penalty
Keskar et al. 2019 (https://arxiv.org/abs/1909.05858).
"""

# B rows, V vocabulary

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from demo_app.inputs.numbers import number_between, whole_number

FEW = 256  # likeliest tokens that are sorted; top-p rarely needs more
LIMITS = {  # least and greatest value
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
}


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy: the likeliest token, whatever the other settings are.

    Raises `InputError` for a value out of its range.
    """

    temperature: float = 0.8
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            number_between(getattr(self, name), name, least, most)
        whole_number(self.top_k, "top_k", least=0)
        if self.seed is not None:
            whole_number(self.seed, "seed", least=0, most=2**63 - 1)


def penalise(logits: Tensor, seen: Sequence[int], penalty: float) -> Tensor:
    """(V,): makes tokens in `seen` less likely: divides a positive logit by the penalty, multiplies others by it."""
    if penalty == 1.0 or not seen:
        return logits
    ids = torch.tensor(sorted(set(seen)), device=logits.device)
    found = logits[ids]
    return logits.index_copy(0, ids, torch.where(found > 0, found / penalty, found * penalty))


def heat(logits: Tensor, temperature: float) -> Tensor:
    """(..., V): `temperature` below 1 sharpens the distribution, above 1 it flattens it. `temperature` > 0."""
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """(..., V): all but the k largest become -inf; ties with the k-th stay. k = 0 keeps all."""
    if k <= 0 or k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """(..., V): keeps the fewest tokens whose probabilities sum to p, at least the likeliest; others become -inf."""
    if p >= 1.0:
        return logits
    ordered, places = logits.sort(dim=-1, descending=True)
    shares = ordered.softmax(-1)
    before = shares.cumsum(-1) - shares  # the sum of the likelier ones
    unwanted = before >= p
    unwanted[..., 0] = False
    return logits.masked_fill(unwanted.scatter(-1, places, unwanted), -math.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """(..., V): tokens with less than p times the probability of the likeliest become -inf."""
    if p <= 0.0:
        return logits
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -math.inf)


def shape(logits: Tensor, sampling: Sampling, seen: Sequence[int] = ()) -> Tensor:
    """(V,) of the network to (V,) from whose softmax a token is drawn; at least one is not -inf."""
    logits = penalise(logits.float(), seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return torch.full_like(logits, -math.inf).index_fill(0, logits.argmax(-1, keepdim=True), 0.0)
    return cut(heat(logits, sampling.temperature), sampling)


def cut(logits: Tensor, sampling: Sampling) -> Tensor:
    """Heated logits (V,) after top-k, top-p and min-p: unchanged, or -inf."""
    return keep_min_p(keep_top_p(keep_top_k(logits, sampling.top_k), sampling.top_p), sampling.min_p)


def likeliest(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor] | None:
    """What `cut` leaves of heated logits (V,), without sorting all: (C,) logits, unchanged or -inf, and (C,) ids.

    `None` if the `FEW` likeliest do not decide it, or if neither top-k nor top-p is set.
    """
    V = logits.shape[-1]
    top_k = sampling.top_k if sampling.top_k < V else 0
    if (not top_k and sampling.top_p >= 1.0) or (top_k or FEW) >= V:
        return None
    values, ids = logits.topk((top_k or FEW) + 1)  # (C + 1,): one more, which may tie with the last
    tied, values, ids = bool(values[-1] == values[-2]), values[:-1], ids[:-1]
    shares = (values - (values if top_k else logits).logsumexp(-1)).exp()
    before = shares.cumsum(-1) - shares  # the sum of the likelier ones
    unwanted = (before >= sampling.top_p) & (sampling.top_p < 1.0)  # a rounded sum may exceed 1
    unwanted[0] = False
    if tied if top_k else not unwanted[-1]:
        return None
    return keep_min_p(values.masked_fill(unwanted, -math.inf), sampling.min_p), ids


def pick(logits: Tensor, generator: torch.Generator) -> int:
    """An index into logits (C,), drawn by softmax. As `torch.multinomial`, which takes 1.7 ms for GPT-2's 50,257."""
    until = logits.softmax(-1).cumsum(-1, dtype=torch.float64)  # (C,)
    share = torch.rand((), generator=generator, device=logits.device)
    return int(torch.searchsorted(until, share * until[-1], right=True))


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator, seen: Sequence[int] = ()) -> int:
    """The next token's id."""
    logits = penalise(logits.float(), seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    logits = heat(logits, sampling.temperature)
    few = likeliest(logits, sampling)
    if few is None:
        return pick(cut(logits, sampling), generator)
    values, ids = few
    return int(ids[pick(values, generator)])
