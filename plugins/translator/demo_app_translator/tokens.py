"""Text to ids and back, with one vocabulary per language: byte-pair encoding (Sennrich et al. 2016).

https://arxiv.org/abs/1508.07909. Training drops merges at random (BPE-dropout, Provilkov et al. 2020,
https://arxiv.org/abs/1910.13267), so that the network sees a word in different pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from demo_app_translator.texts import SPACELESS

PAD, UNKNOWN, START, END = SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")  # ids 0, 1, 2, 3
MAX_ALPHABET = 6000  # characters of one language that have a token of their own


class Vocabulary(Protocol):
    """Reads and writes one language."""

    unknown: int  # id of the unknown token

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without start, end and padding."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each token as the page shows it; in languages with spaces, the first of a word begins with a space."""


class Pieces:
    """A `Vocabulary` from a tokenizer.json."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.unknown = int(tokenizer.token_to_id(UNKNOWN))

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids))).strip()

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [(self.tokenizer.id_to_token(token) or UNKNOWN).replace("▁", " ") for token in ids]


def decoder_of(language: str) -> decoders.Decoder:
    """Tokens to text. NFKC turned wide punctuation into narrow; in languages without spaces this undoes it."""
    spaces = decoders.Metaspace(prepend_scheme="never" if language in SPACELESS else "always")
    wide = [decoders.Replace(narrow, sign) for narrow, sign in zip(",?!", "，？！", strict=True)]
    return decoders.Sequence([spaces, *wide]) if language in SPACELESS else spaces


def train_tokenizer(texts: Iterable[str], language: str, size: int, *, lowercase: bool) -> Tokenizer:
    """Train a byte-pair tokenizer of `size` tokens.

    Punctuation marks and digits are tokens of their own; a space belongs to the word after it.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Strip(), *([normalizers.Lowercase()] if lowercase else [])]
    )
    scheme = "never" if language in SPACELESS else "always"
    alone = pre_tokenizers.Split(Regex(r"▁?\p{P}|\p{N}"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme=scheme), alone])
    tokenizer.decoder = decoder_of(language)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        limit_alphabet=MAX_ALPHABET,
        min_frequency=2,
        max_token_length=4 if language in SPACELESS else None,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
