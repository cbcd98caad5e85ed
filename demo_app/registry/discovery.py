"""Find plugins, in installed distributions and in folders with a pyproject.toml, without importing anything."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from demo_app.errors import DemoError
from demo_app.registry.plugin import GROUP, Plugin
from demo_app.settings import Settings

log = logging.getLogger(__name__)


def plugins_folder(settings: Settings) -> Path | None:
    """The folder in the settings, else the `plugins/` beside app.py, else the current directory if it has plugins."""
    return settings.plugins_dir or _plugins_beside_app() or _plugins_here()


def _plugins_beside_app() -> Path | None:
    """`plugins/` of the checkout, if this package was imported from one."""
    root = Path(__file__).resolve().parent.parent.parent
    return root / "plugins" if (root / "app.py").is_file() and (root / "plugins").is_dir() else None


def _plugins_here() -> Path | None:
    """The current directory if it is a plugin or holds some: `demo-app new echo && demo-app run` shows the new one."""
    here = Path.cwd()
    return here if is_plugin(here) or any(is_plugin(path.parent) for path in here.glob("*/pyproject.toml")) else None


def find_plugins(settings: Settings) -> list[Plugin]:
    """All plugins, installed ones first, then those of the plugins folder. Imports nothing.

    Of a plugin that is both, the installed one is used. Those that the settings exclude are marked as disabled.
    """
    found = [_installed(entry_point) for entry_point in importlib.metadata.entry_points(group=GROUP)]
    folder = plugins_folder(settings)
    if folder is not None:
        installed = {canonicalize_name(plugin.distribution): plugin for plugin in found}
        for plugin in plugins_in(folder):
            winner = installed.get(canonicalize_name(plugin.distribution))
            if winner is None:
                found.append(plugin)
            elif winner.path != plugin.path:
                log.warning("%s is installed (%s); the copy in %s is not used", plugin.name, winner.origin, plugin.path)
                note = DemoError("wins over the copy in {origin}", origin=plugin.origin)
                found[found.index(winner)] = replace(winner, note=note)
    found.sort(key=lambda plugin: (plugin.source == "folder", plugin.name))
    names = {plugin.name for plugin in found} | {plugin.distribution for plugin in found}
    for unknown in {*settings.only, *settings.disable} - names:
        log.warning("no plugin is named %s; there are: %s", unknown, ", ".join(sorted(names)))
    return [replace(p, state="disabled") if p.state == "found" and _is_disabled(p, settings) else p for p in found]


def _is_disabled(plugin: Plugin, settings: Settings) -> bool:
    names = {plugin.name, plugin.distribution}
    return bool(names & set(settings.disable)) or (bool(settings.only) and not names & set(settings.only))


def _installed(entry_point: EntryPoint) -> Plugin:
    distribution = entry_point.dist
    assert distribution is not None
    folder = _editable_folder(distribution)
    return Plugin(
        name=entry_point.name,
        value=entry_point.value,
        distribution=distribution.name,
        version=distribution.version,
        source="installed" if folder is None else "editable",
        path=folder,
        requires=tuple(distribution.requires or ()),
        requires_python=distribution.metadata["Requires-Python"] or "",
    )


def _editable_folder(distribution: Distribution) -> Path | None:
    """The folder that an editable install points to (PEP 610); `None` for another install."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if not origin.get("dir_info", {}).get("editable") or not url.startswith("file://"):
        return None
    from urllib.request import url2pathname

    return Path(url2pathname(url.removeprefix("file://")))


def is_plugin(folder: Path) -> bool:
    """Whether the folder has a pyproject.toml with a `demo_app` entry point."""
    try:
        return bool(_entry_points(folder / "pyproject.toml")[1])
    except (OSError, ValueError, AttributeError):
        return False


def plugins_in(folder: Path) -> Iterator[Plugin]:
    """The plugins of a folder's `*/pyproject.toml`, as if installed; if the folder is a plugin itself, that one."""
    if is_plugin(folder):
        yield from _plugins_of(folder / "pyproject.toml")
    else:
        for pyproject in sorted(folder.glob("*/pyproject.toml")):
            yield from _plugins_of(pyproject)


def _entry_points(pyproject: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The project table of a pyproject.toml, and its `demo_app` entry points."""
    project: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    return project, project.get("entry-points", {}).get(GROUP, {})


def _plugins_of(pyproject: Path) -> Iterator[Plugin]:
    path = pyproject.parent.resolve()
    broken = Plugin(name=path.name, value="", distribution=path.name, version="", source="folder", path=path)
    try:
        project, entries = _entry_points(pyproject)
        if not entries:
            log.info("%s has no [project.entry-points.%s] table; it is no plugin", pyproject, GROUP)
        for name, value in entries.items():
            yield Plugin(
                name=name,
                value=value,
                distribution=project["name"],
                version=str(project.get("version", "")),
                source="folder",
                path=path,
                requires=tuple(project.get("dependencies", ())),
                requires_python=project.get("requires-python", ""),
            )
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        text = "{folder}/pyproject.toml cannot be read ({reason}); fix the file."
        yield broken.failed("discovery", DemoError(text, folder=path.name, reason=str(error)))
