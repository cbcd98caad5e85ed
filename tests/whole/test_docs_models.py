"""*How the models work* matches the code: its blocks run, its names exist, its links work."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import keyword
import re
import tokenize
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from plugins_on_disk import ROOT

FOLDER = ROOT / "docs" / "models"
INDEX = FOLDER / "README.md"
PAGES = sorted(set(FOLDER.glob("*.md")) - {INDEX})
SVG = "{http://www.w3.org/2000/svg}"
BLOCK = re.compile(r"^```python\n(.*?)^```(?:\n+```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"\[`([\w.]+)`\]\(([^)]+)\)")  # `module` that links to its file
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
NAME = re.compile(r"[A-Za-z_][\w.]*")
FORMULA = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.DOTALL | re.MULTILINE)

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def modules_of(page: Path) -> dict[str, Path]:
    """The modules that the page is about, and the file that it says each is in."""
    return {name: (page.parent / target).resolve() for name, target in CODE.findall(prose(page))}


def names_in(file: Path) -> set[str]:
    """Every name of a module's code, and every string in it that is one: names, fields, values of a setting."""
    found: set[str] = set()
    with file.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            if token.type == tokenize.NAME:
                found.add(token.string)
            elif token.type == tokenize.STRING:
                found.add(token.string.strip("\"'"))
    return found


def has(owner: type, name: str) -> bool:
    """Whether a class has that: an attribute, a field, or what its code gives to `self`."""
    fields = {field for kind in owner.__mro__ for field in vars(kind).get("__annotations__", {})}
    return hasattr(owner, name) or name in fields or bool(re.search(rf"\bself\.{name}\b", inspect.getsource(owner)))


def anchors(page: Path) -> set[str]:
    """What `#...` may name on a page, as GitHub makes it of a heading."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page_by_page
def test_the_blocks_run_in_order_and_print_what_the_page_says(page: Path) -> None:
    blocks = BLOCK.findall(page.read_text("utf-8"))
    assert blocks
    assert any(expected for _, expected in blocks), "no block shows what it prints"
    names: dict[str, Any] = {}
    for block, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, page.name, "exec"), names)
        assert printed.getvalue() == expected


@page_by_page
def test_names_are_those_of_the_code(page: Path) -> None:
    modules = modules_of(page)
    assert modules, "the page does not say whose code it is about"
    known = {"True", "False", "None"}
    for name, file in modules.items():
        assert Path(str(importlib.import_module(name).__file__)) == file, name
        known |= names_in(file)
    pictured = {
        text.text or ""
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+\.svg)\)", page.read_text("utf-8"))
        for text in ElementTree.parse(page.parent / picture).iter(f"{SVG}text")
        if "code" in text.get("class", "").split()
    }
    for span in {*SPAN.findall(prose(page)), *pictured}:
        if span.endswith(".py"):
            assert any((file.parent / span).is_file() for file in modules.values()), span
            continue
        for name in NAME.findall(span):
            if name in modules or keyword.iskeyword(name):
                continue
            owner, *rest = name.split(".")
            assert {owner, *rest} <= known, f"{name}, in `{span}`, is no name in {', '.join(modules)}"
            classes = [c for m in modules if inspect.isclass(c := getattr(importlib.import_module(m), owner, None))]
            if rest and classes:
                assert has(classes[0], rest[0]), f"{owner} has no {rest[0]}"


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose(page))
    for link in links:
        if link.startswith("http"):
            assert link.startswith("https://"), link
            continue
        target, _, heading = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert not heading or heading in anchors(file), link


@page_by_page
def test_a_page_has_a_picture_a_formula_the_tab_and_papers(page: Path) -> None:
    text = prose(page)
    assert re.search(r"!\[[^\]]+\]\(\w+\.svg\)", text)
    assert FORMULA.search(text)
    assert re.search(r"^## In the tabs?$", text, flags=re.MULTILINE)
    papers = text.split("\n## Papers\n")[1]
    assert "](https://" in papers


@page_by_page
def test_formulas_reach_the_renderer_as_they_are_written(page: Path) -> None:
    """Markdown comes before mathematics: it must find no emphasis and no escape in a formula."""
    formulas = FORMULA.findall(page.read_text("utf-8"))
    for formula in formulas:
        (inline,) = [token for token in MarkdownIt("commonmark").parse(formula) if token.type == "inline"]
        shown = [child.content if child.type == "text" else "\n" for child in inline.children or []]
        assert "".join(shown) == formula, formula
        assert {child.type for child in inline.children or []} <= {"text", "softbreak"}, formula


def test_the_index_names_every_page_and_the_readme_the_index() -> None:
    linked = set(re.findall(r"\]\((\w+\.md)\)", INDEX.read_text("utf-8")))
    assert linked == {page.name for page in PAGES}
    assert "](docs/models/README.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("plugin", sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")))
def test_every_plugin_has_a_page_and_links_to_it(plugin: str) -> None:
    link = f"](../../plugins/{plugin}/README.md)"
    pages = [page for page in PAGES if link in page.read_text("utf-8")]
    assert pages, f"no page links {link}"
    readme = (ROOT / "plugins" / plugin / "README.md").read_text("utf-8")
    assert any(f"](../../docs/models/{page.name})" in readme for page in pages)


@pytest.mark.parametrize("picture", sorted(FOLDER.glob("*.svg")), ids=lambda picture: picture.stem)
def test_pictures_have_titles_fetch_nothing_and_support_dark_mode(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    assert root.tag == f"{SVG}svg"
    assert all((root.findtext(f"{SVG}{part}") or "").strip() for part in ("title", "desc"))
    source = picture.read_text("utf-8")
    assert "prefers-color-scheme: dark" in source
    assert set(re.findall(r"https?://[^\"')\s]+", source)) == {"http://www.w3.org/2000/svg"}
    assert any(f"]({picture.name})" in page.read_text("utf-8") for page in PAGES), "no page shows it"
