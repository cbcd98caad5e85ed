"""Import and register plugins one at a time: a failure is recorded, and the others are loaded.

pluggy alone does not isolate plugins: `load_setuptools_entrypoints` stops at the first import that raises, and one
raising hook implementation loses the results of all. So this module has its own loop, with a `try` around each call.
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
from demo_app.hub.card import split_header
from demo_app.registry.discovery import find_plugins
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.registry.requirements import check_requirements
from demo_app.settings import Settings

log = logging.getLogger(__name__)


def load_plugins(settings: Settings) -> list[Plugin]:
    """Find, import and register every plugin.

    A failure is recorded in its plugin; with the setting `strict`, the first one raises `PluginError`. Raises
    `SettingsError` for a checkpoint in the settings that cannot be added.
    """
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
                plugin = plugin.failed(error.stage, error)
        elif plugin.state == "failed" and settings.strict:
            raise PluginError(plugin.stage or "discovery", f"{plugin.name}: {plugin.reason}")
        plugins.append(plugin)
    for demo, folder in settings.checkpoints:
        plugins = add_checkpoint(plugins, demo, folder)
    return plugins


def find_demo(plugins: Iterable[Plugin], name: str) -> tuple[Plugin, Demo[Any]]:
    """The demo of that name, and its plugin. Raises `SettingsError` that lists the names of all demos."""
    demos = {demo.name: (plugin, demo) for plugin in plugins for demo in plugin.demos}
    if name not in demos:
        raise SettingsError(f"there is no demo {name!r}; there are: {', '.join(sorted(demos)) or 'none'}.")
    return demos[name]


def add_checkpoint(plugins: Sequence[Plugin], name: str, folder: Path) -> list[Plugin]:
    """Add a checkpoint in a folder to the demo of that name; returns the plugins with it. Its name is the folder's.

    Without a name, the folder's card says which demo. Raises `SettingsError` if there is no such demo or folder, or if
    the demo has a checkpoint of that name already.
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
    """The demo that `demo-app finetune` trained the checkpoint for. Raises `SettingsError` if no card says so."""
    try:
        fields, _ = split_header((folder / "README.md").read_text("utf-8"))
    except (OSError, UnicodeError, DemoError):
        fields = {}
    if not fields.get("demo"):
        raise SettingsError(f"no card in {folder} says which demo its checkpoint is for; write DEMO=FOLDER.")
    return str(fields["demo"])


def _register(plugin: Plugin, manager: pluggy.PluginManager, earlier: list[Plugin]) -> Plugin:
    """Import the plugin, call its hook and check the names of its demos. Raises `PluginError`."""
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
                    "demo {demo} is provided by {first} ({first_origin}) and again by {second} ({second_origin}); "
                    "rename one, or disable a plugin with DEMO_APP_DISABLE.",
                    demo=repr(demo.name),
                    first=other.provider,
                    first_origin=other.origin,
                    second=plugin.provider,
                    second_origin=plugin.origin,
                )
    return replace(plugin, state="ok", import_ms=import_ms, demos=demos)


def import_plugin(plugin: Plugin) -> ModuleType:
    """The module that the entry point names. The folder of a plugin that is not installed is appended to `sys.path`."""
    if plugin.source == "folder" and plugin.path is not None:
        root = plugin.path / "src" if (plugin.path / "src").is_dir() else plugin.path
        if str(root) not in sys.path:
            sys.path.append(str(root))
    try:
        module = EntryPoint(plugin.name, plugin.value, GROUP).load()
    except (Exception, SystemExit) as error:
        log.error("plugin %s: importing %s failed", plugin.name, plugin.value, exc_info=True)
        raise PluginError(
            "import",
            "importing {module} failed with {reason}; see the log, or run: demo-app check {name}",
            module=plugin.value,
            reason=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
            name=plugin.name,
        ) from error
    return module  # type: ignore[no-any-return]  # EntryPoint.load is typed Any


def call_hook(plugin: Plugin, module: Any, manager: pluggy.PluginManager) -> tuple[Demo[Any], ...]:
    """What the plugin's `register_demos` returns. Raises `PluginError`, and then leaves nothing registered."""
    try:
        manager.register(module, plugin.name)
    except (ValueError, pluggy.PluginValidationError) as error:
        reason = re.sub(r"\s+", " ", str(error)).rstrip(".")
        text = "the hook does not fit: {reason}; write `def register_demos():`."
        raise PluginError("hook", text, reason=reason) from error
    try:
        callers = manager.get_hookcallers(module) or []
        for caller in callers:
            if not caller.has_spec():
                nearest = difflib.get_close_matches(caller.name, ["register_demos"], n=1, cutoff=0.0)[0]
                text = "there is no hook {name}; did you mean {nearest}?"
                raise PluginError("hook", text, name=repr(caller.name), nearest=repr(nearest))
        if not callers:
            text = "{module} has no @demo_app.hookimpl function; write `register_demos`."
            raise PluginError("hook", text, module=plugin.value)
        own = [impl for impl in manager.hook.register_demos.get_hookimpls() if impl.plugin is module]
        return _as_demos(own[0].function)
    except PluginError:
        manager.unregister(module)
        raise
    except (Exception, SystemExit) as error:
        manager.unregister(module)
        log.error("plugin %s: register_demos failed", plugin.name, exc_info=True)
        text = "register_demos failed with {reason}; see the log."
        raise PluginError("hook", text, reason=f"{type(error).__name__}: {error}") from error


def _as_demos(hook: Any) -> tuple[Demo[Any], ...]:
    returned = hook()
    if isinstance(returned, Demo) or not hasattr(returned, "__iter__"):
        text = "register_demos returned {kind}; return a list of Demo."
        raise PluginError("hook", text, kind=type(returned).__name__)
    demos = tuple(returned)
    for demo in demos:
        if not isinstance(demo, Demo):
            text = "register_demos returned a {kind} in its list; return only Demo."
            raise PluginError("hook", text, kind=type(demo).__name__)
    return demos
