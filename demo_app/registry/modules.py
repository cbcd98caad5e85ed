"""Where a folder plugin's modules are, and whether importing one gives the plugin's own.

Python has one place for all modules: of two folders with a `helpers.py` the first on `sys.path` is imported for both.
An installed plugin has the same problem, and pip says nothing; in a folder it would be silent as well. So a plugin is
refused if one of its modules that its own code imports would be somebody else's.
"""

from __future__ import annotations

import ast
import importlib.util
import logging
import os
import re
import sys
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from demo_app.registry.plugin import Plugin, PluginError

log = logging.getLogger(__name__)


def root_of(plugin: Plugin) -> Path | None:
    """The folder that has the plugin's modules and goes on `sys.path`; `None` for an installed plugin.

    That is `src/` if the module of the entry point is there, else the plugin's folder, `python/` or what
    `[tool.setuptools]` names.
    """
    if plugin.source != "folder" or plugin.path is None:
        return None
    top = plugin.value.partition(":")[0].partition(".")[0].strip()
    folders = [plugin.path / "src", plugin.path, plugin.path / "python", *_configured(plugin.path)]
    there = [
        folder for folder in folders if (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()
    ]
    return next(iter(there), plugin.path)


def _configured(path: Path) -> Iterator[Path]:
    """Folders of modules that pyproject.toml names for setuptools; none if it cannot be read."""
    try:
        table = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8-sig"))["tool"]["setuptools"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    names: list[Any] = []
    for keys in (("package-dir", ""), ("packages", "find", "where")):
        found: Any = table
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        names += found if isinstance(found, list) else [found]
    for name in names:
        if isinstance(name, str) and (path / name).resolve().is_relative_to(path):
            yield path / name


def check_own_modules(plugin: Plugin, root: Path, earlier: Iterable[Plugin]) -> None:
    """Raise `PluginError` if a module of the plugin that its code imports would be another one. Imports nothing.

    `root` is on `sys.path` already; `earlier` are plugins whose modules come before.
    """
    top = plugin.value.partition(":")[0].partition(".")[0].strip()
    hidden = {name: where for name in _modules_in(root) if (where := _elsewhere(name, root)) is not None}
    if not hidden:
        return
    imported = {top, *_imported(root, hidden)}
    for name, where in sorted(hidden.items(), key=lambda item: item[0] != top):
        if name in imported:
            raise PluginError(
                "discovery",
                "its module {module} would not be imported, because {owner} has one of that name; rename it.",
                module=name,
                owner=_owner(name, where, earlier),
            )


def _modules_in(root: Path) -> Iterator[str]:
    """Names of the modules and packages in a folder, of folders without `__init__.py` too."""
    for path in sorted(root.iterdir()):
        if path.suffix == ".py" and path.stem.isidentifier() and path.is_file():
            yield path.stem
        elif path.name.isidentifier() and path.is_dir() and next(path.glob("*.py"), None) is not None:
            yield path.name


def _elsewhere(name: str, root: Path) -> str | None:
    """Where `import name` finds the module if not in `root`: a file, a folder, "" for one that is in Python."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # imported, and without a spec
        return str(getattr(sys.modules.get(name), "__file__", None) or "")
    if spec is None:
        return None
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    first = next(iter(places), "")
    return None if first and Path(first).resolve().is_relative_to(root.resolve()) else first


def _owner(name: str, where: str, earlier: Iterable[Plugin]) -> str:
    if name in sys.stdlib_module_names:
        return "Python"
    for other in earlier:
        if where and other.path is not None and Path(where).resolve().is_relative_to(other.path):
            return f"{other.provider} ({other.origin})"
    return where or "Python"


def _imported(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Names of top-level modules that Python files of a folder import, of those files that import one of `names`."""
    mentioned = re.compile(
        rb"import[^\n]*\b(?:" + "|".join(names).encode() + rb")\b|from\s+(?:" + "|".join(names).encode() + rb")\b"
    )
    for file in root.rglob("*.py"):
        try:
            code = file.read_bytes()
            if not mentioned.search(code):  # parsing all files of all plugins takes a second
                continue
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(code)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0]
            elif (
                isinstance(node, ast.Call)
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and ast.unparse(node.func).endswith(("import_module", "__import__"))
            ):
                yield str(node.args[0].value).partition(".")[0]


def forget(root: Path) -> None:
    """Take a plugin that failed off `sys.path`, and its modules out of `sys.modules`: they hide those of others."""
    sys.path[:] = [entry for entry in sys.path if entry != str(root)]
    inside = f"{root}{os.sep}"
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and file.startswith(inside):
            del sys.modules[name]
