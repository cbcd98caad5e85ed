"""What visitors read is translated: each template has its Chinese, and values that are data stay as they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_app_separable_conv import views
from demo_app_separable_conv.batch import Answer
from demo_app_separable_conv.example import example
from demo_app_separable_conv.explain import write_out
from demo_app_separable_conv.zh_cn import ZH_CN

from demo_app import InputError
from demo_app.i18n import Catalog, speaking
from demo_app.i18n.zh_cn import ZH_CN as HOST

COMMANDS = ("train", "evaluate", "data")  # the command line speaks English alone
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


def test_a_sum_is_written_out_in_chinese() -> None:
    written = write_out(example().inside, 0)
    with speaking(Catalog({"zh-CN": ZH_CN}), "zh-CN"):
        said = views.formula(written)
        shown = views.sum_view(example().inside, written)
    assert said.startswith(f"通道 0 在（{written.row}, {written.column}）处 = ")
    assert "（偏移）" in said
    words = re.sub(r"<[^>]*>", " ", shown) + said
    assert not [word for word in ("channel", "shift", "sum", "more", "row") if re.search(rf"\b{word}\b", words)]


def test_a_problem_is_in_the_visitors_language_and_in_the_tables_english() -> None:
    problem = InputError("This checkpoint has no attention; choose the one that has.")
    answer = Answer(name="a.png", folder="", problem=problem)
    with speaking(Catalog({"zh-CN": ZH_CN}), "zh-CN"):
        assert "a.png: 这个权重没有注意力" in views.answers_view([answer], [], None)
        assert str(answer.problem) == problem.text
