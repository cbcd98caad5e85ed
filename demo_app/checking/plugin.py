"""`demo-app check`: everything that is wrong with a plugin, and how to fix it.

One problem does not hide the others: every stage runs as far as it can, even after an earlier one failed: folder,
metadata, requirements, import, hook, checkpoints, tabs, and the running page.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pluggy
from packaging.utils import canonicalize_name

from demo_app import hookspecs
from demo_app.api import Demo
from demo_app.checking.checkpoints import check_checkpoint, without_validation
from demo_app.checking.imports import heavy_imports
from demo_app.checking.report import Findings, Report, describe, plugin_line
from demo_app.checking.running import check_running
from demo_app.checking.tab import check_tab
from demo_app.finetune.jobs import Trainings
from demo_app.models import cache
from demo_app.registry import discovery, loading, requirements
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.settings import Settings

FIX_LINE = "Fix that line."


def check_demo(target: str | Path, *, settings: Settings | None = None, load: bool = False) -> Report:
    """Find everything that is wrong with a plugin, given its folder or its name.

    The tabs are built and served, and each public action is called with empty input. With `load`, every checkpoint on
    this disk is loaded, the report notes its bytes and seconds, and each action is also called with sample input.
    """
    settings = settings or Settings.from_env()
    found = Findings()
    folder = Path(target)
    selected = _plugins_in(folder, found) if folder.is_dir() else _plugins_named(str(target), settings, found)
    others = _other_plugins(selected, settings)
    for plugin in selected:
        with without_validation():
            _check_plugin(plugin, others, settings, found, load)
    return Report(str(target), tuple(found.problems), tuple(found.notes))


# The plugins to check


def _plugins_in(folder: Path, found: Findings) -> list[Plugin]:
    folder = folder.resolve()
    if not (folder / "pyproject.toml").is_file():
        found.add("discovery", f"{folder.name}/ has no pyproject.toml.", "Write one; `demo-app new` shows how.")
        return []
    selected = [plugin for plugin in discovery.plugins_in(folder) if plugin.path == folder]
    if selected:
        return selected
    project = _project_table(folder)
    if project is None:  # discovery in the folder above says why
        return [plugin for plugin in discovery.plugins_in(folder.parent) if plugin.path == folder]
    similar = [group for group in project.get("entry-points", {}) if _squeezed(group) == _squeezed(GROUP)]
    but = f", but one named {similar[0]!r}" if similar else ""
    found.add(
        "entry point",
        f"{folder.name}/pyproject.toml has no [project.entry-points.{GROUP}] table{but}.",
        f'Add [project.entry-points.{GROUP}] with a line like {folder.name} = "demo_app_{folder.name}".',
    )
    return []


def _plugins_named(name: str, settings: Settings, found: Findings) -> list[Plugin]:
    known = discovery.find_plugins(settings)
    selected = [plugin for plugin in known if name in (plugin.name, plugin.distribution)]
    if not selected:
        names = ", ".join(plugin.name for plugin in known) or "none"
        found.add("discovery", f"There is no plugin {name!r}; there are: {names}.", "Give a folder or a name.")
    return selected


def _other_plugins(selected: list[Plugin], settings: Settings) -> list[Plugin]:
    """All other plugins that load, without other copies of the selected ones."""
    own = tuple({plugin.distribution for plugin in selected})
    rest = loading.load_plugins(replace(settings, disable=own, only=(), strict=False, checkpoints=()))
    return [plugin for plugin in rest if plugin.state == "ok"]


def _squeezed(group: str) -> str:
    """The name of a group of entry points without what a typing error may change."""
    return re.sub(r"[-_. ]", "", group.lower()).rstrip("s")


def _project_table(folder: Path | None) -> dict[str, Any] | None:
    """The [project] table of the folder's pyproject.toml; `None` if there is none, or the file cannot be read."""
    if folder is None:
        return None
    try:
        table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return None
    return table if isinstance(table, dict) else None


# One plugin


