"""What the tab draws: in the language of the visitor, with the visitor's own words left as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from demo_app_translator import views
from demo_app_translator.example import example
from demo_app_translator.explain import Forced, alignment
from demo_app_translator.zh_cn import ZH_CN

from demo_app.i18n import Catalog, speaking

CHINESE = "zh-CN"


@pytest.fixture
def in_chinese() -> Iterator[None]:
    with speaking(Catalog({CHINESE: ZH_CN}), CHINESE):
        yield


def test_the_facts_of_a_translation_are_translated(in_chinese: None) -> None:
    facts = views.about([example()])
    assert "束宽 4" in facts
    assert f"{len(example().target)} 个 token" in facts
    assert "en_de" in facts
    assert "贪心" in views.about([replace(example(), beams=1)])


def test_every_cell_of_the_two_designs_is_translated(in_chinese: None) -> None:
    table = views.two_designs(example()).partition("<table")[2]
    assert f"原文全部 {len(example().source)} 个 token" in table
    for word in ("itself", "stack", "source", "keys"):
        assert word not in table


def test_the_tree_is_translated(in_chinese: None) -> None:
    tree = views.beam_tree(example())
    for text in ("束搜索，束宽 4", ">结束<", "得分 -0.", "“Hund”：概率", "对数概率之和", "选中：“"):
        assert text in tree
    assert "束宽 1" in views.beam_tree(replace(example(), beams=1, nodes=example().nodes[:1]))


def test_words_of_the_visitor_are_not_translated(in_chinese: None) -> None:
    """Text and Head are labels of the tab, which Chinese has words for."""
    _, _, weights = alignment(example(), None, None)
    lines = views.alignment_lines(["Text", "Head"], ["Layer"], weights[:1, :2])
    assert "“Layer”看得最多的是“" in lines
    for word in ("Text", "Head", "Layer"):
        assert f">{word}</text>" in lines
        assert f"“{ZH_CN[word]}”" not in lines
    judged = views.forced_strip(Forced(pieces=(" Text",), probabilities=(0.5,), likeliest=(" Head",)))
    assert f">{ZH_CN['Text']}<" not in judged
    assert ZH_CN["Where it differs"] in judged
