"""The built-in demos and the host in Chinese: every text that they show, and none that they do not."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from plugins_on_disk import ROOT

from demo_app import i18n
from demo_app.i18n import Catalog, components
from demo_app.page.app import App, create_app
from demo_app.page.shell import HOST
from demo_app.page.tabs import Tab

CHINESE = "zh-CN"
BUILT_IN = sorted(folder.parent.name for folder in ROOT.glob("plugins/*/pyproject.toml"))
NUMBERS = re.compile(r"[\d.,%×→+\-−=/() ]*[kMGB]?|\d+\. .*")  # and what is written, as the sentences of a translation
SYMBOLS = {
    "P",
    "A",
    "[CLS]",
    "[SEP]",
    "</s>",
    "␣",
    "1 / C_out + 1 / K² = 1 / 128 + 1 / 9 = 0.119",
}  # as papers write them


@pytest.fixture(scope="module")
def built_in() -> App:
    return create_app(plugins_dir=ROOT / "plugins")


def shown(app: App, tab: Tab) -> set[str]:
    """The texts of a tab, as the page has them before anybody clicks."""
    assert tab.blocks is not None
    config = components.unmark(app.blocks.config, app.blocks.marks)
    ids = [id for id, (owner, _) in app.blocks.catalogs.items() if owner == tab.name]
    texts = {text.strip() for text in components.texts(config, ids)}
    return {text for text in texts if not NUMBERS.fullmatch(text)} - SYMBOLS


def sources(package: str) -> str:
    """All texts in the code of a package."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    trees = [ast.parse(file.read_text("utf-8")) for file in folder.rglob("*.py") if file.name != "zh_cn.py"]
    texts = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "\n".join([str(text) for text in texts] + [file.read_text("utf-8") for file in folder.rglob("*.js")])


def unused(texts: Mapping[str, str], said: set[str], package: str) -> list[str]:
    """Translated texts that neither stand on the page nor are made of what the package's code says."""
    code = sources(package)
    parts = {text: [part for part in re.split(r"\{[a-z_]+\}|, ", text) if part.strip()] for text in texts}
    catalogs = {text: Catalog({CHINESE: {text: "x"}}) for text in texts}
    return [
        text
        for text in texts
        if not any(catalogs[text].find(shown, CHINESE) for shown in said)
        and not all(part.strip(" .:()") in code for part in parts[text])
    ]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_text_of_a_built_in_tab_is_there_in_chinese(built_in: App, name: str) -> None:
    tab = next(tab for tab in built_in.tabs if tab.name == name)
    assert tab.demo is not None, tab.plugin.reason
    known = i18n.merged([tab.demo.translations, HOST])

    assert sorted(text for text in shown(built_in, tab) if known.find(text, CHINESE) is None) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_chinese_text_of_a_built_in_demo_is_of_an_english_one_that_is_there(built_in: App, name: str) -> None:
    tab = next(tab for tab in built_in.tabs if tab.name == name)
    assert tab.demo is not None, tab.plugin.reason

    assert unused(tab.demo.translations[CHINESE], shown(built_in, tab), f"demo_app_{name}") == []


def test_every_chinese_text_of_the_host_is_of_an_english_one_that_is_there() -> None:
    assert unused(HOST[CHINESE], set(), "demo_app") == []


@pytest.mark.parametrize("name", ["host", *BUILT_IN])
def test_a_translation_keeps_the_places_of_its_text(built_in: App, name: str) -> None:
    texts = HOST[CHINESE]
    if name != "host":
        tab = next(tab for tab in built_in.tabs if tab.name == name)
        assert tab.demo is not None, tab.plugin.reason
        texts = tab.demo.translations[CHINESE]
    place = re.compile(r"\{([a-z_]+)\}")

    assert [text for text, said in texts.items() if set(place.findall(text)) != set(place.findall(said))] == []
    assert [text for text, said in texts.items() if re.search(r"[\u4e00-\u9fff][,;:?!(]", said)] == []
