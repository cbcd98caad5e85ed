"""The built-in demos and the host in Chinese: every text that they show, and none that they do not."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from plugins_on_disk import ROOT

from demo_app.i18n import components
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
LABEL = re.compile(r"\{title\} \((?:\{size\}, )?(?:\{license\}, )?([^{}]+)\)")
UNIT = re.compile(r"\{done\} of \{total\} ([^{}]+)")


@pytest.fixture(scope="module")
def built_in() -> App:
    return create_app(plugins_dir=ROOT / "plugins")


def built_tab(app: App, name: str) -> Tab:
    tab = next(tab for tab in app.tabs if tab.name == name)
    assert tab.demo is not None, tab.plugin.reason
    return tab


def shown(app: App, tab: Tab) -> set[str]:
    """The texts of a tab, as the page has them before anybody clicks."""
    config = components.unmark(app.blocks.config, app.blocks.marks)
    ids = [id for id, (owner, _) in app.blocks.catalogs.items() if owner == tab.name]
    texts = {text.strip() for text in components.texts(config, ids)}
    return {text for text in texts if not NUMBERS.fullmatch(text)} - SYMBOLS


def texts_in(folder: Path) -> set[str]:
    """All texts in the Python code of a folder, templates as they are written."""
    trees = [ast.parse(file.read_text("utf-8")) for file in folder.rglob("*.py") if file.name != "zh_cn.py"]
    found = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {inspect.cleandoc(text) for text in found if isinstance(text, str)}


def unused(texts: Mapping[str, str], shown: set[str], folders: Sequence[Path]) -> list[str]:
    """Translated texts that neither stand on the page nor, exactly so, in the code."""
    written = {text for folder in folders for text in texts_in(folder)}
    scripts = "\n".join(file.read_text("utf-8") for folder in folders for file in folder.rglob("*.js"))
    parts = {part for text in shown for part in text.split(" · ")}

    def is_used(text: str) -> bool:
        text = inspect.cleandoc(text)
        label = LABEL.fullmatch(text)  # `label_of` puts it together of these
        unit = UNIT.fullmatch(text)  # and `viz.progress` of this
        return (
            text in written
            or text in shown | parts
            or text in scripts
            or (label is not None and label[1] in written)
            or (unit is not None and unit[1] in written)
        )

    return [text for text in texts if not is_used(text)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_text_of_a_built_in_tab_is_there_in_chinese(built_in: App, name: str) -> None:
    tab = built_tab(built_in, name)
    catalog = next(catalog for owner, catalog in built_in.blocks.catalogs.values() if owner == name)

    assert sorted(text for text in shown(built_in, tab) if catalog.find(text, CHINESE) is None) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_chinese_text_of_a_built_in_demo_is_of_an_english_one_that_is_there(built_in: App, name: str) -> None:
    tab = built_tab(built_in, name)
    assert tab.demo is not None

    folder = Path(importlib.import_module(f"demo_app_{name}").__file__ or "").parent
    assert unused(tab.demo.translations[CHINESE], shown(built_in, tab), [folder]) == []


def test_every_chinese_text_of_the_host_is_of_an_english_one_that_is_there() -> None:
    plugins = [*ROOT.glob("plugins/*/demo_app_*")]  # the title of the fine-tune tab is written there
    assert unused(HOST[CHINESE], set(), [ROOT / "demo_app", *plugins]) == []


def filled_in(folder: Path) -> list[str]:
    """Where `say` or an `InputError` of a folder is given a text that has its values already."""
    calls = (
        (file, node)
        for file in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.JoinedStr)
    )
    return [
        f"{file.relative_to(folder).as_posix()}: {ast.unparse(call.args[0])}"
        for file, call in calls
        if ast.unparse(call.func).rpartition(".")[2] in ("say", "InputError")
    ]


COMPOSED = {  # templates that are put together of others
    "checkpoints.py: f\"{{title}} ({', '.join(facts)})\"",
    "charts.py: f'{{done}} of {{total}} {unit}'",
}
COMMANDS = ("data.py", "pairs.py", "train.py")  # modules of plugins that the command line alone uses


@pytest.mark.parametrize("part", ["page", "inputs", "models", "finetune", "viz"])
def test_what_the_host_says_is_looked_up_before_it_is_filled_in(part: str) -> None:
    assert set(filled_in(ROOT / "demo_app" / part)) - COMPOSED == set()


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_built_in_demo_says_is_looked_up_before_it_is_filled_in(name: str) -> None:
    found = filled_in(ROOT / "plugins" / name / f"demo_app_{name}")
    assert [text for text in found if not text.startswith(COMMANDS)] == []


@pytest.mark.parametrize("name", ["host", *BUILT_IN])
def test_a_translation_keeps_the_places_of_its_text(built_in: App, name: str) -> None:
    texts = HOST[CHINESE]
    if name != "host":
        tab = built_tab(built_in, name)
        assert tab.demo is not None
        texts = tab.demo.translations[CHINESE]
    place = re.compile(r"\{([a-z_]+)\}")

    assert [text for text, said in texts.items() if set(place.findall(text)) != set(place.findall(said))] == []
    assert [text for text, said in texts.items() if re.search(r"[\u4e00-\u9fff][,;:?!(]", said)] == []
