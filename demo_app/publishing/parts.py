"""The parts of a Space: the host and the plugins, each as a folder or as a line of requirements.txt."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from demo_app.hub.upload import Files
from demo_app.publishing.errors import SpaceError
from demo_app.publishing.requirements import HOST, line_of, without_extras
from demo_app.publishing.selection import is_left_out, selected
from demo_app.registry.discovery import plugins_in
from demo_app.registry.plugin import GROUP, Plugin
from demo_app.version import __version__

NO_SOURCES = frozenset({"build", "dist", "runs", "logs", "venv", "tests"})  # directly in a plugin's folder


@dataclass(frozen=True, kw_only=True)
class Part:
    """The host or a plugin in a Space: a line of requirements.txt, or files with their requirements."""

    name: str  # of the distribution
    line: str | None = None
    files: Files = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    license: str | None = None


def host_part(copy: bool | None) -> Part:
    """The running host: a line if it came from an index or a git repository, else its folder.

    `copy`: True for its folder in any case, False for a line in any case.
    """
    package = Path(__file__).resolve().parent.parent
    installed = _distribution(HOST)
    if installed is not None and Path(str(installed.locate_file("demo_app"))).resolve() != package:
        installed = None  # what runs is a checkout, or an editable installation
    line = line_of(installed) if installed is not None else None
    if copy is False:
        line = line or f"{HOST}=={__version__}"
    if copy or line is None:
        files = {f"demo_app/{name}": path for name, path in selected(package).items()}
        return Part(name=HOST, files=files, requires=_host_requires(package, installed), license="apache-2.0")
    return Part(name=HOST, line=line)


def _host_requires(package: Path, installed: Distribution | None) -> tuple[str, ...]:
    pyproject = package.parent / "pyproject.toml"
    if installed is None and pyproject.is_file():
        return tuple(tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"])
    return without_extras(importlib.metadata.requires(HOST) or ())


def plugin_parts(plugins: Sequence[Plugin], *, host_is_copied: bool) -> list[Part]:
    """Each plugin's distribution once. If the host is copied all are, since pip would look for the host in an index."""
    parts: dict[str, Part] = {}
    for plugin in plugins:
        name = canonicalize_name(plugin.distribution)
        if name not in parts:
            installed = _distribution(plugin.distribution) if plugin.source == "installed" else None
            line = line_of(installed) if installed is not None and not host_is_copied else None
            if line is not None:
                parts[name] = Part(name=name, line=line, requires_python=plugin.requires_python)
            else:
                same = [other for other in plugins if canonicalize_name(other.distribution) == name]
                parts[name] = _installed_part(installed) if installed is not None else _folder_part(plugin, same)
    return list(parts.values())


def _folder_part(plugin: Plugin, same: Sequence[Plugin]) -> Part:
    """A plugin in a folder, or installed from one; `same` are the chosen plugins of its distribution.

    Embedded weights are published even if git ignores them. Raises `SpaceError` if a Space would not find the plugin
    there, `PublishError` for a link that leads out of the folder.
    """
    assert plugin.path is not None
    found = [other for other in plugins_in(plugin.path.parent) if other.path == plugin.path.resolve()]
    top = plugin.value.partition(":")[0].partition(".")[0]
    root = plugin.path / "src" if (plugin.path / "src").is_dir() else plugin.path
    if plugin.name not in {other.name for other in found} or not (
        (root / top).is_dir() or (root / f"{top}.py").is_file()
    ):
        raise SpaceError(
            f"{plugin.name}: a Space would not find {plugin.path.name}/: it needs a pyproject.toml with a "
            f"[project.entry-points.{GROUP}] table, and {top} beside it or in src/; arrange it so, or install a wheel."
        )
    project = tomllib.loads((plugin.path / "pyproject.toml").read_text("utf-8"))["project"]
    return Part(
        name=canonicalize_name(plugin.distribution),
        files={
            f"plugins/{plugin.path.name}/{name}": path
            for name, path in selected(plugin.path, needed=_embedded(same, plugin.path), top=NO_SOURCES).items()
        },
        requires=plugin.requires,
        requires_python=plugin.requires_python,
        license=_license(project.get("license")),
    )


def _embedded(plugins: Sequence[Plugin], folder: Path) -> list[str]:
    """The names in the folder of the files of the plugins' embedded checkpoints."""
    checkpoints = [checkpoint for plugin in plugins for demo in plugin.demos for checkpoint in demo.checkpoints]
    places = [(c.folder.resolve(), c.files) for c in checkpoints if c.folder is not None]
    return [
        (place.relative_to(folder.resolve()) / file).as_posix()
        for place, files in places
        if place.is_relative_to(folder.resolve())
        for file in files
    ]


def _installed_part(distribution: Distribution) -> Part:
    """An installed distribution as a folder: its modules, and a pyproject.toml made from its metadata."""
    folder = f"plugins/{canonicalize_name(distribution.name).replace('-', '_')}"
    files: dict[str, Path | bytes] = {}
    for path in distribution.files or ():
        inside = PurePosixPath(path.as_posix())
        if not inside.parts[0].endswith(".dist-info") and not any(map(is_left_out, inside.parts)):
            files[f"{folder}/{inside}"] = Path(str(distribution.locate_file(path)))
    requires = without_extras(distribution.requires or ())
    python = distribution.metadata["Requires-Python"] or ""
    entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
    pyproject = [
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
        "[project]",
        *(
            f"{key} = {json.dumps(value)}"
            for key, value in (("name", distribution.name), ("version", distribution.version))
        ),
        f"requires-python = {json.dumps(python)}",
        f"dependencies = {json.dumps(requires)}\n",
        f"[project.entry-points.{GROUP}]",
        *(f"{json.dumps(entry.name)} = {json.dumps(entry.value)}" for entry in entries),
    ]
    files[f"{folder}/pyproject.toml"] = ("\n".join(pyproject) + "\n").encode()
    return Part(
        name=canonicalize_name(distribution.name),
        files=files,
        requires=requires,
        requires_python=python,
        license=_license(distribution.metadata["License-Expression"] or distribution.metadata["License"]),
    )


def _distribution(name: str) -> Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except PackageNotFoundError:
        return None


def _license(stated: object) -> str | None:
    """An SPDX name in the Hub's spelling; `None` for anything else, such as the text of a license."""
    return stated.lower() if isinstance(stated, str) and re.fullmatch(r"[\w.+-]{2,40}", stated) else None
