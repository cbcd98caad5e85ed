"""Discovery, import and registration of plugins, one at a time: what fails is recorded and the others go on.

pluggy alone does not isolate: `load_setuptools_entrypoints` stops at the first import that raises, and one raising
hook implementation loses the results of all. So the loop, and each call, is ours.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import json
import logging
import re
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

import demo_app
from demo_app import hookspecs
from demo_app.api import Checkpoint, Demo, DemoError
from demo_app.settings import Settings, SettingsError

log = logging.getLogger(__name__)

GROUP = "demo_app"
Stage = Literal["discovery", "import", "hook", "names", "build"]


class PluginError(Exception):
    """What is wrong with a plugin, in one sentence that ends in what to do."""

    def __init__(self, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One `demo_app` entry point and what became of it."""

    name: str  # of the entry point
    value: str  # the module it names
    distribution: str
    version: str
    source: Literal["installed", "editable", "folder"]
    path: Path | None = None  # the plugin's folder, where it is one
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    state: Literal["found", "ok", "failed", "disabled"] = "found"
    stage: Stage | None = None  # where it failed
    reason: str = ""  # why it failed, or why an ok one deserves a word
    import_ms: float = 0.0
    demos: tuple[Demo[Any], ...] = ()

    @property
    def provider(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def origin(self) -> str:
        return self.source if self.path is None else f"{self.source} {self.path.name}/"

    def failed(self, stage: Stage, reason: str) -> Plugin:
        log.error("plugin %s (%s, %s) failed at %s: %s", self.name, self.provider, self.origin, stage, reason)
        return replace(self, state="failed", stage=stage, reason=reason, demos=())


def load_plugins(settings: Settings) -> list[Plugin]:
    """Find, import and register every plugin. Only `strict` lets a failure out, as the exception it was."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins: list[Plugin] = []
    for found in find_plugins(settings):
        plugin = found
        if plugin.state == "found":
            try:
                plugin = _register(plugin, manager, plugins)
            except PluginError as error:
                if settings.strict:
                    raise PluginError(error.stage, f"{plugin.name}: {error}") from error
                plugin = plugin.failed(error.stage, str(error))
        elif plugin.state == "failed" and settings.strict:
            raise PluginError(plugin.stage or "discovery", f"{plugin.name}: {plugin.reason}")
        plugins.append(plugin)
    for demo, folder in settings.checkpoints:
        plugins = add_checkpoint(plugins, demo, folder)
    return plugins


def find_demo(plugins: Iterable[Plugin], name: str) -> tuple[Plugin, Demo[Any]]:
    """The demo of that name, and its plugin. Raises `SettingsError` that names those there are."""
    demos = {demo.name: (plugin, demo) for plugin in plugins for demo in plugin.demos}
    if name not in demos:
        raise SettingsError(f"there is no demo {name!r}; there are: {', '.join(sorted(demos)) or 'none'}.")
    return demos[name]


def add_checkpoint(plugins: Sequence[Plugin], name: str, folder: Path) -> list[Plugin]:
    """The plugins, with a checkpoint in a folder offered by the demo of that name; it is called as the folder.

    Without a name, the demo is the one that the folder's card names. Raises `SettingsError` when there is no such demo
    or folder, or the demo has a checkpoint of that name.
    """
    named = find_demo(plugins, name) if name else None
    if not folder.is_dir():
        raise SettingsError(f"the checkpoint {folder} is no folder; name the one that was trained, as DEMO=FOLDER.")
    owner, demo = named or find_demo(plugins, _demo_on_card(folder))
    files = tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
    folder = folder.resolve()
    try:
        own = Checkpoint(name=folder.name, title=f"{folder.name}, your own", folder=folder, files=files)
        more = replace(demo, checkpoints=(*demo.checkpoints, own))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    demos = tuple(more if other is demo else other for other in owner.demos)
    return [replace(plugin, demos=demos) if plugin is owner else plugin for plugin in plugins]


def _demo_on_card(folder: Path) -> str:
    """The demo that `demo-app finetune` trained the checkpoint for. Raises `SettingsError` where no card says so."""
    from demo_app.repository import split_header

    try:
        fields, _ = split_header((folder / "README.md").read_text("utf-8"))
    except (OSError, UnicodeError, DemoError):
        fields = {}
    if not fields.get("demo"):
        raise SettingsError(f"no card in {folder} says which demo its checkpoint is for; write DEMO=FOLDER.")
    return str(fields["demo"])


def find_plugins(settings: Settings) -> list[Plugin]:
    """All plugins, installed ones first, then those of the plugins folder; nothing is imported."""
    found = [_installed(entry_point) for entry_point in importlib.metadata.entry_points(group=GROUP)]
    if settings.plugins_dir is not None:
        installed = {canonicalize_name(plugin.distribution): plugin for plugin in found}
        for plugin in plugins_in(settings.plugins_dir):
            winner = installed.get(canonicalize_name(plugin.distribution))
            if winner is None:
                found.append(plugin)
            elif winner.path != plugin.path:
                log.warning("%s is installed (%s); the copy in %s is not used", plugin.name, winner.origin, plugin.path)
                found[found.index(winner)] = replace(winner, reason=f"wins over the copy in {plugin.origin}")
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
    """The folder an editable install points at (PEP 610), else `None`."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if not origin.get("dir_info", {}).get("editable") or not url.startswith("file://"):
        return None
    from urllib.request import url2pathname

    return Path(url2pathname(url.removeprefix("file://")))


def is_plugin(folder: Path) -> bool:
    """Whether the folder has a pyproject.toml with an entry point of ours."""
    try:
        return bool(_entry_points(folder / "pyproject.toml")[1])
    except (OSError, ValueError, AttributeError):
        return False


def plugins_in(folder: Path) -> Iterator[Plugin]:
    """Plugins of a folder's `*/pyproject.toml`: what an install would make entry points of, with nothing installed.

    A folder that is a plugin itself holds that one.
    """
    if is_plugin(folder):
        yield from _plugins_of(folder / "pyproject.toml")
    else:
        for pyproject in sorted(folder.glob("*/pyproject.toml")):
            yield from _plugins_of(pyproject)


def _entry_points(pyproject: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The project table of a pyproject.toml, and its entry points of our group."""
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
        yield broken.failed("discovery", f"{path.name}/pyproject.toml cannot be read ({error}); mend the file.")


def _register(plugin: Plugin, manager: pluggy.PluginManager, earlier: list[Plugin]) -> Plugin:
    """The plugin, imported, its hook called, its demos' names checked. Raises `PluginError`."""
    check_requirements(plugin)
    started = time.perf_counter()
    module = import_plugin(plugin)
    import_ms = (time.perf_counter() - started) * 1e3
    demos = call_hook(plugin, module, manager)
    for demo in demos:
        for other in [*earlier, replace(plugin, demos=demos[: demos.index(demo)])]:
            if demo.name in {taken.name for taken in other.demos}:
                raise PluginError(
                    "names",
                    f"demo {demo.name!r} is provided by {other.provider} ({other.origin}) and again by "
                    f"{plugin.provider} ({plugin.origin}); rename one, or disable a plugin with DEMO_APP_DISABLE.",
                )
    return replace(plugin, state="ok", import_ms=import_ms, demos=demos)


def check_requirements(plugin: Plugin) -> None:
    """Raise `PluginError` for the first requirement that this environment does not meet, with the command that does."""
    for what, mend in unmet_requirements(plugin):
        raise PluginError("discovery", f"{what} ({mend}).")


def unmet_requirements(plugin: Plugin) -> Iterator[tuple[str, str]]:
    """Each requirement that this environment does not meet, and what mends it."""
    if plugin.requires_python:
        python = ".".join(map(str, sys.version_info[:3]))
        try:
            suits = SpecifierSet(plugin.requires_python).contains(python)
        except InvalidSpecifier:
            suits = True
        if not suits:
            yield f"needs Python {plugin.requires_python} and this is {python}", "upgrade it"
    for text in plugin.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            yield f"requirement {text!r} cannot be read: {str(error).splitlines()[0]}", "mend it"
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        remedy = f"pip install '{requirement}'"
        if version is None:
            yield f"missing requirement {requirement.name!r}", remedy
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"needs {requirement}, and {version} is installed", remedy


def _version(distribution: str) -> str | None:
    if canonicalize_name(distribution) == "demo-app":
        return demo_app.__version__  # a Space has the host as a folder, not as an installed distribution
    try:
        return importlib.metadata.version(distribution)
    except PackageNotFoundError:
        return None


def import_plugin(plugin: Plugin) -> ModuleType:
    """The module that the entry point names. A plugin in a folder gets it on `sys.path`, last."""
    if plugin.source == "folder" and plugin.path is not None:
        root = plugin.path / "src" if (plugin.path / "src").is_dir() else plugin.path
        if str(root) not in sys.path:
            sys.path.append(str(root))
    try:
        module = EntryPoint(plugin.name, plugin.value, GROUP).load()
    except (Exception, SystemExit) as error:
        log.error("plugin %s: importing %s failed", plugin.name, plugin.value, exc_info=True)
        remedy = f"see the log, or run: demo-app check {plugin.name}"
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError("import", f"importing {plugin.value} failed with {said}; {remedy}") from error
    return module  # type: ignore[no-any-return]  # EntryPoint.load is typed Any


def call_hook(plugin: Plugin, module: Any, manager: pluggy.PluginManager) -> tuple[Demo[Any], ...]:
    """What the plugin's own `register_demos` returns. Raises `PluginError`, leaving nothing registered."""
    try:
        manager.register(module, plugin.name)
    except (ValueError, pluggy.PluginValidationError) as error:
        said = re.sub(r"\s+", " ", str(error)).rstrip(".")
        raise PluginError("hook", f"the hook does not fit: {said}; write `def register_demos():`.") from error
    try:
        callers = manager.get_hookcallers(module) or []
        for caller in callers:
            if not caller.has_spec():
                nearest = difflib.get_close_matches(caller.name, ["register_demos"], n=1, cutoff=0.0)[0]
                raise PluginError("hook", f"there is no hook {caller.name!r}; did you mean {nearest!r}?")
        if not callers:
            raise PluginError("hook", f"{plugin.value} has no @demo_app.hookimpl function; write `register_demos`.")
        own = [impl for impl in manager.hook.register_demos.get_hookimpls() if impl.plugin is module]
        return _as_demos(own[0].function)
    except PluginError:
        manager.unregister(module)
        raise
    except (Exception, SystemExit) as error:
        manager.unregister(module)
        log.error("plugin %s: register_demos failed", plugin.name, exc_info=True)
        raise PluginError(
            "hook", f"register_demos failed with {type(error).__name__}: {error}; see the log."
        ) from error


def _as_demos(hook: Any) -> tuple[Demo[Any], ...]:
    returned = hook()
    if isinstance(returned, Demo) or not hasattr(returned, "__iter__"):
        kind = type(returned).__name__
        raise PluginError("hook", f"register_demos returned {kind}; return a list of Demo.")
    demos = tuple(returned)
    for demo in demos:
        if not isinstance(demo, Demo):
            raise PluginError("hook", f"register_demos returned a {type(demo).__name__} in its list; return only Demo.")
    return demos
