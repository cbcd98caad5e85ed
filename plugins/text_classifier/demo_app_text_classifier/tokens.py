"""The tokenizer, trained on the texts of a training."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]"]  # ids 0, 1, 2
TOKENIZERS = ("wordpiece", "bpe")


def train_tokenizer(texts: Iterable[str], kind: str, vocab_size: int) -> Tokenizer:
    """Train a tokenizer: `wordpiece` for languages with spaces between words, `bpe` for Chinese and the like.

    WordPiece (Schuster and Nakajima 2012) splits words into the longest known pieces. Byte-pair encoding (Sennrich et
    al. 2016) merges the characters of whole clauses, and so finds pieces close to words. Both lower-case and normalise
    first. Raises `ValueError` for another kind.
    """
    if kind not in TOKENIZERS:
        raise ValueError(f"tokenizer {kind!r} is unknown; choose one of: {', '.join(TOKENIZERS)}.")
    common = {"vocab_size": vocab_size, "show_progress": False}
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        texts = list(texts)
        inner = sorted({f"##{letter}" for text in texts for letter in tokenizer.normalizer.normalize_str(text)})
        # Listed here, the inner letters get fixed ids; otherwise the trainer numbers them in random order
        trainer = trainers.WordPieceTrainer(**common, special_tokens=SPECIAL_TOKENS + inner, limit_alphabet=400)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        clauses = pre_tokenizers.Split(Regex(r"\p{P}|\p{S}|\p{N}+"), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), clauses])
        trainer = trainers.BpeTrainer(**common, special_tokens=SPECIAL_TOKENS, limit_alphabet=4000, max_token_length=6)
    tokenizer.train_from_iterator(texts, trainer)
    if kind == "wordpiece":
        tokenizer = _without_special_letters(tokenizer)
    start = tokenizer.token_to_id("[CLS]")
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", start)])
    return tokenizer


def _without_special_letters(trained: Tokenizer) -> Tokenizer:
    """The same WordPiece tokenizer, in which only `SPECIAL_TOKENS` are special."""
    tokenizer = Tokenizer(models.WordPiece(trained.get_vocab(), unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer
