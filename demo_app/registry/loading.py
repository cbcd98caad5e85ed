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
from dataclasses import fields, replace
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
from demo_app.registry.guarded import guarded
from demo_app.registry.modules import check_own_modules, forget, root_of
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.registry.requirements import check_requirements
from demo_app.settings import Settings

log = logging.getLogger(__name__)

MOST_DEMOS = 100  # of one plugin


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
            changes: list[str] = []
            try:
                plugin = _register(plugin, manager, plugins, settings.build_seconds, changes)
            except PluginError as error:
                if settings.strict:
                    raise PluginError(error.stage, f"{plugin.name}: {error}") from error
                plugin = plugin.failed(error.stage, error)
            plugin = plugin.changed(f"importing {plugin.value}", changes)
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


def _register(
    plugin: Plugin, manager: pluggy.PluginManager, earlier: list[Plugin], seconds: float, changes: list[str]
) -> Plugin:
    """Import the plugin, call its hook and check the names of its demos. Raises `PluginError`."""
    check_requirements(plugin)
    root = root_of(plugin)
    try:
        started = time.perf_counter()
        module = import_plugin(plugin, earlier=earlier, seconds=seconds, changes=changes)
        import_ms = (time.perf_counter() - started) * 1e3
        demos = call_hook(plugin, module, manager, seconds=seconds, changes=changes)
    except PluginError:
        if root is not None:
            forget(root)
        raise
    _check_names(plugin, demos, earlier)
    return replace(plugin, state="ok", import_ms=import_ms, demos=demos)


def _check_names(plugin: Plugin, demos: tuple[Demo[Any], ...], earlier: list[Plugin]) -> None:
    """Raise `PluginError` if the name of a demo is taken."""
    taken = {demo.name: other for other in earlier for demo in other.demos}
    for demo in demos:
        if demo.name in taken:
            first = taken[demo.name]
            raise PluginError(
                "names",
                "demo {demo} is provided by {first} ({first_origin}) and again by {second} ({second_origin}); "
                "rename one, or disable a plugin with DEMO_APP_DISABLE.",
                demo=repr(demo.name),
                first=first.provider,
                first_origin=first.origin,
                second=plugin.provider,
                second_origin=plugin.origin,
            )
        taken[demo.name] = plugin


def import_plugin(
    plugin: Plugin,
    *,
    earlier: Iterable[Plugin] = (),
    seconds: float = Settings.build_seconds,
    changes: list[str] | None = None,
) -> ModuleType:
    """The module that the entry point names. The folder of a plugin that is not installed is appended to `sys.path`.

    Args:
        plugin: what to import.
        earlier: plugins that were imported before, to be named where a module is theirs.
        seconds: after which it is given up.
        changes: gets the calls that changed what all plugins share.

    Raises:
        PluginError: if it cannot be imported, or another module would be.
    """
    fix = f"see the log, or run: demo-app check {plugin.name}"
    with guarded(plugin, "import", f"importing {plugin.value}", fix, seconds, changes):
        root = root_of(plugin)
        if root is not None:
            if str(root) not in sys.path:
                sys.path.append(str(root))
            check_own_modules(plugin, root, earlier)
        module = EntryPoint(plugin.name, plugin.value, GROUP).load()
    return module  # type: ignore[no-any-return]  # EntryPoint.load is typed Any


def call_hook(
    plugin: Plugin,
    module: Any,
    manager: pluggy.PluginManager,
    *,
    seconds: float = Settings.build_seconds,
    changes: list[str] | None = None,
) -> tuple[Demo[Any], ...]:
    """What the plugin's `register_demos` returns. Raises `PluginError`, and then leaves nothing registered."""
    before = manager.is_registered(module)
    try:
        with guarded(plugin, "hook", "register_demos", "see the log.", seconds, changes):
            demos = _call_hook(plugin, module, manager)
    except BaseException:
        if manager.is_registered(module) and not before:
            manager.unregister(module)
        raise
    return demos


def _call_hook(plugin: Plugin, module: Any, manager: pluggy.PluginManager) -> tuple[Demo[Any], ...]:
    other = manager.get_name(module)
    if other is not None:
        text = "{module} is registered already, as {other}; remove one of the two entry points."
        raise PluginError("hook", text, module=plugin.value, other=other)
    try:
        manager.register(module, f"{plugin.distribution}/{plugin.name}")
    except (ValueError, pluggy.PluginValidationError) as error:
        why = re.sub(r"\s+", " ", str(error)).rstrip(".")
        text = "the hook does not fit: {reason}; write `def register_demos():`."
        raise PluginError("hook", text, reason=why) from error
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
    return tuple(map(_plain, demos))


def _plain(demo: Demo[Any]) -> Demo[Any]:
    """The demo as a `Demo` alone: what a subclass computes may raise later, or say something else each time."""
    if type(demo) is Demo and all(type(checkpoint) is Checkpoint for checkpoint in demo.checkpoints):
        return demo
    values = {field.name: getattr(demo, field.name) for field in fields(Demo)}
    values["checkpoints"] = tuple(
        Checkpoint(**{field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)})
        for checkpoint in values["checkpoints"]
    )
    return Demo(**values)
