"""A look inside the loop: pure functions on a network and a text, and the records that they return.

Importing this module does not import torch: the page is built without it.
"""

from __future__ import annotations

# T tokens read, S <= T tokens that are drawn, P <= S positions of the lens, L layers, H heads, V vocabulary
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

SHOWN = 64  # tokens that are drawn: the last ones
LENS = 24  # positions of the logit lens, at most
LENS_LEAST = 4
LENS_PRODUCTS = 8e9  # multiply-adds that a lens may cost: a fifth of a second on two idle cores
LIMIT = 2_000  # tokens of a text whose surprise is measured
PIECE = 64  # tokens read at a time if all logits are needed: they take (PIECE, V) floats
MARKS = str.maketrans({" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "\u3000": "□"})  # for invisible characters


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One forward pass over the end of a text, before the next token is drawn. Small: each session keeps one."""

    logits: Array  # (V,) float32, of the next token: temperature and top-p act on them without the network
    ids: Ids  # (S,) the last tokens
    tokens: tuple[str, ...]  # (S,) their names
    attention: Array  # (L, H, S) float16: weights of the last token on those; over all T tokens they sum to 1
    lens_ids: Ids  # (L + 1, P, K): the likeliest next tokens at the last P positions, by the embedding and each layer
    lens_tokens: tuple[tuple[tuple[str, ...], ...], ...]  # their names
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
    text: str  # its name
    before: float  # probability by the network
    after: float  # probability of the draw, after penalty, temperature, top-k, top-p and min-p
    kept: bool  # whether it can be drawn at all


class Scored(NamedTuple):
    """What the network predicted for the place of one token."""

    nats: float  # -log p of the token
    likeliest: int  # id of the likeliest token there
    share: float  # p of that one


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a text, one token or several that share a character, and its surprise."""

    text: str  # as it stands in the text
    nats: float | None = None  # -log p; None if nothing comes before it, or it has no token
    expected: str = ""  # name of the likeliest token there
    share: float = 0.0  # its probability
    known: bool = True  # whether the network has a token for it


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """How well the network predicts a text."""

    pieces: tuple[Piece, ...]  # together they are the text, as far as it was read
    tokens: int  # that were scored
    characters: int  # of the scored pieces
    nats: float  # sum over all tokens
    vocabulary: int  # V: a blind guess has a surprise of log V
    unknown: str  # distinct characters that the network has no token for
    truncated: bool  # the rest of the text was not read
    milliseconds: float

    @property
    def perplexity(self) -> float:
        """The number of equally likely tokens with the same mean surprise; nan if none was scored."""
        return math.exp(min(700.0, self.nats / self.tokens)) if self.tokens else math.nan  # exp(710) overflows

    @property
    def bits_per_character(self) -> float:
        """Comparable between tokenizers, unlike perplexity; nan if none was scored."""
        return self.nats / math.log(2) / self.characters if self.characters else math.nan


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The time of one token at each length of the text, with the cache and without."""

    lengths: tuple[int, ...]  # tokens of the text
    cached: tuple[float, ...]  # milliseconds to read one token, with the others in the cache
    uncached: tuple[float, ...]  # milliseconds to read all tokens again
    done: bool  # this is the last one


def look(network: Decoder, tokenizer: Tokenizer, ids: Sequence[int], top: int = 3) -> Look:
    """Read the last `context` of the ids, and keep what the views need.

    Only the last positions are traced, the rest goes into a cache first: all attentions of a thousand tokens would take
    half a gigabyte. The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") sends each layer's output
    through the last norm and the output matrix, as if it were the last layer's, and keeps the `top` likeliest tokens.
    Raises `ValueError` for no ids.
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
        guesses, shares = [], []
        for hidden in output.trace.hidden:  # one at a time, since (P, V) is large
            logits = network.logits(hidden[0]).float()  # (P, V)
            likeliest = logits.topk(min(top, logits.shape[-1]), dim=-1)  # (P, K)
            guesses.append(likeliest.indices.cpu())
            shares.append((likeliest.values - logits.logsumexp(-1, keepdim=True)).exp().cpu())
    lens_ids = torch.stack(guesses).numpy()  # (L + 1, P, K)
    shown = np.asarray(ids[-min(length, SHOWN) :], dtype=np.int64)
    names = {int(i): name(tokenizer, int(i)) for i in {*shown.tolist(), *np.unique(lens_ids).tolist()}}
    return Look(
        logits=output.logits[0, -1].float().cpu().numpy().copy(),  # a copy frees the other positions
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
    """The number of positions of the lens: each costs layers + 1 products with the output matrix.

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
    """The `top` likeliest tokens by the network's own logits (V,), so that settings change bars and not their order.

    The repetition penalty applies to the tokens in `seen`; `chosen` comes last if it is not among them.
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
    """-log p of each token of the text, of at most `LIMIT` tokens, and as far as the time allows.

    The first token has no surprise, since nothing comes before it. A poem is scored after its form and an empty title,
    as in training, so all of its tokens have one. Characters without a token are skipped and listed.
    """
    start = time.perf_counter()
    encoding = writer.tokenizer.encode(text, add_special_tokens=False)
    head, missing = _head(writer, text), writer.missing
    known = [i for i in encoding.ids[:LIMIT] if i != missing]
    scored = scores(writer.network, [*head, *known], seconds=seconds)[max(0, len(head) - 1) :]
    of_known = scored if head else [None, *scored]
    pieces: list[Piece] = []
    end, number = 0, 0  # characters of the text, and known tokens, that are in pieces
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
    """Of each token after the first, T - 1 of them, or fewer if the time is over after one piece or more.

    Over a text that is longer than the context slides a window, by half a context. It is read in pieces, through a
    cache: the logits of all tokens at once would take a gigabyte for a large vocabulary.
    """
    import torch

    deadline = time.perf_counter() + seconds
    context, last = network.config.context, len(ids) - 1
    row = torch.tensor(list(ids), device=_device(network))
    found: list[Scored] = []
    begin, done = 0, 0  # start of the window; scored targets
    with torch.inference_mode():
        while done < last and not (found and time.perf_counter() > deadline):
            end = min(begin + context, last)
            store = network.new_cache(1, end - begin)
            for left in range(begin, end, PIECE):
                right = min(left + PIECE, end)
                if right <= done:  # scored in the window before, with at least as many tokens before it
                    network(row[None, left:right], store, last_only=True)
                    continue
                logits = network(row[None, left:right], store).logits[0, max(0, done - left) :].float()  # (t, V)
                targets = row[max(left, done) + 1 : right + 1]  # (t,)
                total = logits.logsumexp(-1)  # (t,)
                chosen = logits.gather(-1, targets[:, None])[:, 0]
                best = logits.max(-1)
                columns = (total - chosen, best.indices, (best.values - total).exp())
                found += map(Scored, *(column.tolist() for column in columns))
                done = right
                if time.perf_counter() > deadline:
                    break
            begin += max(1, context // 2)
    return found


def cache_timing(
    network: Decoder, ids: Sequence[int], most: int = 64, *, seconds: float = 6.0, every: float = 0.15
) -> Generator[Timing, None, None]:
    """Write up to `most` tokens greedily after the ids, each once with a cache and once without.

    Yields the measurements so far about every `every` seconds, and once more with `done`, after the last token, with a
    full context, or when the time is over. Raises `ValueError` for no ids.
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
        logits = network(row, store, last_only=True).logits  # reads the prompt and warms up the kernels
    for number in range(most):
        with torch.inference_mode():  # not around the yield: the mode is per thread
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
    """A token's name on the page: its text with marks for white space, or the bytes of a part of a character.

    Byte-level tokenizers cut a Chinese character or an emoji into tokens that are no text on their own: `‹E4 BD›`.
    """
    text = tokenizer.decode([token], skip_special_tokens=False)
    own = tokenizer.id_to_token(token)
    if "\ufffd" in text and own and all(letter in byte_of() for letter in own):
        return "‹" + " ".join(f"{byte_of()[letter]:02X}" for letter in own) + "›"
    return (text or own or f"#{token}").translate(MARKS)


@cache
def byte_of() -> dict[str, int]:
    """The byte of each letter of a byte-level token (Radford et al. 2019), where unprintable bytes have other letters.

    >>> byte_of()["A"], byte_of()["Ġ"]
    (65, 32)
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(moved)}


def _further(piece: Piece, score: Scored | None) -> Piece:
    """The piece with one more token in it: their surprise adds up."""
    return piece if score is None else replace(piece, nats=(piece.nats or 0.0) + score.nats)


def _head(writer: Writer, text: str) -> list[int]:
    """The ids before the first line of a poem; none for other texts."""
    from demo_app_decoder_generator.texts import form_of, prompt

    return prompt(writer.tokenizer, "", form_of(text.strip())) if writer.kind == "poems" else []


def _device(network: Decoder) -> torch.device:
    return network.token_embedding.weight.device
