"""Texts and labels from CSV files, and the tokenizer that is trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from demo_app import InputError
from demo_app.inputs import tables
from demo_app.inputs.tables import label_names as label_names

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]"]  # ids 0, 1, 2
TOKENIZERS = ("wordpiece", "bpe")


@dataclass(frozen=True)
class Rows:
    """A CSV file with a text column; `records` and `columns` keep whatever else it holds."""

    texts: list[str]
    labels: list[str] | None  # as written in the file; None where it has no label column
    columns: list[str]
    records: list[dict[str, str]]


def read_csv(path: Path, *, require_label: bool, max_rows: int | None = None) -> Rows:
    """The rows of a CSV file (.gz too) with a `text` and perhaps a `label` column.

    Raises `InputError` as `demo_app.inputs.tables.read_csv` does.
    """
    wanted = ("text", "label") if require_label else ("text",)
    table = tables.read_csv(path, wanted, optional=("label",), max_rows=max_rows)
    labels = [row["label"].strip() for row in table.rows] if "label" in table.columns else None
    return Rows([row["text"] for row in table.rows], labels, table.columns, table.rows)


def class_ids(written: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Class of each row, whose label may be a name out of `labels` or the number of its place among them.

    Raises `InputError` for a label that is neither.
    """
    known = {str(place): place for place in range(len(labels))} | {label: place for place, label in enumerate(labels)}
    for label in written:
        if label not in known:
            raise InputError(f"label {label[:40]!r} is unknown; use one of: {', '.join(labels)}, or its number from 0.")
    return [known[label] for label in written]


def train_tokenizer(texts: Iterable[str], kind: str, vocab_size: int) -> Tokenizer:
    """A tokenizer for these texts: `wordpiece` where words stand apart, `bpe` for Chinese and its like.

    WordPiece (Schuster and Nakajima 2012) cuts words into the longest known pieces. Byte-pair encoding (Sennrich et al.
    2016), merging characters of whole clauses, finds what comes close to words. Both lower-case and normalise first.
    Raises `ValueError` for another kind.
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
        # Named beforehand, the inner letters have fixed ids; left to itself the trainer numbers them by chance.
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
