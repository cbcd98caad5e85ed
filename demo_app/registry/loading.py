"""Discovery, import and registration of plugins, one at a time: what fails is recorded and the others go on.

pluggy alone does not isolate: `load_setuptools_entrypoints` stops at the first import that raises, and one raising
hook implementation loses the results of all. So the loop, and each call, is ours.
"""

from __future__ import annotations

import difflib
import logging
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from demo_app import hookspecs
from demo_app.api import Checkpoint, Demo
from demo_app.errors import DemoError, SettingsError
from demo_app.registry.discovery import find_plugins
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.registry.requirements import check_requirements
from demo_app.settings import Settings

log = logging.getLogger(__name__)


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
    from demo_app.hub.card import split_header

    try:
        fields, _ = split_header((folder / "README.md").read_text("utf-8"))
    except (OSError, UnicodeError, DemoError):
        fields = {}
    if not fields.get("demo"):
        raise SettingsError(f"no card in {folder} says which demo its checkpoint is for; write DEMO=FOLDER.")
    return str(fields["demo"])


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
