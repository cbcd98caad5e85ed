"""What the tab draws, in the language of the visitor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from demo_app_text_classifier import views
from demo_app_text_classifier.example import example
from demo_app_text_classifier.shape import Shape
from demo_app_text_classifier.zh_cn import ZH_CN

from demo_app.i18n import Catalog, speaking

CHINESE = "zh-CN"


@pytest.fixture
def in_chinese() -> Iterator[None]:
    with speaking(Catalog({CHINESE: ZH_CN}), CHINESE):
        yield


def test_a_head_has_a_name_whether_it_is_one_or_an_average() -> None:
    assert views.head_name(None, None) == "all layers, all heads, averaged"
    assert views.head_name(None, 0) == "all layers, head 1, averaged"
    assert views.head_name(1, None) == "layer 2, all heads, averaged"
    assert views.head_name(1, 2) == "layer 2, head 3"


def test_the_words_and_the_heads_are_translated(in_chinese: None) -> None:
    assert "受到的注意力，第 2 层所有头的平均" in views.words_view(example(), "attention", 1, None)
    assert "谁（行）在看谁（列）：第 1 层第 2 头" in views.heads_view(example(), 0, 1)
    assert "支持“positive”的词" in views.words_view(example(), "gradient", None, None)


def test_the_card_is_translated(in_chinese: None) -> None:
    card = views.card(replace(example(), length=200, truncated=True, unknown=3))
    for text in ("M 参数", "200 个 token", "其余文本没有读", "只画出前 64 个", "3 个不在词表里"):
        assert text in card
    assert "sst2" in card


def test_the_summary_of_a_file_is_translated(in_chinese: None) -> None:
    answers = [("positive", 0.9), ("negative", 0.8)]
    labels = ("negative", "positive")
    assert "50.0% 的行与文件给出的标签一致" in views.file_view(answers, ["1", "1"], labels)
    reason = views.file_view(answers, ["1", "maybe"], labels)
    assert "没有与文件的标签比较：不认识标签" in reason
    assert "maybe" in reason


def test_the_limits_of_a_text_are_translated(in_chinese: None) -> None:
    assert Shape().info(20_000) == "最多 20,000 个字符，模型最多读取其中 512 个 token。按回车即分类。"
