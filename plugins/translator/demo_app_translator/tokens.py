"""From text to ids and back, one vocabulary a language: byte-pair encoding (Sennrich et al. 2016).

https://arxiv.org/abs/1508.07909. In training the merges are dropped at random (BPE-dropout, Provilkov et al. 2020,
https://arxiv.org/abs/1910.13267), so that a word is seen in many pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

PAD, UNKNOWN, START, END = SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")  # ids 0, 1, 2, 3
SPACELESS = ("zh", "ja", "th")  # languages that write no spaces between words
LETTERS = 6000  # characters of one language that have a token of their own


class Vocabulary(Protocol):
    """What reads and writes one language."""

    unknown: int  # id of what has no token

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; start, end and padding are left out."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each token as it is shown; the first of a word begins with a space, where words have spaces between."""


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
    """From tokens to text. NFKC has made wide punctuation narrow; where words have no spaces it is wide again."""
    spaces = decoders.Metaspace(prepend_scheme="never" if language in SPACELESS else "always")
    wide = [decoders.Replace(narrow, sign) for narrow, sign in zip(",?!", "，？！", strict=True)]
    return decoders.Sequence([spaces, *wide]) if language in SPACELESS else spaces


def train_tokenizer(texts: Iterable[str], language: str, size: int, *, lowercase: bool) -> Tokenizer:
    """A byte-pair tokenizer of `size` tokens. Punctuation and digits stand alone, spaces belong to the word after."""
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
        limit_alphabet=LETTERS,
        min_frequency=2,
        max_token_length=4 if language in SPACELESS else None,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
