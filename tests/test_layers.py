"""The house keeps its floors: a file imports only from floors below or from its own folder, and nothing in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From top to bottom. Folders on one floor do not import each other; modules directly in demo_app/ are not one folder
FLOORS = (
    ("__main__",),
    ("cli", "testing"),
    ("__init__",),
    ("checking",),
    ("serving",),
    ("apps",),
    ("page",),
    ("engine",),
    ("publishing",),
    ("models",),
    ("finetune",),
    ("registry",),
    ("training",),
    ("hub",),
    ("nn",),
    ("inputs",),
    ("viz",),
    ("scaffold",),
    ("hookspecs",),
    ("api", "environment", "options", "settings", "zerogpu"),
    ("machine",),
    ("errors", "gradio_internals", "i18n", "unsafe_files", "version"),
)
LEVEL = {name: level for level, floor in enumerate(reversed(FLOORS)) for name in floor}

# Packages that only these parts may import, of demo_app and of a plugin
WALLS = {
    "torch": (
        {"nn", "training", "finetune", "machine", "checking"},
        None,
    ),
    "gradio": (
        {"page", "apps", "serving", "engine", "checking", "testing", "zerogpu", "gradio_internals"},
        {"tab", "actions"},
    ),
    "huggingface_hub": ({"hub", "scaffold", "testing"}, set()),
}
LAZY = {"machine", "checking"}  # import torch in functions alone


def modules(folder: Path) -> dict[str, Path]:
    """Module name -> file, of all Python files below a package's folder."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> Iterator[tuple[str, bool]]:
    """(module, whether at the top) of all that a file imports, inside functions and under TYPE_CHECKING too."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in whole]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and isinstance(node.args[0], ast.Constant)
        ):
            names = [str(node.args[0].value)]
        else:
            continue
        for name in names:
            yield name, id(node) not in inside


HOST = modules(ROOT / "demo_app")
PLUGINS = {folder.name: modules(folder) for folder in sorted(ROOT.glob("plugins/*/demo_app_*"))}
GRAPH = {
    name: {target for target, _ in imports(path, set(files)) if target in files and target != name}
    for files in (HOST, *PLUGINS.values())
    for name, path in files.items()
}


def part(module: str) -> str:
    """The folder or module of demo_app that a module belongs to: `hub` for `demo_app.hub.files`."""
    return module.split(".")[1] if "." in module else "__init__"


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, or nothing."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for target in sorted(graph[name]):
            if found := walk(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def test_every_module_is_on_a_floor() -> None:
    assert sorted({part(name) for name in HOST} - set(LEVEL)) == []


def test_a_file_imports_only_from_floors_below_or_its_own_folder() -> None:
    wrong = [
        f"{name} -> {target}"
        for name in HOST
        for target in GRAPH[name]
        if part(name) != part(target) and LEVEL[part(target)] >= LEVEL[part(name)]
    ]
    assert sorted(wrong) == []


def test_no_circle_of_imports() -> None:
    assert circle(GRAPH) == []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_nothing_imports_the_command_line_or_the_test_fixtures() -> None:
    above = {"demo_app.cli", "demo_app.testing"}
    wrong = [
        f"{name} -> {target}"
        for name in HOST
        if part(name) not in ("cli", "testing", "__main__")
        for target in GRAPH[name]
        if ".".join(target.split(".")[:2]) in above
    ]
    assert wrong == []


@pytest.mark.parametrize("package", WALLS)
def test_only_these_parts_import_what_stands_behind_a_wall(package: str) -> None:
    allowed, _ = WALLS[package]
    wrong = []
    for name, path in HOST.items():
        here = {part(name), "/".join(name.split(".")[1:])}
        for target, at_top in imports(path, set(HOST)):
            if target.partition(".")[0] == package and (
                not here & allowed or (package == "torch" and here & LAZY and at_top)
            ):
                wrong.append(f"{name} -> {target}")
    assert wrong == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_gradio_in_its_tab_alone_and_no_other_plugin(plugin: str) -> None:
    wrong = []
    for name, path in PLUGINS[plugin].items():
        for target, at_top in imports(path, set(HOST) | set(PLUGINS[plugin])):
            package = target.partition(".")[0]
            gradio = package == "gradio" and name.rpartition(".")[2] not in (WALLS["gradio"][1] or ())
            other = package.startswith("demo_app_") and package != plugin
            heavy = package in ("torch", "gradio") and name == plugin and at_top
            if gradio or other or heavy or package == "huggingface_hub":
                wrong.append(f"{name} -> {target}")
    assert wrong == []
