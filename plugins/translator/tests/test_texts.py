"""Tokens, sentences, words, files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from demo_app_translator.data import read_csv, read_lines, read_pairs
from demo_app_translator.explain import words
from demo_app_translator.texts import joined, sentences
from demo_app_translator.tokens import SPECIAL, Pieces, train_tokenizer
from demo_app_translator.translator import Translator

from demo_app import InputError


def test_a_text_comes_back_from_its_pieces() -> None:
    texts = ["Ein Hund, der (sehr) groß ist.", "3,5 Äpfel!"]
    pieces = Pieces(train_tokenizer(texts * 3, "de", 60, lowercase=False))
    for text in texts:
        assert pieces.decode(pieces.encode(text)) == text
        assert "".join(pieces.pieces(pieces.encode(text))).strip() == text
    assert [pieces.tokenizer.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3]


def test_chinese_needs_no_spaces() -> None:
    pieces = Pieces(train_tokenizer(["我喜欢狗。", "他不喜欢猫。"] * 3, "zh", 60, lowercase=False))
    assert pieces.decode(pieces.encode("他喜欢狗。")) == "他喜欢狗。"
    assert not any(piece.startswith(" ") for piece in pieces.pieces(pieces.encode("他喜欢狗。")))


def test_chinese_punctuation_is_wide_and_german_is_not() -> None:
    chinese = Pieces(train_tokenizer(["你好，他来了！", "你是谁？"] * 3, "zh", 60, lowercase=False))
    assert chinese.decode(chinese.encode("你好,他是谁?")) == "你好，他是谁？"
    german = Pieces(train_tokenizer(["Ja, er kommt! Wer?"] * 3, "de", 60, lowercase=False))
    assert german.decode(german.encode("Ja, er kommt! Wer?")) == "Ja, er kommt! Wer?"


def test_capitals_of_the_source_do_not_matter(tiny: Translator) -> None:
    assert tiny.source.encode("A SMALL dog.") == tiny.source.encode("a small DOG.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "No." She left.', ['He said "No."', "She left."]),
        ("a line\nanother line\n\n", ["a line", "another line"]),
        ("我来了。你呢？好！", ["我来了。", "你呢？", "好！"]),
        ("3.5 apples", ["3.5 apples"]),
        ("no end", ["no end"]),
        ("...", ["..."]),
    ],
)
def test_a_text_is_split_into_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize("text", ["", "  \n ", "\n\n"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="nothing to translate"):
        sentences(text)


def test_sentences_are_joined_as_the_language_writes_them() -> None:
    assert joined(["Ja.", "", "Nein."], "de") == "Ja. Nein."
    assert joined(["是。", "不。"], "zh") == "是。不。"


def test_pieces_make_words() -> None:
    pieces = [" ein", " Holz", "z", "aun", ",", " d", "er", ".", "</s>"]
    assert words(pieces, "de") == [
        ("ein", [0]), ("Holzzaun", [1, 2, 3]), (",", [4]), ("der", [5, 6]), (".", [7]), ("</s>", [8]),
    ]  # fmt: skip
    assert words(["我", "喜欢", "。", "</s>"], "zh") == [("我", [0]), ("喜欢", [1]), ("。", [2]), ("</s>", [3])]


def test_a_text_in_unknown_letters_is_refused(tiny: Translator) -> None:
    with pytest.raises(InputError, match="reads English"):
        tiny.check("我喜欢狗。")
    tiny.check("A small dog 狗.")


def test_pairs_come_from_two_files_or_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one\ntwo\n", "utf-8")
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins\nzwei\n"))
    (tmp_path / "a.csv").write_text('en,zh\n"Hi, you",你好\n', "utf-8-sig")
    pairs = read_pairs(tmp_path / "a.en", tmp_path / "a.de.gz", None, ("en", "de"))
    assert (pairs.source, pairs.target) == (["one", "two"], ["eins", "zwei"])
    assert read_pairs(None, None, tmp_path / "a.csv", ("en", "zh")).source == ["Hi, you"]


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one\ntwo\n", "utf-8")
    (tmp_path / "a.de").write_text("eins\n", "utf-8")
    (tmp_path / "b.en").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.csv").write_text("en,fr\nHi,Salut\n", "utf-8")
    with pytest.raises(InputError, match="2 lines and"):
        read_lines(tmp_path / "a.en", tmp_path / "a.de")
    with pytest.raises(InputError, match="UTF-8"):
        read_lines(tmp_path / "b.en", tmp_path / "a.de")
    with pytest.raises(InputError, match=r"no column named 'de' \(its columns: 'en', 'fr'\)"):
        read_csv(tmp_path / "c.csv", ("en", "de"))
    with pytest.raises(InputError, match="--source"):
        read_pairs(None, None, None, ("en", "de"))
