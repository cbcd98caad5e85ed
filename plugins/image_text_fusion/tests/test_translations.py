"""What visitors read is translated: each template has its Chinese, and values that are data stay as they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_app_image_text_fusion import views
from demo_app_image_text_fusion.many import Row
from demo_app_image_text_fusion.zh_cn import ZH_CN

from demo_app import InputError
from demo_app.i18n import Catalog, speaking
from demo_app.i18n.zh_cn import ZH_CN as HOST

COMMANDS = ("train", "train_scenes", "evaluate", "pairs", "make_pairs")  # the command line speaks English alone
PACKAGE = Path(views.__file__).parent
SPOKEN = sorted(file.name for file in PACKAGE.glob("*.py") if file.stem not in COMMANDS)


def texts(file: Path) -> Iterator[ast.expr]:
    """The text of each `say(...)`, `InputError(...)` and `DemoError(...)` in a module."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("say", "InputError", "DemoError"):
                yield node.args[0]


@pytest.mark.parametrize("name", SPOKEN)
def test_every_template_is_translated(name: str) -> None:
    found = list(texts(PACKAGE / name))
    assert not [node.lineno for node in found if isinstance(node, ast.JoinedStr)], "give a template and its values"
    known = ZH_CN | HOST
    assert [node.value for node in found if isinstance(node, ast.Constant) and node.value not in known] == []


@pytest.mark.parametrize("answer", ["right", "left", "yes", "0"])
def test_an_answer_is_not_taken_for_a_verdict(answer: str) -> None:
    with speaking(Catalog({"zh-CN": ZH_CN}), "zh-CN"):
        assert f"场景自带的答案：{answer}。网络答对了。" in views.scene_note(answer, right=True)
        assert f"场景自带的答案：{answer}。网络答错了。" in views.scene_note(answer, right=False)


def test_a_problem_is_in_the_visitors_language_and_in_the_tables_english() -> None:
    problem = InputError("the picture {name} is not among the uploaded ones.", name="'a.png'")
    row = Row(number=2, image="a.png", text="what?", problem=problem)
    with speaking(Catalog({"zh-CN": ZH_CN}), "zh-CN"):
        assert "第 2 行：上传的图片里没有 &#x27;a.png&#x27;。" in views.rows_view([row])
        assert str(row.problem) == "the picture 'a.png' is not among the uploaded ones."
