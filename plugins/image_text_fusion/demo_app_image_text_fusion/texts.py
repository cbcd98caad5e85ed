"""Tokenizes questions: into whole words of a vocabulary, or by the WordPiece of a published checkpoint."""

# B batch, T tokens

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def words_of(texts: Iterable[str]) -> list[str]:
    """The words of the texts, sorted: in lower case; each Chinese character is a word."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words: set[str] = set()
    for text in texts:
        words |= {word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    return sorted(words)


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer whose vocabulary is `words_of(texts)`; it puts [CLS] before and [SEP] after a text."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, *words_of(texts)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> tuple[Tensor, Tensor | None]:
    """ids (B, T) int64 and mask (B, T), True = a token, or `None` without padding. Texts are cut to `most` tokens."""
    end = tokenizer.token_to_id("[SEP]")
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    rows = [row if len(row) <= most else [*row[: most - 1], end] for row in rows]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(longest) < lengths[:, None]
    return ids, None if bool(mask.all()) else mask


def silence(count: int) -> Tensor:
    """ids (B, 2) of `count` empty questions."""
    return torch.tensor([[SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")]]).expand(count, -1)
