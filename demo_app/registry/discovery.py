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
from demo_app.registry.steps import reason_of
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
    found = list(_installed_plugins())
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


def _installed_plugins() -> Iterator[Plugin]:
    """The plugins among the installed distributions. Of a distribution that is on the path twice, the first counts.

    `importlib.metadata.entry_points` reads all distributions at once, and one that is damaged loses the others.
    """
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        # pip renames what it could not remove, as in "~emo_echo-0.1.dist-info"; so pip skips it, too
        place = Path(str(getattr(distribution, "_path", "unknown")))
        if place.name.startswith("~"):
            continue
        try:
            plugins = [_installed(entry) for entry in distribution.entry_points if entry.group == GROUP]
        except Exception as error:
            if not _may_be_plugin(place):
                log.warning("the distribution %s is damaged (%s); reinstall or remove it", place, reason_of(error))
                continue
            name = place.name.partition("-")[0]
            broken = Plugin(name=name, value="", distribution=name, version="", source="installed")
            text = "the metadata {file} cannot be read ({reason}); reinstall or remove it."
            plugins = [broken.failed("discovery", DemoError(text, file=place.name, reason=reason_of(error)))]
        new = [plugin for plugin in plugins if canonicalize_name(plugin.distribution) not in seen]
        seen |= {canonicalize_name(plugin.distribution) for plugin in plugins}
        yield from new


def _may_be_plugin(dist_info: Path) -> bool:
    """Whether a damaged distribution's entry points mention our group."""
    try:
        return f"[{GROUP}]".encode() in (dist_info / "entry_points.txt").read_bytes()
    except OSError:
        return False


def _installed(entry_point: EntryPoint) -> Plugin:
    """The plugin of an entry point. Raises if the distribution's metadata cannot be read."""
    distribution = entry_point.dist
    assert distribution is not None
    if not isinstance(distribution.metadata["Name"], str):
        raise ValueError("there is no METADATA with a Name")
    folder = _editable_folder(distribution)
    return Plugin(
        name=entry_point.name,
        value=entry_point.value,
        distribution=distribution.name,
        version=str(distribution.metadata["Version"] or ""),
        source="installed" if folder is None else "editable",
        path=folder,
        requires=tuple(distribution.requires or ()),
        requires_python=distribution.metadata["Requires-Python"] or "",
    )


def _editable_folder(distribution: Distribution) -> Path | None:
    """The folder that an editable install points to (PEP 610); `None` for another install, or if that is damaged."""
    try:
        origin = json.loads((distribution.read_text("direct_url.json") or "{}").removeprefix("\ufeff"))
        if not origin["dir_info"]["editable"] or not origin["url"].startswith("file://"):
            return None
        from urllib.request import url2pathname

        return Path(url2pathname(origin["url"].removeprefix("file://")))
    except Exception:  # not JSON, no folder, or other types than it should have
        return None


def is_plugin(folder: Path) -> bool:
    """Whether the folder has a pyproject.toml with a `demo_app` entry point."""
    try:
        return bool(_entry_points(_project(folder / "pyproject.toml")))
    except Exception:
        return False


def plugins_in(folder: Path) -> Iterator[Plugin]:
    """The plugins of a folder's `*/pyproject.toml`, as if installed; if the folder is a plugin itself, that one."""
    if is_plugin(folder):
        yield from _plugins_of(folder / "pyproject.toml")
    else:
        for pyproject in sorted(folder.glob("*/pyproject.toml")):
            yield from _plugins_of(pyproject)


def _project(pyproject: Path) -> dict[str, Any]:
    """The `[project]` table. Raises if the file cannot be read."""
    return dict(tomllib.loads(pyproject.read_text(encoding="utf-8-sig")).get("project", {}))


def _entry_points(project: dict[str, Any]) -> dict[str, str]:
    return dict(project.get("entry-points", {}).get(GROUP, {}))


def _plugins_of(pyproject: Path) -> Iterator[Plugin]:
    path = pyproject.parent
    broken = Plugin(name=path.name, value="", distribution=path.name, version="", source="folder", path=path)
    try:
        path = path.resolve()
        project = _project(pyproject)
        entries = _entry_points(project)
        if not entries:
            log.info("%s has no [project.entry-points.%s] table; it is no plugin", pyproject, GROUP)
        found = [
            Plugin(
                name=name,
                value=_text(value, f"entry point {name}"),
                distribution=_text(project.get("name"), "name"),
                version=_text(project.get("version", ""), "version"),
                source="folder",
                path=path,
                requires=_texts(project.get("dependencies", []), "dependencies"),
                requires_python=_text(project.get("requires-python", ""), "requires-python"),
            )
            for name, value in entries.items()
        ]
    except Exception as error:
        text = "{folder}/pyproject.toml cannot be read ({reason}); fix the file."
        reason = str(error) if isinstance(error, ValueError) else reason_of(error)
        found = [broken.failed("discovery", DemoError(text, folder=path.name, reason=reason))]
    yield from found


def _text(value: Any, field: str) -> str:
    """The value of a field that must be a string. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError(f"{field} must be a string, and is {value!r:.50}" if value is not None else f"no {field}")
    return value


def _texts(value: Any, field: str) -> tuple[str, ...]:
    """The value of a field that must be an array of strings. Raises `ValueError`."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{field} must be an array of strings, and is {value!r:.50}")
    return tuple(value)