def _check_plugin(plugin: Plugin, others: list[Plugin], settings: Settings, found: Findings, load: bool) -> None:
    if plugin.state == "failed":
        found.add(plugin.stage or "discovery", plugin.reason, "")
        return
    _check_metadata(plugin, found)
    for what, fix in requirements.unmet_requirements(plugin):
        found.add("requirements", f"{what}.", f"Run: {fix}." if fix.startswith("pip ") else f"{fix.capitalize()}.")
    demos = _registered_demos(plugin, found)
    for name, where in heavy_imports(plugin):
        found.add("import", f"importing {plugin.value} imports {name} (at {where}).", "Import it inside load or build.")
    for demo in demos:
        _check_name(demo, others, found)
        _check_demo(demo, plugin, settings, found)
    if demos:
        check_running(plugin, settings, found, load)


def _check_metadata(plugin: Plugin, found: Findings) -> None:
    project = _project_table(plugin.path) or {}
    if not plugin.version and "version" not in project.get("dynamic", ()):
        found.add("metadata", "pyproject.toml has no version.", 'Add version = "0.1.0".')
    if not plugin.requires_python:
        found.add("metadata", "requires-python is missing.", 'Add requires-python = ">=3.11".')
    if not any(re.match(r"demo[-_.]app(?![\w.-])", text, re.IGNORECASE) for text in plugin.requires):
        found.add("metadata", "demo-app is not among the dependencies.", 'Add "demo-app>=0.1".')
    if not _has_license(plugin, project):
        found.add("metadata", "the distribution states no license.", 'Add license = "Apache-2.0", or another.')
    if plugin.source != "folder":
        return
    name = canonicalize_name(plugin.distribution)
    for other in discovery.find_plugins(Settings()):
        if canonicalize_name(other.distribution) == name and other.path != plugin.path:
            found.notes.append(
                f"{other.provider} is installed ({other.origin}) and wins over this folder: it is what was checked; "
                f"to check the folder, run: pip install -e {plugin.path}"
            )


def _has_license(plugin: Plugin, project: Mapping[str, Any]) -> bool:
    """Whether pyproject.toml, or the metadata of an installed distribution, states a license."""
    if project.get("license"):
        return True
    classifiers = list(project.get("classifiers", ()))
    if plugin.source != "folder":
        try:
            installed = metadata(plugin.distribution)
        except PackageNotFoundError:
            return False
        if installed["License-Expression"] or installed["License"]:
            return True
        classifiers += installed.get_all("Classifier") or []
    return any(classifier.startswith("License ::") for classifier in classifiers)


def _registered_demos(plugin: Plugin, found: Findings) -> tuple[Demo[Any], ...]:
    """Import the plugin and call its hook. Returns its demos; none if that fails."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        module = loading.import_plugin(plugin)
    except PluginError as error:
        failure = describe(error.__cause__ or error) + plugin_line(error.__cause__, plugin)
        found.add("import", f"importing {plugin.value} failed with {failure}.", FIX_LINE)
        return ()
    try:
        return loading.call_hook(plugin, module, manager)
    except PluginError as error:
        line = plugin_line(error.__cause__, plugin)
        if line:
            found.add(error.stage, f"register_demos failed with {describe(error.__cause__)}{line}.", FIX_LINE)
        else:
            found.add(error.stage, str(error), "")
        return ()


# One demo


def _check_name(demo: Demo[Any], others: list[Plugin], found: Findings) -> None:
    for other in others:
        if demo.name in {taken.name for taken in other.demos}:
            who = f"{other.provider} ({other.origin})"
            found.add("names", f"the demo {demo.name!r} is also in {who}.", f"Rename it, or uninstall {who}.")


def _check_demo(demo: Demo[Any], plugin: Plugin, settings: Settings, found: Findings) -> None:
    for checkpoint in demo.checkpoints:
        check_checkpoint(f"{demo.name}/{checkpoint.name}", checkpoint, found)
    from demo_app.page.handle import Handle
    from demo_app.page.tabs import build_demo

    try:
        blocks = build_demo(demo, Handle(demo=demo, models=cache.Models(settings), trainings=Trainings(settings)))
    except PluginError as error:
        failure = describe(error.__cause__) + plugin_line(error.__cause__, plugin)
        found.add("build", f"{demo.name}: building the tab failed with {failure}.", FIX_LINE)
    else:
        check_tab(demo, blocks, found)
