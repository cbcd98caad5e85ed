"""The plugin reference is complete, and names nothing that does not exist."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from plugins_on_disk import ROOT

import demo_app
from demo_app import Checkpoint, Comparison, Demo, ModelHandle
from demo_app.cli.main import main, parser
from demo_app.finetune.tuner import Tuner
from demo_app.testing import fixtures
from demo_app.unsafe_files import UNSAFE_SUFFIXES

PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
CODE = re.compile(r"`([^`]+)`")


def rows(head: str) -> list[list[str]]:
    """The cells of the table whose first column has that heading."""
    table = PAGE.split(f"| {head} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def named(cell: str) -> list[str]:
    """The names in a cell: of `use(name=None)` it is `use`."""
    return [re.split(r"\W", code)[0] for code in CODE.findall(cell)]


def members(of: type) -> set[str]:
    """Public fields, methods and properties."""
    own = {name for name in [*vars(of), *vars(of).get("__annotations__", ())] if not name.startswith("_")}
    return own | {field.name for field in (fields(of) if is_dataclass(of) else ())}


@pytest.mark.parametrize(
    ("head", "of"),
    [
        ("of a `Demo`", Demo),
        ("of a `Comparison`", Comparison),
        ("of a `Checkpoint`", Checkpoint),
        ("of the `handle`", ModelHandle),
        ("of a `Tuner`", Tuner),
    ],
)
def test_every_field_and_method_is_there_once(head: str, of: type) -> None:
    names = [name for first, *_ in rows(head) for name in named(first)]
    assert sorted(names) == sorted(members(of))


def test_every_fixture_is_there_once() -> None:
    kind = type(fixtures.plugin_dir)
    offered = [name for name, value in vars(fixtures).items() if isinstance(value, kind)]
    assert len(offered) > 5
    assert sorted(name for first, *_ in rows("fixture") for name in named(first)) == sorted(offered)


def public(module: Any) -> set[str]:
    """`__all__` of a module, or else the functions and classes that it defines."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }


MODULES = {CODE.findall(first)[0]: second for first, second in rows("module")}


@pytest.mark.parametrize("name", MODULES)
def test_every_name_of_a_module_is_there(name: str) -> None:
    names = named(re.sub(r"`register_demos`|`viz`|\[.*?\]\(.*?\)", "", MODULES[name]))
    module = importlib.import_module(name)
    assert {one for one in names if not hasattr(module, one)} == set()
    assert public(module) - set(names) == set()


def test_light_modules_import_neither_torch_nor_gradio() -> None:
    heavy = ("demo_app.nn", "demo_app.page.widgets", "demo_app.training", "demo_app.finetune")
    light = [name for name in MODULES if not name.startswith(heavy)]
    code = f"import {', '.join(light)}, sys; print({{'torch', 'gradio'}} & {{*sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def commands() -> dict[str, argparse.ArgumentParser]:
    (choices,) = [action.choices for action in parser()._actions if isinstance(action.choices, dict)]
    return dict(choices)


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")} - {"--help"}


def test_every_command_is_there_with_all_its_options() -> None:
    told = {}
    for first, _, third in rows("command"):
        (line,) = CODE.findall(first)
        told[line.split()[1]] = {option for code in CODE.findall(third) for option in re.findall(r"--[a-z-]+", code)}
    assert told == {name: options(parser) - {"--plugins-dir"} for name, parser in commands().items()}
    assert [name for name, parser in commands().items() if "--plugins-dir" not in options(parser)] == ["new"]


def pages() -> Iterator[tuple[str, str]]:
    for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        yield path.name, path.read_text("utf-8")


def test_everything_that_the_pages_name_exists() -> None:
    known = {name: options(parser) for name, parser in commands().items()}
    for page, text in pages():
        for name in re.findall(r"\bdemo_app\.[a-z_.]*\w+", text):
            assert exists(name), f"{page}: {name}"
        for name in re.findall(r"\bhandle\.(\w+)", text):
            assert name in members(ModelHandle), f"{page}: handle.{name}"
        for command, rest in re.findall(r"(?<!install )\bdemo-app ([a-z]+)([^\n#;&]*)", typed(text)):
            assert command in known, f"{page}: demo-app {command}"
            assert set(re.findall(r"--[a-z-]+", rest)) <= known[command], f"{page}: demo-app {command}{rest}"


def typed(page: str) -> str:
    """The commands of a page: its blocks for bash, and code within paragraphs and tables, each on a line."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    blocks = [token.content for token in tokens if token.type == "fence" and token.info == "bash"]
    inside = [child for token in tokens for child in token.children or [] if child.type == "code_inline"]
    return "\n".join(blocks + [code.content.replace("\n", " ") for code in inside])


def exists(name: str) -> bool:
    """Whether that is a module, or something in one."""
    module, *rest = name.split(".")
    found: Any = importlib.import_module(module)
    for part in rest:
        if not hasattr(found, part):
            try:
                importlib.import_module(f"{found.__name__}.{part}")
            except (ImportError, AttributeError):
                return False
        found = getattr(found, part)
    return True


def test_the_page_lists_the_formats_that_can_run_code() -> None:
    listed = re.search(r"refuse files that end in (.*?): each", PAGE, flags=re.DOTALL)
    assert listed is not None
    assert tuple(CODE.findall(listed[1])) == UNSAFE_SUFFIXES


def block(before: str) -> str:
    """The code below the paragraph that contains this."""
    return PAGE.split(before, 1)[1].split("```python\n", 1)[1].split("```", 1)[0]


@pytest.mark.slow
def test_the_network_of_the_page_is_trained_and_loaded(tmp_path: Path) -> None:
    package = tmp_path / "demo_app_echo"
    package.mkdir()
    for name in ("network.py", "train.py"):
        (package / name).write_text(block(f"`demo_app_echo/{name}`"))
    (line,) = re.findall(r"^python (-m demo_app_echo\.train .*)$", PAGE, flags=re.MULTILINE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, *line.split()]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] > 0.9
    asked = "from pathlib import Path; from demo_app_echo.network import load; import torch\n"
    asked += "print(load(Path('trained'), 'cpu')(torch.eye(4)).argmax(-1).tolist())"
    command = [sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout)[:2] == [1, 0], done.stderr


def test_the_version_is_printed_as_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == demo_app.__version__
