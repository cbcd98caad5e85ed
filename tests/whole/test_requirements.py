"""Each distribution, the host and every built-in plugin, requires what it imports, and nothing else."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from plugins_on_disk import ROOT

FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
IDS = [folder.name if folder != ROOT else "demo-app" for folder in FOLDERS]

# Modules that come with another requirement: a plugin's tab is built with the host's Gradio, whose range the host sets.
COMES_WITH = {"gradio": "demo-app"}

# Modules that no index has to bring, by distribution: ZeroGPU's machines have `spaces`, and only there it is imported.
GIVEN = {"demo-app": {"spaces"}}

# Requirements that no file imports, by distribution, and why they are needed.
NEEDED_WITHOUT_IMPORT: dict[str, dict[str, str]] = {}

DISTRIBUTIONS = packages_distributions()  # of modules whose names differ, such as PIL of pillow and yaml of pyyaml


def distributions_of(module: str) -> set[str]:
    return {canonicalize_name(name) for name in DISTRIBUTIONS.get(module, (module,))}


def imported(files: Iterable[Path]) -> set[tuple[str, Path]]:
    """(top-level module, file that imports it), also for imports in functions; without Python's own modules."""
    found = {(module, file) for file in files for module in _modules(ast.parse(file.read_text("utf-8")))}
    return {(module, file) for module, file in found if module not in sys.stdlib_module_names}


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(name.value).partition(".")[0] for name in node.args[:1] if isinstance(name, ast.Constant))


def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def packages(folder: Path) -> list[Path]:
    return [folder / name for name in pyproject(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]


def python_files(folder: Path) -> list[Path]:
    return [file for package in packages(folder) for file in sorted(package.rglob("*.py"))]


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_what_is_imported_is_required(folder: Path) -> None:
    project, own = pyproject(folder), {package.name for package in packages(folder)}
    required = names(project["project"]["dependencies"])
    for extra in project["project"].get("optional-dependencies", {}).values():
        required |= names(extra)
    of_tests = names(project.get("dependency-groups", {}).get("test", ()))
    given = GIVEN.get(project["project"]["name"], set())
    for module, file in sorted(imported(python_files(folder))):
        if module in own | given or COMES_WITH.get(module) in required:
            continue
        # demo_app.testing is for those who have pytest, and for some of it Playwright
        allowed = required | of_tests if file.is_relative_to(folder / "demo_app" / "testing") else required
        assert distributions_of(module) & allowed, f"{file.relative_to(ROOT)} imports {module}, which is not required"


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_what_is_required_is_imported(folder: Path) -> None:
    project = pyproject(folder)["project"]
    used = {name for module, _ in imported(python_files(folder)) for name in distributions_of(module)}
    unused = names(project["dependencies"]) - used
    assert unused == NEEDED_WITHOUT_IMPORT.get(project["name"], {}).keys()


def test_given_modules_are_imported() -> None:
    for folder in FOLDERS:
        modules = {module for module, _ in imported(python_files(folder))}
        assert GIVEN.get(pyproject(folder)["project"]["name"], set()) <= modules


def test_modules_that_come_with_a_requirement_do() -> None:
    for module, distribution in COMES_WITH.items():
        assert distribution == pyproject(ROOT)["project"]["name"]
        assert distributions_of(module) & names(pyproject(ROOT)["project"]["dependencies"])


def test_imports_are_found_wherever_they_are(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from __future__ import annotations\nimport os.path, a.b as c\nfrom . import d\nfrom .e import f\n"
        "if TYPE_CHECKING:\n    from g.h import i\n"
        "def j():\n    import k\n    importlib.import_module('l.m')\n"
    )
    assert {module for module, _ in imported([file])} == {"a", "g", "k", "l"}
