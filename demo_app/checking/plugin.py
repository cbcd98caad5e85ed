"""`demo-app check`: everything that is wrong with a plugin, and how to fix it.

One problem does not hide the others: every stage runs as far as it can, even after an earlier one failed: folder,
metadata, requirements, import, hook, checkpoints, tabs, and the running page.
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pluggy
from packaging.version import InvalidVersion, Version

from demo_app import environment, hookspecs
from demo_app.api import Demo
from demo_app.checking import child
from demo_app.checking.checkpoints import check_checkpoint, without_validation
from demo_app.checking.probe import installed_copy, probe, put_first, seen_of
from demo_app.checking.report import Findings, Report, describe, owner, plugin_line
from demo_app.checking.running import check_running
from demo_app.checking.source import Source
from demo_app.checking.tab import check_functions, check_tab
from demo_app.checking.wheel import check_wheel
from demo_app.errors import DemoError
from demo_app.finetune.jobs import Trainings
from demo_app.models import cache
from demo_app.registry import discovery, loading, requirements
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.settings import Settings

FIX_LINE = "Fix that line."


SECONDS = 120.0  # that a step of a check may take: an import, a tab, a call

SELDOM = "Take that out, and raise an exception where something is wrong."
SLOWLY = "Let it end; what is slow belongs in load."


def check_demo(target: str | Path, *, settings: Settings | None = None, load: bool = False) -> Report:
    """Find everything that is wrong with a plugin, given its folder or its name.

    The tabs are built and served, and each public action is called with empty input. With `load`, every checkpoint on
    this disk is loaded, the report notes its bytes and seconds, and each action is also called with sample input.

    The plugin runs in this process, as it does in tests that serve it; its neighbours are imported in others.
    """
    selected, settings, found = _selected(target, settings)
    for plugin in selected:
        names = check_plugin(plugin, settings, found, load)
        _check_names(names, plugin, settings, found)
    return Report(str(target), tuple(found.problems), tuple(found.notes))


def check_alone(
    target: str | Path, *, settings: Settings | None = None, load: bool = False, seconds: float = SECONDS
) -> Report:
    """`check_demo` in a process of its own for each plugin: to hang, to crash or to exit is a problem like any other.

    A step, such as an import or a call, may take `seconds`; loading and training may take five times as long.
    """
    selected, settings, found = _selected(target, settings)
    for plugin in selected:
        heard = Heard(found)
        task = (plugin, settings, load, seconds)
        died, where = child.run(f"{__name__}:check_in_child", task, heard.hear, seconds=seconds, own=owner(plugin))
        if died:
            _add_death(heard.step, f"{plugin.name}: {heard.step} {died}{where}.", died, found)
            found.note(f"{plugin.name}: what comes after {heard.step} was not checked")
        _check_names(heard.demos, plugin, settings, found)
    return Report(str(target), tuple(found.problems), tuple(found.notes))


@dataclass
class Heard:
    """What a child has told so far."""

    found: Findings
    step: str = "discovery"
    demos: Sequence[str] = ()  # names

    def hear(self, problem: Any = None, note: str = "", step: str = "", demos: Sequence[str] = ()) -> None:
        self.step, self.demos = step or self.step, demos or self.demos
        if problem:
            self.found.add(*problem)
        if note:
            self.found.note(note)


def check_in_child(task: tuple[Plugin, Settings, bool, float], tell: child.Tell) -> None:
    """In the child of `check_alone`: check the plugin and tell what is found."""
    plugin, settings, load, seconds = task
    logging.disable(logging.CRITICAL - 1)
    found = Findings(tell=tell, seconds=seconds)
    check_plugin(plugin, settings, found, load)
    written = sorted(path.name for path in Path.cwd().iterdir())
    if written:
        what = f"{plugin.name} writes {', '.join(written[:3])} into the current folder, which visitors share."
        found.add("handlers", what, "Use tempfile, or return a gr.File of a temporary file.")


def _selected(target: str | Path, settings: Settings | None) -> tuple[list[Plugin], Settings, Findings]:
    settings = settings or Settings.from_env()
    folder = discovery.plugins_folder(settings)
    settings = replace(settings, plugins_dir=folder.absolute() if folder is not None else None)
    found, path = Findings(), Path(target)
    selected = _plugins_in(path, found) if path.is_dir() else _plugins_named(str(target), settings, found)
    return selected, settings, found


def _add_death(stage: str, what: str, died: str, found: Findings) -> None:
    """Record that a process died or hung."""
    found.add(stage.partition(" ")[0], what, SLOWLY if "did not end" in died else SELDOM)


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


def _other_plugins(selected: Plugin, settings: Settings) -> list[Plugin]:
    """All other plugins that a page has, without other copies of the selected one."""
    rest = discovery.find_plugins(replace(settings, only=(), disable=()))
    return [plugin for plugin in rest if plugin.state == "found" and plugin.distribution != selected.distribution]


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


def check_plugin(plugin: Plugin, settings: Settings, found: Findings, load: bool) -> list[str]:
    """Check one plugin in this process; what is wrong is in `found`, and told there at once.

    Returns the names of its demos.
    """
    found.step("discovery")
    if plugin.state == "failed":
        found.add(plugin.stage or "discovery", plugin.reason, "")
        return []
    _check_metadata(plugin, found)
    for what, fix in requirements.unmet_requirements(plugin, _other_plugins(plugin, settings)):
        fix = f"Run: {fix}." if fix.startswith("pip ") else f"{fix[0].upper()}{fix[1:]}."
        found.add("requirements", f"{what}.", fix)
    put_first(plugin)
    found.step("import", 2 * found.seconds + child.START_SECONDS)  # longer than the process in it
    seen = probe(plugin, seconds=found.seconds)
    if seen.died:
        _add_death("import", f"importing {plugin.value} {seen.died}{seen.where}.", seen.died, found)
        return []
    if seen.printed.strip():
        what = f"importing {plugin.value} prints {seen.printed.strip().splitlines()[0][:60]!r}."
        found.add("import", what, "Use logging, and do no work on import.")
    with without_validation():
        demos = _registered_demos(plugin, found)
        for name, where in seen.heavy:
            found.add(
                "import", f"importing {plugin.value} imports {name} (at {where}).", "Import it inside load or build."
            )
        found.step("source")
        source = Source(plugin)
        source.check(found)
        found.step("wheel", 2 * found.seconds + 2 * child.START_SECONDS)
        check_wheel(plugin, demos, found)
        found.tell(demos=[demo.name for demo in demos])
        for demo in demos:
            found.step("build")
            _check_demo(demo, plugin, source, settings, found)
        if demos:
            check_running(plugin, demos, settings, found, load)
    return [demo.name for demo in demos]


def _check_metadata(plugin: Plugin, found: Findings) -> None:
    project = _project_table(plugin.path) or {}
    if not plugin.version and "version" not in project.get("dynamic", ()):
        found.add("metadata", "pyproject.toml has no version.", 'Add version = "0.1.0".')
    if not plugin.requires_python:
        found.add("metadata", "requires-python is missing.", 'Add requires-python = ">=3.11".')
    if plugin.version and not _is_version(plugin.version):
        found.add("metadata", f"the version {plugin.version!r} is none for pip.", 'Write it as in "0.1.0".')
    readme = project.get("readme")
    readme = readme.get("file") if isinstance(readme, dict) else readme
    if plugin.path is not None and isinstance(readme, str) and not (plugin.path / readme).is_file():
        found.add("metadata", f"{readme} is not there, and pyproject.toml names it.", "Write one; PyPI shows it.")
    if not any(re.match(r"demo[-_.]app(?![\w.-])", text, re.IGNORECASE) for text in plugin.requires):
        found.add("metadata", "demo-app is not among the dependencies.", 'Add "demo-app>=0.1".')
    if not _has_license(plugin, project):
        found.add("metadata", "the distribution states no license.", 'Add license = "Apache-2.0", or another.')
    if (other := installed_copy(plugin)) is not None:
        found.note(
            f"{other.provider} is installed too ({other.origin}), and on a page it wins over this folder, which was "
            f"checked; to use the folder, run: pip install -e {plugin.path}"
        )


def _is_version(text: str) -> bool:
    try:
        return bool(Version(text))
    except InvalidVersion:
        return False


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
        changes: list[str] = []
        module = loading.import_plugin(plugin, changes=changes)
    except PluginError as error:
        line = plugin_line(error.__cause__, plugin)
        what = f"importing {plugin.value} failed with {describe(error.__cause__ or error)}{line}."
        found.add("import", what, FIX_LINE if line else _entry_point_fix(plugin, error.__cause__))
        return ()
    try:
        demos = loading.call_hook(plugin, module, manager, changes=changes)
    except PluginError as error:
        cause, line = error.__cause__, plugin_line(error.__cause__, plugin)
        if cause is not None and (line or "log" in str(error)):
            text = " ".join(str(cause).split())
            says_how = isinstance(cause, ValueError | TypeError) and "; " in text  # as demo_app.api's own errors do
            fix = "" if says_how else FIX_LINE if line else "Correct register_demos."
            found.add(error.stage, f"register_demos failed with {describe(cause)}{line}.", fix)
        else:
            found.add(error.stage, str(error), "")
        return ()
    _add_changes(found, "import", changes)
    return demos


def _add_changes(found: Findings, stage: str, changes: Sequence[str]) -> None:
    """What the plugin changed of the process, if anything."""
    if changes:
        what = f"it changes what all demos share: {', '.join(changes)}."
        found.add(stage, what, "Change it only inside a handler, and put it back there.")


def _entry_point_fix(plugin: Plugin, error: BaseException | None) -> str:
    """What to do about an entry point whose module or object is not there: no line of the plugin is to blame."""
    module, _, attribute = plugin.value.partition(":")
    root = next((root for root in (plugin.path / "src", plugin.path) if root.is_dir()), None) if plugin.path else None
    has = sorted(path.stem for path in root.iterdir() if _is_module(path)) if root is not None else []
    if isinstance(error, ModuleNotFoundError) and has:
        return f"Correct the entry point in pyproject.toml: {root} has {', '.join(has[:5])}."
    if isinstance(error, AttributeError) and attribute:
        return f'Correct the entry point in pyproject.toml: {module} has no {attribute}; write "{module}".'
    return "Correct the entry point in pyproject.toml, or what it names."


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


# One demo


def _check_names(names: Sequence[str], plugin: Plugin, settings: Settings, found: Findings) -> None:
    """Compare the names of the demos with those of all neighbours, which are imported in processes of their own."""
    others = _other_plugins(plugin, settings) if names else []
    with ThreadPoolExecutor(2) as pool:
        for other, seen in zip(others, pool.map(seen_of, others), strict=True):
            who = f"{other.provider} ({other.origin})"
            if seen.died:
                found.note(f"{who} was not compared: importing it {seen.died}{seen.where}")
            for name in sorted({*names} & {*seen.demos}):
                found.add("names", f"the demo {name!r} is also in {who}.", f"Rename it, or uninstall {who}.")


def _check_demo(demo: Demo[Any], plugin: Plugin, source: Source, settings: Settings, found: Findings) -> None:
    for checkpoint in demo.checkpoints:
        check_checkpoint(f"{demo.name}/{checkpoint.name}", checkpoint, plugin.path, found)
    check_functions(demo, found)
    with environment.direct():  # a proxy that cannot be used is no fault of the plugin's
        from demo_app.page.handle import Handle
        from demo_app.page.tabs import build_demo

    try:
        handle, changes = Handle(demo=demo, models=cache.Models(settings), trainings=Trainings(settings)), list[str]()
        blocks = build_demo(demo, handle, plugin=plugin, changes=changes)
    except PluginError as error:
        cause, line = error.__cause__, plugin_line(error.__cause__, plugin)
        if cause is None:
            found.add("build", f"{demo.name}: {error}", "")
        elif isinstance(cause, DemoError):  # a sentence that says what to do
            found.add("build", f"{demo.name}: {str(cause).rstrip('.')}{line}.", "")
        else:
            found.add("build", f"{demo.name}: building the tab failed with {describe(cause)}{line}.", FIX_LINE)
    else:
        _add_changes(found, "build", changes)
        check_tab(demo, blocks, source, found)
