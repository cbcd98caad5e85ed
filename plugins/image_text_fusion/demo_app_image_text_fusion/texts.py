"""Questions as the network reads them: words of a vocabulary, or the pieces of a published WordPiece."""

# B batch, T tokens

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def words_of(texts: Iterable[str]) -> list[str]:
    """Every word that occurs in the texts, by alphabet: in small letters, Chinese by characters."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words: set[str] = set()
    for text in texts:
        words |= {word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    return sorted(words)


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Every word that occurs in the texts, small letters, Chinese by characters; `[CLS] ... [SEP]` around."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, *words_of(texts)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> tuple[Tensor, Tensor | None]:
    """ids (B, T) int64 and mask (B, T), True = a token, or None where none is padding; longer texts are cut."""
    end = tokenizer.token_to_id("[SEP]")
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    rows = [row if len(row) <= most else [*row[: most - 1], end] for row in rows]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(longest) < lengths[:, None]
    return ids, None if bool(mask.all()) else mask


def silence(count: int) -> Tensor:
    """ids (B, 2) of so many empty questions."""
    return torch.tensor([[SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")]]).expand(count, -1)
