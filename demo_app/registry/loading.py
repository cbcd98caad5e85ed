"""Import and register plugins one at a time: a failure is recorded, and the others are loaded.

pluggy alone does not isolate plugins: `load_setuptools_entrypoints` stops at the first import that raises, and one
raising hook implementation loses the results of all. So this module has its own loop, with a `try` around each call.
"""

from __future__ import annotations

import difflib
import itertools
import logging
import os
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
from demo_app.registry.modules import check_names, source_root
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.registry.requirements import check_requirements
from demo_app.registry.steps import step
from demo_app.settings import Settings

log = logging.getLogger(__name__)

MOST_DEMOS = 1000  # of one plugin


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
                plugin = _register(plugin, manager, plugins, settings.build_seconds)
            except PluginError as error:
                if settings.strict:
                    raise PluginError(error.stage, f"{plugin.name}: {error}") from error
                plugin = plugin.failed(error.stage, error)
        elif plugin.state == "failed" and settings.strict:
            raise PluginError(plugin.stage or "discovery", f"{plugin.name}: {plugin.reason}")
        plugins.append(plugin)
    for demo, folder in settings.checkpoints:
        try:
            plugins = add_checkpoint(plugins, demo, folder)
        except SettingsError as error:
            raise SettingsError(f"DEMO_APP_CHECKPOINTS or --checkpoint: {error}") from None
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
    if not os.path.isdir(folder):  # unlike `Path.is_dir`, it raises nothing
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


def _register(plugin: Plugin, manager: pluggy.PluginManager, earlier: list[Plugin], seconds: float) -> Plugin:
    """Import the plugin, call its hook and check the names of its demos. Raises `PluginError`."""
    failed = "its requirements cannot be checked ({reason}); fix its metadata."
    with step(plugin.name, "discovery", "checking its requirements", failed, seconds=seconds):
        check_requirements(plugin)
    started = time.perf_counter()
    module, changed = import_plugin(plugin, earlier, seconds)
    import_ms = (time.perf_counter() - started) * 1e3
    demos, changed_by_hook = call_hook(plugin, module, manager, seconds)
    for i, demo in enumerate(demos):
        for other in [*earlier, replace(plugin, demos=demos[:i])]:
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
    return replace(plugin, state="ok", import_ms=import_ms, demos=demos).changed([*changed, *changed_by_hook])


def import_plugin(
    plugin: Plugin, earlier: Iterable[Plugin] = (), seconds: float = Settings.build_seconds
) -> tuple[ModuleType, list[str]]:
    """The module that the entry point names, and what its import changed of the process (it was put back).

    The folder of a plugin that is not installed is appended to `sys.path`. Raises `PluginError`.
    """
    failed = "importing {module} failed with {reason}; see the log, or run: demo-app check {name}"
    what = {"module": plugin.value, "name": plugin.name}
    with step(plugin.name, "import", f"importing {plugin.value}", failed, seconds=seconds, **what) as changed:
        if plugin.source == "folder" and plugin.path is not None:
            root = source_root(plugin)
            folders = [other for other in earlier if other.source == "folder" and other.state == "ok"]
            check_names(plugin, root, [(other, source_root(other)) for other in folders])
            if str(root) not in sys.path:
                sys.path.append(str(root))
        module: ModuleType = EntryPoint(plugin.name, plugin.value, GROUP).load()
    return module, changed


def call_hook(
    plugin: Plugin, module: Any, manager: pluggy.PluginManager, seconds: float = Settings.build_seconds
) -> tuple[tuple[Demo[Any], ...], list[str]]:
    """What the plugin's `register_demos` returns, and what that changed of the process (it was put back).

    Raises `PluginError`, and then leaves nothing registered.
    """
    if (taken := manager.get_name(module)) is not None:
        text = "{module} is registered already, by the plugin {other}; name another module, or remove one."
        raise PluginError("hook", text, module=plugin.value, other=taken)
    failed = "register_demos failed with {reason}; see the log."
    try:
        with step(plugin.name, "hook", "calling register_demos", failed, seconds=seconds) as changed:
            return _as_demos(_hook(plugin, module, manager)), changed
    except PluginError:
        if manager.is_registered(module):
            manager.unregister(module)
        raise


def _hook(plugin: Plugin, module: Any, manager: pluggy.PluginManager) -> Any:
    """The plugin's `register_demos`, after it was checked and registered. Raises `PluginError`."""
    try:
        manager.register(module, f"{plugin.name} ({plugin.distribution})")
    except (ValueError, pluggy.PluginValidationError) as error:
        reason = re.sub(r"\s+", " ", str(error)).rstrip(".")
        text = "the hook does not fit: {reason}; write `def register_demos():`."
        raise PluginError("hook", text, reason=reason) from error
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
    return own[0].function


def _as_demos(hook: Any) -> tuple[Demo[Any], ...]:
    returned = hook()
    if isinstance(returned, Demo) or not hasattr(returned, "__iter__"):
        text = "register_demos returned {kind}; return a list of Demo."
        raise PluginError("hook", text, kind=type(returned).__name__)
    demos = tuple(itertools.islice(returned, MOST_DEMOS + 1))
    if len(demos) > MOST_DEMOS:
        text = "register_demos returned more than {most} demos; return a list that ends."
        raise PluginError("hook", text, most=MOST_DEMOS)
    for demo in demos:
        if not isinstance(demo, Demo):
            text = "register_demos returned a {kind} in its list; return only Demo."
            raise PluginError("hook", text, kind=type(demo).__name__)
    return demos
