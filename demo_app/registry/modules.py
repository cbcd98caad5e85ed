"""Where the modules of a plugin in a folder are, and whether their names are free.

All plugins share `sys.modules`: of two modules of one name, the second import gets the first one's code. So a name that
a folder plugin imports from its own folder must not be found anywhere else.
"""

from __future__ import annotations

import importlib.machinery
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from demo_app.registry.plugin import Plugin, PluginError


def source_root(plugin: Plugin) -> Path:
    """The folder that has to be on `sys.path` for the plugin's module to be found.

    It is where the build backend is told to look, or the plugin's folder, its `src/`, `lib/` or `python/`: the first
    of these that has the module.
    """
    assert plugin.path is not None
    top = top_module(plugin)
    roots = [*_declared_roots(plugin.path), *(plugin.path / name for name in (".", "src", "lib", "python"))]
    for root in roots:
        if (root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file():
            return root.resolve()
    return next((root for root in roots if (root / top).is_dir()), plugin.path).resolve()


def top_module(plugin: Plugin) -> str:
    """The top-level module of the plugin's entry point."""
    return re.split(r"[.:\s]", plugin.value.strip(), maxsplit=1)[0]


def _declared_roots(folder: Path) -> Iterator[Path]:
    """Where setuptools or hatchling looks for modules, if the pyproject.toml says so."""
    try:
        tool = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8-sig"))["tool"]
        setuptools = tool.get("setuptools", {})
        found = [setuptools.get("package-dir", {}).get("")]
        packages = setuptools.get("packages", {})
        found += packages.get("find", {}).get("where", []) if isinstance(packages, dict) else []
        wheel = tool.get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
        found += wheel.get("sources", []) + [str(Path(package).parent) for package in wheel.get("packages", [])]
    except Exception:  # no pyproject.toml, no such table, or other types than the backend takes
        return
    yield from (folder / part for part in found if isinstance(part, str))


def check_names(plugin: Plugin, root: Path, others: Iterable[tuple[Plugin, Path]]) -> None:
    """Raise `PluginError` if a module that the plugin imports from `root` is found elsewhere, too.

    Args:
        plugin: of the plugins folder; not imported yet.
        root: its `source_root`.
        others: plugins of the plugins folder that come before it, and their roots.
    """
    roots = {other_root: other for other, other_root in others}
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() not in {root, *roots}]
    for name in sorted(_provided(root)):
        where = ""
        if name in sys.stdlib_module_names:
            where = "Python itself"
        elif (spec := importlib.machinery.PathFinder.find_spec(name, elsewhere)) is not None and spec.origin:
            if root not in Path(spec.origin).resolve().parents:
                where = f"an installed distribution ({spec.origin})"
        else:
            owner = next((other for at, other in roots.items() if at != root and name in _provided(at)), None)
            where = f"the plugin {owner.name} ({owner.origin})" if owner is not None else ""
        if where and (name == top_module(plugin) or _imports(root, name)):
            text = "its module {name} has the name of one of {where}; rename it, or move it into the plugin's package."
            raise PluginError("import", text, name=repr(name), where=where)


def _provided(root: Path) -> set[str]:
    """The names of the top-level modules in a folder."""
    names = {path.stem for path in root.glob("*.py")}
    names |= {path.parent.name for path in root.glob("*/*.py")}
    return {name for name in names if name.isidentifier()}


def _imports(root: Path, name: str) -> bool:
    """Whether a file in the folder imports that top-level module."""
    pattern = re.compile(rf"^\s*(?:from\s+{name}\b|import\s+(?:[\w.]+(?:\s+as\s+\w+)?\s*,\s*)*{name}\b)", re.MULTILINE)
    files = [path for path in root.rglob("*.py") if "tests" not in path.relative_to(root).parts]
    return any(pattern.search(path.read_text(encoding="utf-8", errors="replace")) for path in files)
