"""Find plugins, in installed distributions and in folders with a pyproject.toml, without importing anything."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any, TypeVar

from packaging.utils import canonicalize_name

from demo_app.errors import DemoError
from demo_app.registry.guarded import reason
from demo_app.registry.plugin import GROUP, Plugin
from demo_app.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
LARGEST = 2**20  # bytes of a pyproject.toml
NAMES: dict[type, str] = {dict: "table", list: "list", str: "text in quotes"}


def plugins_folder(settings: Settings) -> Path | None:
    """The folder in the settings, else the `plugins/` beside app.py, else the current directory if it has plugins."""
    return settings.plugins_dir or _plugins_beside_app() or _plugins_here()


def _plugins_beside_app() -> Path | None:
    """`plugins/` of the checkout, if this package was imported from one."""
    root = Path(__file__).resolve().parent.parent.parent
    return root / "plugins" if (root / "app.py").is_file() and (root / "plugins").is_dir() else None


def _plugins_here() -> Path | None:
    """The current directory if it is a plugin or holds some: `demo-app new echo && demo-app run` shows the new one."""
    try:
        here = Path.cwd()
    except OSError:  # it was deleted
        return None
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
    """The plugins of all installed distributions; of two distributions of one name, the first on `sys.path` counts."""
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        path = str(getattr(distribution, "_path", ""))  # there is no public way to its folder
        folder = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
        if folder.startswith("~"):  # what pip leaves of an installation that it could not remove
            continue
        name = folder.partition("-")[0] or "unknown"
        try:
            entry_points = _own_entry_points(distribution)
            if not entry_points:
                continue
            if not isinstance(distribution.metadata["Name"], str):
                raise ValueError("there is no METADATA, or no Name in it")
            name = distribution.metadata["Name"]
            if canonicalize_name(name) in seen:
                continue
            seen.add(canonicalize_name(name))
            plugins = [_installed(entry_point, distribution) for entry_point in entry_points]
        except Exception as error:
            broken = Plugin(name=name, value="", distribution=name, version="", source="installed")
            text = "the metadata in {folder} cannot be read ({reason}); install it again."
            yield broken.failed("discovery", DemoError(text, folder=folder, reason=reason(error)))
        else:
            yield from plugins


def _own_entry_points(distribution: Distribution) -> list[EntryPoint]:
    """The distribution's entry points of our group. Raises if they cannot be read and may be such; else logs that."""
    text = ""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        return [point for point in distribution.entry_points if point.group == GROUP] if GROUP in text else []
    except Exception as error:
        written = getattr(error, "object", b"")  # of a UnicodeDecodeError
        if f"[{GROUP}]" in text + (written.decode("latin-1") if isinstance(written, bytes) else ""):
            raise
        log.warning("entry points of %s cannot be read: %s", getattr(distribution, "_path", "?"), reason(error))
        return []


def _installed(entry_point: EntryPoint, distribution: Distribution) -> Plugin:
    metadata = distribution.metadata
    folder = _editable_folder(distribution)
    return Plugin(
        name=entry_point.name,
        value=entry_point.value,
        distribution=metadata["Name"],
        version=metadata["Version"] or "",
        source="installed" if folder is None else "editable",
        path=folder,
        requires=tuple(distribution.requires or ()),
        requires_python=metadata["Requires-Python"] or "",
    )


def _editable_folder(distribution: Distribution) -> Path | None:
    """The folder that an editable install points to (PEP 610); `None` for another install, or an unreadable record."""
    try:
        origin = json.loads((distribution.read_text("direct_url.json") or "{}").removeprefix("\ufeff"))
        if not origin["dir_info"]["editable"] or not origin["url"].startswith("file://"):
            return None
        from urllib.request import url2pathname

        return Path(url2pathname(origin["url"].removeprefix("file://")))
    except (LookupError, TypeError):  # of another install, or of an unexpected shape
        return None
    except (ValueError, AttributeError, RecursionError) as error:
        name = distribution.metadata["Name"]
        log.warning("direct_url.json of %s cannot be read (%s); install it again", name, reason(error))
        return None


def is_plugin(folder: Path) -> bool:
    """Whether the folder has a pyproject.toml with a `demo_app` entry point."""
    try:
        return bool(_project(folder / "pyproject.toml")[1])
    except Exception:
        return False


def plugins_in(folder: Path) -> Iterator[Plugin]:
    """The plugins of a folder's `*/pyproject.toml`, as if installed; if the folder is a plugin itself, that one."""
    if is_plugin(folder):
        yield from _plugins_of(folder / "pyproject.toml")
    else:
        try:
            inside = sorted(path for path in folder.iterdir() if os.path.lexists(path / "pyproject.toml"))
        except OSError as error:
            log.error("the plugins folder %s cannot be read: %s", folder, error)
            return
        for path in inside:
            yield from _plugins_of(path / "pyproject.toml")


def _project(pyproject: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The project table of a pyproject.toml, and its `demo_app` entry points. Raises `ValueError`, `OSError`."""
    if not pyproject.is_file():
        raise ValueError("it is no file")
    if pyproject.stat().st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    project = tomllib.loads(pyproject.read_text(encoding="utf-8-sig")).get("project", {})
    entries = _of_type(project, "project", dict).get("entry-points", {})
    entries = _of_type(entries, "entry-points", dict).get(GROUP, {})
    return project, _of_type(entries, f"entry-points.{GROUP}", dict)


def _of_type(value: Any, name: str, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be a {NAMES[kind]}, and is {value!r:.60}")
    return value


def _plugins_of(pyproject: Path) -> Iterator[Plugin]:
    path = pyproject.parent.absolute()
    broken = Plugin(name=path.name, value="", distribution=path.name, version="", source="folder", path=path)
    try:
        path = path.resolve()
        project, entries = _project(pyproject)
        if not entries:
            log.info("%s has no [project.entry-points.%s] table; it is no plugin", pyproject, GROUP)
            return
        if "name" not in project:
            raise ValueError("name is missing")
        requires = tuple(_of_type(text, "each of dependencies", str) for text in _list(project, "dependencies"))
        plugins = [
            Plugin(
                name=name,
                value=_of_type(value, f"entry-points.{GROUP}.{name}", str),
                distribution=_of_type(project["name"], "name", str),
                version=_of_type(project.get("version", ""), "version", str),
                source="folder",
                path=path,
                requires=requires,
                requires_python=_of_type(project.get("requires-python", ""), "requires-python", str),
            )
            for name, value in entries.items()
        ]
    except Exception as error:
        text = "{folder}/pyproject.toml cannot be read ({reason}); fix the file."
        yield broken.failed("discovery", DemoError(text, folder=path.name, reason=reason(error)))
    else:
        yield from plugins


def _list(project: dict[str, Any], name: str) -> list[Any]:
    return _of_type(project.get(name, []), name, list)
