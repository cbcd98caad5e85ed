"""`demo-app check`: all that is wrong with a plugin, each with what mends it.

Every stage is asked, also after one that found something, as far as there is anything left to ask: the folder, the
metadata, the requirements, the import, the hook, the checkpoints, the tabs, and the running page.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pluggy
from packaging.utils import canonicalize_name

from demo_app import hookspecs
from demo_app.api import Checkpoint, Demo
from demo_app.checking.report import Findings, Report, described, line_in
from demo_app.checking.running import check_running
from demo_app.checking.tab import check_tab
from demo_app.finetune.jobs import Trainings
from demo_app.models import cache, checkpoints
from demo_app.registry import discovery, loading, requirements
from demo_app.registry.plugin import GROUP, Plugin, PluginError
from demo_app.settings import Settings
from demo_app.unsafe_files import PUBLISHED_STATE_DICT, is_unsafe

VALIDATE = Checkpoint.__post_init__
HEAVY = ("torch", "gradio", "transformers", "torchvision", "tensorflow", "jax")


def check_demo(target: str | Path, *, settings: Settings | None = None, load: bool = False) -> Report:
    """Everything that is wrong with a plugin, given its folder or its name.

    The tabs are built and served, and each public action is called with empty input. With `load`, every checkpoint that
    is on this disk is loaded and its bytes and seconds are told, and each action is called with something to work on.
    """
    settings = settings or Settings.from_env()
    found = Findings()
    folder = Path(target)
    mine = _in_folder(folder, found) if folder.is_dir() else _by_name(str(target), settings, found)
    others = _others(mine, settings)
    for plugin in mine:
        with _lenient():
            _check_plugin(plugin, others, settings, found, load)
    return Report(str(target), tuple(found.problems), tuple(found.notes))


# Finding


def _in_folder(folder: Path, found: Findings) -> list[Plugin]:
    folder = folder.resolve()
    pyproject = folder / "pyproject.toml"
    if not pyproject.is_file():
        found.add("discovery", f"{folder.name}/ has no pyproject.toml.", "Write one; `demo-app new` shows how.")
        return []
    mine = [plugin for plugin in discovery.plugins_in(folder) if plugin.path == folder]
    if not mine and (project := _project(folder)) is None:
        mine = [plugin for plugin in discovery.plugins_in(folder.parent) if plugin.path == folder]  # says what is wrong
    elif not mine:
        groups = [group for group in (project or {}).get("entry-points", {}) if _canonical(group) == _canonical(GROUP)]
        said = f", but one named {groups[0]!r}" if groups else ""
        found.add(
            "entry point",
            f"{folder.name}/pyproject.toml has no [project.entry-points.{GROUP}] table{said}.",
            f'Add [project.entry-points.{GROUP}] with a line like {folder.name} = "demo_app_{folder.name}".',
        )
    return mine


def _by_name(name: str, settings: Settings, found: Findings) -> list[Plugin]:
    known = discovery.find_plugins(settings)
    mine = [plugin for plugin in known if name in (plugin.name, plugin.distribution)]
    if not mine:
        listed = ", ".join(plugin.name for plugin in known) or "none"
        found.add("discovery", f"There is no plugin {name!r}; there are: {listed}.", "Give a folder or a name.")
    return mine


def _others(mine: list[Plugin], settings: Settings) -> list[Plugin]:
    """All plugins but these, and but other copies of them, as far as they work."""
    own = tuple({plugin.distribution for plugin in mine})
    rest = loading.load_plugins(replace(settings, disable=own, only=(), strict=False, checkpoints=()))
    return [plugin for plugin in rest if plugin.state == "ok"]


def _canonical(group: str) -> str:
    return re.sub(r"[-_. ]", "", group.lower()).rstrip("s")


def _project(folder: Path | None) -> dict[str, Any] | None:
    """The project table of a folder's pyproject.toml; `None` where it has none that can be read."""
    try:
        table = tomllib.loads(((folder or Path()) / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return None
    return table if folder is not None and isinstance(table, dict) else None


@contextmanager
def _lenient() -> Iterator[None]:
    """Let a plugin make checkpoints that are not valid, so that one does not hide all that comes after it.

    `_check_checkpoint` asks each of them.
    """
    Checkpoint.__post_init__ = lambda checkpoint: None  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Checkpoint.__post_init__ = VALIDATE  # type: ignore[method-assign]


# The distribution


def _check_plugin(plugin: Plugin, others: list[Plugin], settings: Settings, found: Findings, load: bool) -> None:
    if plugin.state == "failed":
        found.add(plugin.stage or "discovery", plugin.reason, "")
        return
    _check_metadata(plugin, found)
    for what, mend in requirements.unmet_requirements(plugin):
        run = "Run: " if mend.startswith("pip ") else ""
        found.add("requirements", f"{what}.", f"{run}{mend}." if run else f"{mend.capitalize()}.")
    demos = _call_hook(plugin, found)
    for name, where in _heavy_imports(plugin):
        found.add("import", f"importing {plugin.value} imports {name} (at {where}).", "Import it inside load or build.")
    for demo in demos:
        for other in others:
            if demo.name in {taken.name for taken in other.demos}:
                who = f"{other.provider} ({other.origin})"
                found.add("names", f"the demo {demo.name!r} is also in {who}.", f"Rename it, or uninstall {who}.")
        _check_demo(demo, plugin, settings, found)
    if demos:
        check_running(plugin, settings, found, load)


def _check_metadata(plugin: Plugin, found: Findings) -> None:
    project = _project(plugin.path) or {}
    if not plugin.version and "version" not in project.get("dynamic", ()):
        found.add("metadata", "pyproject.toml has no version.", 'Add version = "0.1.0".')
    if not plugin.requires_python:
        found.add("metadata", "requires-python is missing.", 'Add requires-python = ">=3.11".')
    if not any(re.match(r"demo[-_.]app(?![\w.-])", text, re.IGNORECASE) for text in plugin.requires):
        found.add("metadata", "demo-app is not among the dependencies.", 'Add "demo-app>=0.1".')
    if not _license(plugin, project):
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


def _license(plugin: Plugin, project: Mapping[str, Any]) -> bool:
    from importlib.metadata import PackageNotFoundError, metadata

    classifiers = list(project.get("classifiers", ()))
    if project.get("license"):
        return True
    if plugin.source != "folder":
        try:
            installed = metadata(plugin.distribution)
        except PackageNotFoundError:
            return False
        if installed["License-Expression"] or installed["License"]:
            return True
        classifiers += installed.get_all("Classifier") or []
    return any(classifier.startswith("License ::") for classifier in classifiers)


def _call_hook(plugin: Plugin, found: Findings) -> tuple[Demo[Any], ...]:
    """Import the plugin and call its hook; its demos, as far as it got."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        module = loading.import_plugin(plugin)
    except PluginError as error:
        said, line = described(error.__cause__ or error), line_in(error.__cause__, plugin)
        found.add("import", f"importing {plugin.value} failed with {said}{line}.", "Mend that line.")
        return ()
    try:
        return loading.call_hook(plugin, module, manager)
    except PluginError as error:
        line = line_in(error.__cause__, plugin)
        if line:
            found.add(error.stage, f"register_demos failed with {described(error.__cause__)}{line}.", "Mend that line.")
        else:
            found.add(error.stage, str(error), "")
        return ()


def _heavy_imports(plugin: Plugin) -> list[tuple[str, str]]:
    """What takes seconds and is imported with the plugin, and where; asked of a fresh interpreter.

    The line is the plugin's own, also where it imports something that imports torch.
    """
    module = plugin.value.partition(":")[0]
    code = f"""
import builtins, json, sys
sys.path[:] = {sys.path!r}
own, before, culprits, real = {module.partition(".")[0]!r}, set(sys.modules), {{}}, builtins.__import__
def watch(name, *args, **kwargs):
    top = name.partition(".")[0]
    if top in {HEAVY!r} and top not in culprits and top not in before:
        frame = first = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] != own:
            frame = frame.f_back
        frame = frame or first
        culprits[top] = f"{{frame.f_code.co_filename}}:{{frame.f_lineno}}"
    return real(name, *args, **kwargs)
builtins.__import__ = watch
try:
    real({module!r})
except BaseException:
    pass
print(json.dumps(culprits))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    culprits: dict[str, str] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return list(culprits.items())


# The demos


def _check_demo(demo: Demo[Any], plugin: Plugin, settings: Settings, found: Findings) -> None:
    for checkpoint in demo.checkpoints:
        _check_checkpoint(f"{demo.name}/{checkpoint.name}", checkpoint, found)
    from demo_app.page.handle import Handle
    from demo_app.page.tabs import build_demo

    try:
        blocks = build_demo(demo, Handle(demo=demo, models=cache.Models(settings), trainings=Trainings(settings)))
    except PluginError as error:
        said, line = described(error.__cause__), line_in(error.__cause__, plugin)
        found.add("build", f"{demo.name}: building the tab failed with {said}{line}.", "Mend that line.")
    else:
        check_tab(demo, blocks, found)


def _check_checkpoint(where: str, checkpoint: Checkpoint, found: Findings) -> None:
    try:
        VALIDATE(checkpoint)
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        found.add("checkpoints", f"{where}: {what}{'.' if mend else ''}", f"{mend[:1].upper()}{mend[1:]}")
    if not checkpoint.license:
        found.add("checkpoints", f"{where} states no license.", "Give license='apache-2.0' or so.")
    if checkpoint.on_hub and checkpoint.size is None:
        found.add("checkpoints", f"{where} states no size.", "Give the bytes to fetch.")
    if checkpoint.folder is not None and checkpoints.where(checkpoint) == "missing":
        found.add("checkpoints", f"{where} lacks files of its own.", "Add them to the package.")
    for file in checkpoint.files:
        published = checkpoint.on_hub and PurePosixPath(file).name == PUBLISHED_STATE_DICT
        if is_unsafe(file) and not published:
            found.add(
                "checkpoints",
                f"{where}: {file} is a pickle, or may hold one, and can run code when it is loaded.",
                "Publish safetensors.",
            )
