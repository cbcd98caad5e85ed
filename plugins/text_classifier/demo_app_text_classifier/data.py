"""Texts and labels from CSV files, and the tokenizer that is trained on them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from demo_app import InputError

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]"]  # ids 0, 1, 2
TOKENIZERS = ("wordpiece", "bpe")
ENCODINGS = ("utf-8-sig", "gb18030")  # the first reads UTF-8 with and without a byte order mark
MAX_BYTES = 200 * 2**20  # unpacked: more is no table of sentences, or an archive made to fill the memory


@dataclass(frozen=True)
class Rows:
    """A CSV file with a text column; `records` and `columns` keep whatever else it holds."""

    texts: list[str]
    labels: list[str] | None  # as written in the file; None where it has no label column
    columns: list[str]
    records: list[dict[str, str]]


def read_csv(path: Path, *, require_label: bool, max_rows: int | None = None) -> Rows:
    """The rows of a CSV file (.gz too) with a `text` and perhaps a `label` column.

    Raises `InputError` for a file that is no CSV, is encoded otherwise, lacks a column, has no rows or too many.
    """
    name = path.name
    reader = csv.DictReader(io.StringIO(_decode(_bytes(path), name), newline=""), restval="")
    try:
        columns = [column.strip() for column in reader.fieldnames or []]
        reader.fieldnames = columns
        _check_columns(columns, ("text", "label") if require_label else ("text",), name)
        records = list(islice(reader, None if max_rows is None else max_rows + 1))
    except csv.Error as error:
        raise InputError(f"{name} is not a CSV file that can be read ({error}); export it again as CSV.") from error
    if max_rows is not None and len(records) > max_rows:
        raise InputError(f"{name} has more than {max_rows:,} rows; split it into smaller files.")
    if not records:
        raise InputError(f"{name} has a header but no rows; add some.")
    for record in records:
        record.pop(None, None)  # type: ignore[call-overload]  # fields past the header's end
    labels = [record["label"].strip() for record in records] if "label" in columns else None
    return Rows([record["text"] for record in records], labels, columns, records)


def _check_columns(columns: list[str], wanted: Sequence[str], name: str) -> None:
    for column in wanted:
        if column not in columns:
            there = ", ".join(repr(known[:40]) for known in columns[:12]) or "none"
            raise InputError(f"{name} has no column named {column!r} (its columns: {there}); rename or add one.")


def _bytes(path: Path) -> bytes:
    """The file's content, unpacked where it is gzipped."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path.name} cannot be read ({error}); check the file.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB; split it into smaller files.")
    return content


def _decode(content: bytes, name: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{name} is encoded in UTF-16; save it as UTF-8.")
    if b"\x00" in content[:65536]:
        raise InputError(f"{name} is a binary file, not a CSV; export the table as CSV.")
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{name} is neither UTF-8 nor GB18030 text; save it as UTF-8.")


def label_names(written: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels in the order of the classes: by number where all are whole numbers, else by alphabet."""
    distinct = set(written)
    if all(label.lstrip("-").isdecimal() for label in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


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
