"""The README in Chinese says what the README says: block by block the same structure, code, links and numbers."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import zip_longest

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from plugins_on_disk import ROOT

PAIR = ("README.md", "README.zh-CN.md")
HAN = re.compile(r"[\u4e00-\u9fff]")


def body(name: str) -> str:
    """A README without its YAML header."""
    return re.sub(r"\A---\n.*?\n---\n", "", (ROOT / name).read_text("utf-8"), flags=re.DOTALL).strip()


def tokens_of(name: str) -> list[Token]:
    return MarkdownIt("commonmark").parse(body(name))


def structure(name: str) -> list[str]:
    """Headings with their level, paragraphs, lists, code: in their order."""
    return [f"{token.type} {token.tag}" for token in tokens_of(name) if token.type not in ("inline", "html_block")]


def inlines(name: str) -> list[Token]:
    return [token for token in tokens_of(name) if token.type == "inline"]


def targets(inline: Token) -> Counter[str]:
    """Links and pictures of a block; the two READMEs stand for each other."""
    links = [str(child.attrs.get("href") or child.attrs.get("src") or "") for child in inline.children or []]
    return Counter(PAIR[0] if link == PAIR[1] else link for link in links if link)


def code(inline: Token) -> Counter[str]:
    return Counter(child.content for child in inline.children or [] if child.type == "code_inline")


def words(inline: Token) -> str:
    """The text of a block, without code, addresses and pictures."""
    return " ".join(child.content for child in inline.children or [] if child.type == "text")


def numbers(inline: Token) -> Counter[str]:
    """Numbers by themselves, not those in names such as GPT-2."""
    return Counter(re.findall(r"(?<![\w.-])\d[\d,.]*\d|(?<![\w.-])\d", words(inline)))


def names(inline: Token) -> set[str]:
    """Words that Chinese keeps as they are, such as MobileNetV1 and API: a capital or a digit is in them, not first."""
    return set(re.findall(r"[A-Za-z]+[A-Z0-9]\w*", words(inline)))


def pairs() -> list[tuple[Token, Token]]:
    return list(zip_longest(*map(inlines, PAIR), fillvalue=Token("inline", "", 0)))


def test_the_chinese_readme_was_made_from_the_current_english_one() -> None:
    """A changed sentence cannot be detected by comparison, so the Chinese README has a hash of the English one."""
    stamp = f"<!-- README.md {hashlib.sha256(body(PAIR[0]).encode()).hexdigest()[:12]} -->"
    assert stamp in body(PAIR[1]), f"Say in {PAIR[1]} what {PAIR[0]} says by now, and put at its end: {stamp}"


def test_both_have_the_same_headings_paragraphs_and_lists_in_the_same_order() -> None:
    assert structure(PAIR[1]) == structure(PAIR[0])


def test_both_have_the_same_code() -> None:
    english, chinese = (
        [(token.info, token.content) for token in tokens_of(name) if token.type == "fence"] for name in PAIR
    )
    assert chinese == english


def test_block_by_block_both_have_the_same_links_pictures_code_and_numbers() -> None:
    for english, chinese in pairs():
        assert targets(chinese) == targets(english), chinese.content
        assert code(chinese) == code(english), chinese.content
        assert numbers(chinese) == numbers(english), chinese.content


def test_block_by_block_both_name_the_same_models_and_tools() -> None:
    for english, chinese in pairs():
        assert names(chinese) == names(english), chinese.content


def test_the_chinese_readme_is_chinese() -> None:
    _title, *blocks = inlines(PAIR[1])
    for block in blocks:
        assert HAN.search(block.content), block.content


@pytest.mark.parametrize(("name", "other"), [PAIR, PAIR[::-1]])
def test_each_links_to_the_other_at_its_top(name: str, other: str) -> None:
    assert f"]({other})" in inlines(name)[1].content
