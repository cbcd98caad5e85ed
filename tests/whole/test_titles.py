"""README and docs use the titles of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plugins_on_disk import ROOT

from demo_app import Demo
from demo_app.registry.loading import load_plugins
from demo_app.settings import Settings

PLUGINS = {
    plugin.path: demo
    for plugin in load_plugins(Settings(plugins_dir=ROOT / "plugins", strict=True))
    if plugin.path is not None and plugin.path.is_relative_to(ROOT)
    for demo in plugin.demos
}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]*)[^)]*\)")
TABS_OF_THE_HOST = {"Fine-tune": "微调", "Status": "状态"}


def chinese(demo: Demo) -> str:
    return demo.translations["zh-CN"][demo.title]


def pages() -> list[Path]:
    """README, docs and the plugins' READMEs in English."""
    docs = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md"), *ROOT.glob("benchmarks/*.md")]
    return [ROOT / "README.md", *sorted(docs)]


def bold(page: str, heading: str) -> list[str]:
    """The bold words that begin the paragraphs of a section."""
    section = (ROOT / page).read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\*\*([^*]+)\*\*", section, flags=re.MULTILINE)


def test_every_built_in_plugin_is_covered() -> None:
    assert {folder.name for folder in PLUGINS} == {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}


def test_the_readme_describes_the_tabs_by_their_titles() -> None:
    titles = [demo.title for demo in PLUGINS.values()] + [*TABS_OF_THE_HOST]
    assert sorted(bold("README.md", "What you see")) == sorted(titles)


def test_the_chinese_readme_describes_the_tabs_by_their_chinese_titles() -> None:
    titles = [chinese(demo) for demo in PLUGINS.values()] + [*TABS_OF_THE_HOST.values()]
    assert sorted(bold("README.zh-CN.md", "能看到什么")) == sorted(titles)


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: str(folder.name))
def test_a_plugins_readme_has_its_demos_title(folder: Path) -> None:
    assert (folder / "README.md").read_text("utf-8").partition("\n")[0] == f"# {PLUGINS[folder].title}"


def test_links_to_a_plugins_readme_have_its_demos_title() -> None:
    seen = set()
    for page in [*pages(), ROOT / "README.zh-CN.md"]:
        for text, target in LINK.findall(page.read_text("utf-8")):
            folder = (page.parent / target).resolve().parent
            if not target.endswith("README.md") or folder not in PLUGINS or text.casefold() == "the plugin's readme":
                continue
            title = chinese(PLUGINS[folder]) if "zh-CN" in page.name else PLUGINS[folder].title
            assert text.casefold() == title.casefold(), f"{page.relative_to(ROOT)}: [{text}]({target})"
            seen.add((page.name, folder))
    assert {("README.md", folder) for folder in PLUGINS} | {("README.zh-CN.md", folder) for folder in PLUGINS} <= seen


def test_the_section_on_tabs_of_a_docs_page_names_demos_by_their_titles() -> None:
    text = (ROOT / "docs" / "models" / "attention.md").read_text("utf-8")
    named = re.findall(r"\*([A-Z][\w ]+)\*:", text.split("\n## In the tabs\n")[1])
    assert named
    assert set(named) <= {demo.title for demo in PLUGINS.values()}


def test_no_earlier_title_is_left() -> None:
    cards = [*ROOT.glob("plugins/*/*/weights/*/README.md"), ROOT / "README.zh-CN.md"]
    for page in [*pages(), *cards]:
        text = re.sub(r"\s+", " ", page.read_text("utf-8")).casefold()
        for earlier in ("image and text", "图文问答"):
            found = text.replace("the columns image and text", "")  # names of columns
            assert earlier not in found, f"{page.relative_to(ROOT)}: {earlier}"
