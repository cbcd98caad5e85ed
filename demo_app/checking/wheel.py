"""What a wheel of a plugin would lack: it is built from a copy of the folder, as pip builds it.

Of files that are not sources the copy has the names alone, so that weights cost no time.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from demo_app.api import Demo
from demo_app.checking import child
from demo_app.checking.report import Findings
from demo_app.registry.plugin import Plugin

SOURCES = (".py", ".toml", ".cfg", ".in", ".md", ".rst", ".txt", ".gitignore")  # what a build reads
NOT_COPIED = ("__pycache__", ".git", ".venv", "venv", "build", "dist", "node_modules", "runs", ".*_cache", "*.egg-info")
SECONDS = 60.0
SHOWN = 3  # names in a message


def check_wheel(plugin: Plugin, demos: Sequence[Demo[Any]], found: Findings) -> None:
    """Report what the package has in the plugin's folder and a wheel would not; needs the build backend.

    A plugin of one module that has no checkpoints of its own has nothing to lose, and no wheel is built.
    """
    if plugin.path is None:
        return
    module = plugin.value.partition(":")[0].partition(".")[0]
    roots = [root for root in (plugin.path / "src", plugin.path) if (root / module).is_dir()]
    weights = _weights(plugin.path, demos)
    if not roots and not weights:
        return
    try:
        backend, paths, needs = _backend(plugin.path)
    except (OSError, ValueError, TypeError, AttributeError):
        return  # discovery says what is wrong with the file
    if not all(map(_is_installed, needs)):
        return
    root = roots[0] if roots else plugin.path
    has = {path for path in weights if path.is_relative_to(root)}
    outside = sorted(weights - has)
    if roots:
        has |= {path for path in (root / module).rglob("*") if path.is_file() and not _is_cache(path.relative_to(root))}
    built: dict[str, Any] = {}
    task = (plugin.path, backend, paths)
    died, _ = child.run(f"{__name__}:build", task, built.update, seconds=SECONDS)
    if died or "error" in built:
        why = built.get("error") or f"{backend} {died}"
        fix = "Correct pyproject.toml; try it with: pip wheel --no-deps ."
        if "which files to ship" in why:
            fix = f'Add [tool.hatch.build.targets.wheel] with packages = ["{module}"].'
        found.add("wheel", f"no wheel can be built: {why}.", fix)
        return
    lacks = sorted({path.relative_to(root).as_posix() for path in has} - {*built["names"]})
    lacks += [path.relative_to(plugin.path).as_posix() for path in outside]
    if lacks:
        more = f" and {len(lacks) - SHOWN} more" if len(lacks) > SHOWN else ""
        what = f"a wheel of it lacks {', '.join(lacks[:SHOWN])}{more}."
        found.add("wheel", what, _fix(backend, module, roots[:1]))


def _fix(backend: str, module: str, package: Sequence[Path]) -> str:
    if not package:
        return f"Make the module a package: put it into {module}/__init__.py and its files beside that."
    if backend.startswith("setuptools"):
        return f'Add [tool.setuptools.package-data] with {module} = ["**/*"], and see that .gitignore names none of it.'
    if backend.startswith("hatchling"):
        return (
            f'Add [tool.hatch.build.targets.wheel] with packages = ["{module}"] and artifacts = ["{module}/**"], since '
            "git ignores them, or a line excludes them."
        )
    return "Have the build backend include them as package data."


def _weights(folder: Path, demos: Sequence[Demo[Any]]) -> set[Path]:
    """The files of embedded checkpoints that lie in the folder."""
    places = [(c.folder, c.files) for demo in demos for c in demo.checkpoints if c.folder is not None]
    paths = {(place / file).resolve() for place, files in places for file in files}
    return {path for path in paths if path.is_file() and path.is_relative_to(folder)}


def _is_cache(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts) or path.suffix in (".pyc", ".pyi")


def _backend(folder: Path) -> tuple[str, list[str], list[str]]:
    """The build backend, the folders of its own that it is imported from, and what it requires."""
    table = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    backend, needs = table.get("build-backend", "setuptools.build_meta"), table.get("requires", ("setuptools",))
    return backend, list(table.get("backend-path", ())), list(needs)


def _is_installed(requirement: str) -> bool:
    try:
        importlib.metadata.version(Requirement(requirement).name)
    except (InvalidRequirement, PackageNotFoundError):
        return False
    return True


def build(task: tuple[Path, str, list[str]], tell: child.Tell) -> None:
    """In the child: build the wheel with the backend's own function (PEP 517), and tell the names of its files."""
    folder, backend, paths = task
    tell()
    with tempfile.TemporaryDirectory(prefix="demo-app-wheel-") as name:
        copy = _copied(folder, Path(name) / "source")
        os.chdir(copy)
        sys.path[:0] = [str(copy / path) for path in paths]
        (Path(name) / "wheel").mkdir()
        module, _, attribute = backend.partition(":")
        try:
            hooks: Any = importlib.import_module(module)
            for part in filter(None, attribute.split(".")):
                hooks = getattr(hooks, part)
            wheel = hooks.build_wheel(str(Path(name) / "wheel"))
        except BaseException as error:
            text = " ".join(str(error).split())
            tell(error=f"{type(error).__name__}: {text.replace(str(copy), folder.name).rstrip('.')[:300]}")
            return
        with zipfile.ZipFile(Path(name) / "wheel" / wheel) as archive:
            tell(names=[entry for entry in archive.namelist() if ".dist-info/" not in entry])


def _copied(folder: Path, root: Path) -> Path:
    """A copy of the folder below `root`, at its place in its repository, with the .gitignore files above it."""
    above = [folder]
    while not (above[-1] / ".git").exists() and above[-1].parent != above[-1]:
        above.append(above[-1].parent)
    if not (above[-1] / ".git").exists():
        above = [folder]
    copy = root / folder.relative_to(above[-1])
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*NOT_COPIED), copy_function=_copy, symlinks=False)
    if len(above) > 1:
        (root / ".git").mkdir()
    for parent in above[1:]:
        ignores = parent / ".gitignore"
        if ignores.is_file():
            shutil.copy(ignores, root / parent.relative_to(above[-1]) / ".gitignore")
    return copy


def _copy(source: str, target: str) -> None:
    """The file itself if a build reads it, else an empty one of its name."""
    if source.endswith(SOURCES) and Path(source).stat().st_size < 2**20:
        shutil.copyfile(source, target)
    else:
        Path(target).touch()
