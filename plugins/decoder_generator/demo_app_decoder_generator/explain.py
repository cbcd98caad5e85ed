"""What a look inside the loop shows: pure functions on a network and a text, and the records that a session keeps.

Importing this module does not import torch: the page is built without it.
"""

from __future__ import annotations

# T tokens read, S <= T tokens that pictures show, P <= S positions of the lens, L layers, H heads, V vocabulary
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from demo_app_decoder_generator.model import Decoder
    from demo_app_decoder_generator.sampling import Sampling
    from demo_app_decoder_generator.writer import Writer

Array = NDArray[np.floating]
Ids = NDArray[np.int64]

SHOWN = 64  # tokens that pictures show: the last ones
LENS = 24  # positions of the logit lens at most, and at least
LENS_LEAST = 4
LENS_PRODUCTS = 8e9  # multiply-adds that a lens may cost: a fifth of a second on two idle cores
LIMIT = 2_000  # tokens of a text whose surprise is measured
PIECE = 64  # tokens read at a time where all logits are wanted: (PIECE, V) is what they take
MARKS = str.maketrans({" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "\u3000": "□"})  # what would not be seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What one forward pass showed of a text's end, before the next token is drawn. Small: sessions keep one."""

    logits: Array  # (V,) float32, of the token to come: temperature and top-p act on them without the network
    ids: Ids  # (S,) the last tokens
    tokens: tuple[str, ...]  # (S,) as pictures show them
    attention: Array  # (L, H, S) float16: how the last token looks at those; all it looks at sums to 1
    lens_ids: Ids  # (L + 1, P, K): the likeliest next tokens at the last P positions, by the embedding and each layer
    lens_tokens: tuple[tuple[tuple[str, ...], ...], ...]  # the same as pictures show them
    lens: Array  # (L + 1, P, K) float16: their probabilities
    length: int  # T, tokens the network read
    truncated: bool  # the text was longer than the context and lost its beginning
    milliseconds: float  # reading all T tokens

    @property
    def layers(self) -> int:
        return int(self.attention.shape[0])

    @property
    def heads(self) -> int:
        return int(self.attention.shape[1])


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A token that may come next."""

    id: int
    text: str  # as pictures show it
    before: float  # probability as the network gave it
    after: float  # probability with which it is drawn, after penalty, temperature, top-k, top-p and min-p
    kept: bool  # whether it can be drawn at all


class Scored(NamedTuple):
    """What the network gave one token of a text."""

    nats: float  # -log p
    likeliest: int  # the token it would rather have seen, or this one
    share: float  # p of that


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a text, one token or several that share a character, and how it surprised."""

    text: str  # as it stands in the text
    nats: float | None = None  # -log p; None where nothing was before it, or no token is for it
    expected: str = ""  # the likeliest token there, as pictures show it
    share: float = 0.0  # and its probability
    known: bool = True  # whether the network has a token for it


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """How well a text was foreseen."""

    pieces: tuple[Piece, ...]  # together they are the text, as far as it was read
    tokens: int  # that were scored
    characters: int  # of the pieces that were scored
    nats: float  # of all
    vocabulary: int  # V: a blind guess has a surprise of log V
    unknown: str  # distinct characters that the network has no token for
    truncated: bool  # the rest of the text was not read
    milliseconds: float

    @property
    def perplexity(self) -> float:
        """Between how many equally likely tokens the network wavered, on average; nan where none was scored."""
        return math.exp(min(700.0, self.nats / self.tokens)) if self.tokens else math.nan  # no float is larger

    @property
    def bits_per_character(self) -> float:
        """Comparable between tokenizers, unlike perplexity; nan where none was scored."""
        return self.nats / math.log(2) / self.characters if self.characters else math.nan


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one token cost at each length of the text, with the cache and without; N points."""

    lengths: tuple[int, ...]  # tokens the network could look at
    cached: tuple[float, ...]  # milliseconds: one token is read, the others are in the cache
    uncached: tuple[float, ...]  # milliseconds: all tokens are read again
    done: bool  # no more points will come


def look(network: Decoder, tokenizer: Tokenizer, ids: Sequence[int], top: int = 3) -> Look:
    """Read the ids, of which the last `context` count, and keep what the pictures need.

    The trace is taken of the last positions only, the rest goes into a cache first: all attentions of a thousand tokens
    would be half a gigabyte. The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") asks each layer
    what it would say if it were the last: its output goes through the last norm and the output matrix. It keeps the
    `top` likeliest tokens of each. Raises `ValueError` for no ids.
    """
    import torch

    if not ids:
        raise ValueError("There is nothing to look at; give at least one token.")
    config = network.config
    length = min(len(ids), config.context)
    row = torch.tensor([list(ids[-length:])], device=_device(network))  # (1, T)
    positions = min(length, lens_positions(config.layers, config.vocab_size, config.width))  # P
    start = time.perf_counter()
    with torch.inference_mode():
        store = network.new_cache(1, length)
        if length > positions:
            network(row[:, :-positions], store, last_only=True)
        output = network(row[:, -positions:], store, trace=True)
        milliseconds = (time.perf_counter() - start) * 1000
        attention = torch.stack([weights[0, :, -1, -SHOWN:] for weights in output.trace.attention])  # (L, H, S)
        said, shares = [], []
        for hidden in output.trace.hidden:  # one at a time: (P, V) of each is large
            logits = network.logits(hidden[0]).float()  # (P, V)
            likeliest = logits.topk(min(top, logits.shape[-1]), dim=-1)  # (P, K)
            said.append(likeliest.indices.cpu())
            shares.append((likeliest.values - logits.logsumexp(-1, keepdim=True)).exp().cpu())
    lens_ids = torch.stack(said).numpy()  # (L + 1, P, K)
    shown = np.asarray(ids[-min(length, SHOWN) :], dtype=np.int64)
    names = {int(i): name(tokenizer, int(i)) for i in {*shown.tolist(), *np.unique(lens_ids).tolist()}}
    return Look(
        logits=output.logits[0, -1].float().cpu().numpy().copy(),  # no view: the logits of the others may go
        ids=shown,
        tokens=tuple(names[i] for i in shown.tolist()),
        attention=attention.half().cpu().numpy(),
        lens_ids=lens_ids,
        lens_tokens=tuple(tuple(tuple(names[i] for i in cell) for cell in layer) for layer in lens_ids.tolist()),
        lens=torch.stack(shares).half().numpy(),
        length=length,
        truncated=length < len(ids),
        milliseconds=milliseconds,
    )


def lens_positions(layers: int, vocabulary: int, width: int) -> int:
    """How many positions the lens shows: each costs layers + 1 products with the output matrix.

    >>> lens_positions(6, 65, 256), lens_positions(12, 50257, 768), lens_positions(24, 151936, 896)
    (24, 15, 4)
    """
    return max(LENS_LEAST, min(LENS, int(LENS_PRODUCTS / ((layers + 1) * vocabulary * width))))


def candidates(
    logits: Array,
    tokenizer: Tokenizer,
    sampling: Sampling,
    top: int = 12,
    *,
    seen: Sequence[int] = (),
    chosen: int | None = None,
) -> list[Candidate]:
    """The `top` likeliest tokens by the network's own logits (V,), so that settings move bars and not their order.

    `seen` are the tokens that a repetition penalty is for; `chosen` is added at the end where it is not among them.
    """
    import torch

    from demo_app_decoder_generator.sampling import shape

    raw = torch.from_numpy(np.asarray(logits, dtype=np.float32))  # (V,)
    before = raw.softmax(-1)
    shaped = shape(raw, sampling, seen)
    after, kept = shaped.softmax(-1), shaped > -math.inf
    order = raw.topk(min(top, len(raw))).indices.tolist()
    if chosen is not None and chosen not in order:
        order.append(chosen)
    return [
        Candidate(id=i, text=name(tokenizer, i), before=float(before[i]), after=float(after[i]), kept=bool(kept[i]))
        for i in order
    ]


def surprise(writer: Writer, text: str, *, seconds: float = 10.0) -> Surprise:
    """-log p of each token of the text, at most `LIMIT`, and as far as the time allows.

    Nothing is before the first token, so it has no surprise; a poem is asked for as in training (its form is given and
    no title), so that all of it has. Characters without a token are left out and named.
    """
    start = time.perf_counter()
    encoding = writer.tokenizer.encode(text, add_special_tokens=False)
    head, missing = _head(writer, text), writer.missing
    known = [i for i in encoding.ids[:LIMIT] if i != missing]
    scored = scores(writer.network, [*head, *known], seconds=seconds)[max(0, len(head) - 1) :]
    of_known = scored if head else [None, *scored]
    pieces: list[Piece] = []
    end, number = 0, 0  # of the text that is in pieces; of the known tokens that are
    for i, (_, stop) in zip(encoding.ids[:LIMIT], encoding.offsets[:LIMIT], strict=True):
        if i == missing:
            pieces.append(Piece(text=text[end:stop], known=False))
        elif number < len(of_known):
            score = of_known[number]
            number += 1
            if stop <= end and pieces:  # a further part of a character that is several tokens
                pieces[-1] = _further(pieces[-1], score)
            elif score is None:
                pieces.append(Piece(text=text[end:stop]))
            else:
                expected = name(writer.tokenizer, score.likeliest)
                pieces.append(Piece(text=text[end:stop], nats=score.nats, expected=expected, share=score.share))
        else:
            break
        end = max(end, stop)
    return Surprise(
        pieces=tuple(pieces),
        tokens=len(scored),
        characters=sum(len(piece.text) for piece in pieces if piece.nats is not None),
        nats=sum(score.nats for score in scored),
        vocabulary=writer.config.vocab_size,
        unknown="".join(dict.fromkeys(piece.text for piece in pieces if not piece.known)),
        truncated=len(encoding.ids) > LIMIT or number < len(known),
        milliseconds=(time.perf_counter() - start) * 1000,
    )


def scores(network: Decoder, ids: Sequence[int], *, seconds: float = math.inf) -> list[Scored]:
    """Of each token after the first, T - 1 of them, or of fewer where the time is over after one piece or more.

    Where the text is longer than the context, a window slides over it by half a context. It is read in pieces, through
    a cache: the logits of all tokens at once would be a gigabyte for a large vocabulary.
    """
    import torch

    deadline = time.perf_counter() + seconds
    context, last = network.config.context, len(ids) - 1
    row = torch.tensor(list(ids), device=_device(network))
    found: list[Scored] = []
    begin, done = 0, 0  # of the window; targets that are scored
    with torch.inference_mode():
        while done < last and not (found and time.perf_counter() > deadline):
            end = min(begin + context, last)
            store = network.new_cache(1, end - begin)
            for left in range(begin, end, PIECE):
                right = min(left + PIECE, end)
                if right <= done:  # scored by the window before, where it had as much before it or more
                    network(row[None, left:right], store, last_only=True)
                    continue
                logits = network(row[None, left:right], store).logits[0, max(0, done - left) :].float()  # (t, V)
                targets = row[max(left, done) + 1 : right + 1]  # (t,)
                total = logits.logsumexp(-1)  # (t,)
                said = logits.gather(-1, targets[:, None])[:, 0]
                best = logits.max(-1)
                columns = (total - said, best.indices, (best.values - total).exp())
                found += map(Scored, *(column.tolist() for column in columns))
                done = right
                if time.perf_counter() > deadline:
                    break
            begin += max(1, context // 2)
    return found


def cache_timing(
    network: Decoder, ids: Sequence[int], most: int = 64, *, seconds: float = 6.0, every: float = 0.15
) -> Generator[Timing, None, None]:
    """Write up to `most` tokens after the ids, the likeliest each time, once with a cache and once without.

    Yields what was measured so far, about once in `every` seconds, and at the end with `done`. The end comes with the
    last token, with a full context, or when the time is over. Raises `ValueError` for no ids.
    """
    import torch

    if not ids:
        raise ValueError("There is nothing to go on from; give at least one token.")
    context = network.config.context
    row = torch.tensor([list(ids[-max(1, context - most) :])], device=_device(network))  # (1, T)
    most = min(most, context - row.shape[1])
    lengths: list[int] = []
    cached: list[float] = []
    uncached: list[float] = []
    begin = shown = time.perf_counter()
    with torch.inference_mode():
        store = network.new_cache(1, row.shape[1] + most)
        logits = network(row, store, last_only=True).logits  # reads the prompt, and warms the kernels up
    for number in range(most):
        with torch.inference_mode():  # not around the yield: the mode belongs to a thread
            last = logits.argmax(-1, keepdim=True)  # (1, 1)
            row = torch.cat([row, last], dim=1)
            start = time.perf_counter()
            logits = network(last, store, last_only=True).logits
            middle = time.perf_counter()
            network(row, last_only=True)
            end = time.perf_counter()
        lengths.append(row.shape[1])
        cached.append((middle - start) * 1000)
        uncached.append((end - middle) * 1000)
        done = number == most - 1 or end - begin > seconds
        if done or end - shown > every:
            shown = end
            yield Timing(lengths=tuple(lengths), cached=tuple(cached), uncached=tuple(uncached), done=done)
        if done:
            return


def name(tokenizer: Tokenizer, token: int) -> str:
    """A token as pictures show it: spaces and ends of line as marks, parts of a character as their bytes.

    Byte-level tokenizers cut a Chinese character or an emoji into tokens that are no text on their own: `‹E4 BD›`.
    """
    text = tokenizer.decode([token], skip_special_tokens=False)
    own = tokenizer.id_to_token(token)
    if "\ufffd" in text and own and all(letter in byte_of() for letter in own):
        return "‹" + " ".join(f"{byte_of()[letter]:02X}" for letter in own) + "›"
    return (text or own or f"#{token}").translate(MARKS)


@cache
def byte_of() -> dict[str, int]:
    """The byte that each letter of a byte-level token stands for (Radford et al. 2019): what is not printable is moved.

    >>> byte_of()["A"], byte_of()["Ġ"]
    (65, 32)
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(moved)}


def _further(piece: Piece, score: Scored | None) -> Piece:
    """The piece with one more token in it: what surprises in both adds up."""
    return piece if score is None else replace(piece, nats=(piece.nats or 0.0) + score.nats)


def _head(writer: Writer, text: str) -> list[int]:
    """What a poem begins with; nothing for other texts."""
    from demo_app_decoder_generator.texts import form_of, prompt

    return prompt(writer.tokenizer, "", form_of(text.strip())) if writer.kind == "poems" else []


def _device(network: Decoder) -> torch.device:
    return network.token_embedding.weight.device
