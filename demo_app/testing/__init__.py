"""For authors of plugins: `check_demo` says all that is wrong with one, `serve` runs it as visitors will meet it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from demo_app import hookspecs, hub, models, plugins
from demo_app.api import Demo, DemoError
from demo_app.machine import prepare_environment
from demo_app.plugins import Plugin, PluginError
from demo_app.settings import Settings

if TYPE_CHECKING:
    from demo_app.server import Server

HEAVY = ("torch", "gradio", "transformers", "torchvision", "tensorflow", "jax")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to mend it."""

    stage: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.what} {self.mend}"


@dataclass(frozen=True)
class Report:
    """What `check_demo` found."""

    target: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} problem(s)" if self.problems else "ok"
        lines = [f"{self.target}: {verdict}", *(f"  - {problem}" for problem in self.problems)]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes), ""])


def check_demo(target: str | Path, *, settings: Settings | None = None, load: bool = False) -> Report:
    """Everything that is wrong with a plugin, given its folder or its name.

    With `load`, every checkpoint that needs no download is loaded too, and its bytes and seconds are told.
    """
    settings = settings or Settings.from_env()
    try:
        found, others = _find(str(target), settings)
    except LookupError as error:
        return Report(str(target), (Problem("discovery", str(error), "Give a folder or a name."),))
    problems: list[Problem] = []
    notes: list[str] = []
    for plugin in found:
        demos = _check_plugin(plugin, problems)
        for demo in demos:
            for other in others:
                if demo.name in {taken.name for taken in other.demos}:
                    problems.append(Problem("names", f"demo {demo.name!r} is also in {other.provider}.", "Rename it."))
            _check_checkpoints(demo, problems)
            _check_tab(demo, settings, problems)
            if load:
                _check_load(demo, settings, problems, notes)
    return Report(str(target), tuple(problems), tuple(notes))


@contextmanager
def serve(**overrides: Any) -> Iterator[Server]:
    """The host, running in this process on a free port; closed at the end. Keywords are fields of `Settings`.

    >>> with serve(plugins_dir=Path("plugins")) as server:  # doctest: +SKIP
    ...     httpx.get(server.url)
    """
    settings = Settings.from_env(**({"preload": ("none",)} | overrides))
    prepare_environment(settings.threads)
    from demo_app.server import launch
    from demo_app.ui import create_app

    server = launch(create_app(settings))
    try:
        yield server
    finally:
        server.close()


def _find(target: str, settings: Settings) -> tuple[list[Plugin], list[Plugin]]:
    """The plugins that `target` means, and all others, loaded. Raises `LookupError`."""
    folder = Path(target).resolve()
    if (folder / "pyproject.toml").is_file():
        mine = [plugin for plugin in plugins.plugins_in(folder.parent) if plugin.path == folder]
        if not mine:
            raise LookupError(f"{folder.name}/pyproject.toml has no [project.entry-points.demo_app] table.")
    else:
        known = plugins.find_plugins(settings)
        mine = [plugin for plugin in known if target in (plugin.name, plugin.distribution)]
        if not mine:
            raise LookupError(
                f"there is no plugin {target!r}; there are: {', '.join(p.name for p in known) or 'none'}."
            )
    rest = plugins.load_plugins(replace(settings, disable=tuple(p.name for p in mine), only=(), strict=False))
    return mine, [plugin for plugin in rest if plugin.state == "ok"]


def _check_plugin(plugin: Plugin, problems: list[Problem]) -> tuple[Demo[Any], ...]:
    """Metadata, requirements, a light import and the hook; the demos, as far as it got."""
    if plugin.state == "failed":
        problems.append(Problem(plugin.stage or "discovery", plugin.reason, ""))
        return ()
    if not plugin.version:
        problems.append(Problem("metadata", "pyproject.toml has no version.", 'Add version = "0.1.0".'))
    if not plugin.requires_python:
        problems.append(Problem("metadata", "requires-python is missing.", 'Add requires-python = ">=3.11".'))
    if not any(text.replace("_", "-").startswith("demo-app") for text in plugin.requires):
        problems.append(Problem("metadata", "demo-app is not among the dependencies.", 'Add "demo-app>=0.1".'))
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        plugins.check_requirements(plugin)
        module = plugins.import_plugin(plugin)
        problems += _heavy_imports(plugin)
        return plugins.call_hook(plugin, module, manager)
    except PluginError as error:
        problems.append(Problem(error.stage, f"{error}", ""))
        return ()


def _heavy_imports(plugin: Plugin) -> list[Problem]:
    """Whether importing the plugin imports what takes seconds; asked of a fresh interpreter, which names the line."""
    code = f"""
import builtins, json, sys, traceback
sys.path[:] = {sys.path!r}
before, culprits, real = set(sys.modules), {{}}, builtins.__import__
def watch(name, *args, **kwargs):
    top = name.partition(".")[0]
    if top in {HEAVY!r} and top not in culprits and top not in before:
        frames = [f for f in traceback.extract_stack()[:-1] if "importlib" not in f.filename]
        culprits[top] = f"{{frames[-1].filename}}:{{frames[-1].lineno}}"
    return real(name, *args, **kwargs)
builtins.__import__ = watch
real({plugin.value.partition(":")[0]!r})
print(json.dumps(culprits))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    culprits = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else {}
    return [
        Problem("import", f"importing {plugin.value} imports {name} (at {line}).", "Import it inside load or build.")
        for name, line in culprits.items()
    ]


def _check_checkpoints(demo: Demo[Any], problems: list[Problem]) -> None:
    for checkpoint in demo.checkpoints:
        where = f"{demo.name}/{checkpoint.name}"
        if not checkpoint.license:
            problems.append(Problem("checkpoints", f"{where} states no license.", "Give license='apache-2.0' or so."))
        if checkpoint.on_hub and checkpoint.size is None:
            problems.append(Problem("checkpoints", f"{where} states no size.", "Give the bytes to fetch."))
        if models.where(checkpoint) == "missing":
            problems.append(Problem("checkpoints", f"{where} lacks files of its own.", "Add them to the package."))
        for file in checkpoint.files:
            if file.endswith((".pkl", ".pickle", ".pt", ".ckpt", ".joblib")):
                problems.append(Problem("checkpoints", f"{where}: {file} is a pickle.", "Publish safetensors."))


def _check_tab(demo: Demo[Any], settings: Settings, problems: list[Problem]) -> None:
    from demo_app.ui import build_demo

    try:
        blocks = build_demo(demo, models.Models(settings).handle(demo))
    except PluginError as error:
        problems.append(Problem("build", f"{demo.name}: {error}", ""))
        return
    events = [fn for fn in blocks.fns.values() if fn.fn is not None and fn.api_visibility == "public"]
    names = [fn.api_name for fn in events]
    for fn in events:
        name = fn.api_name
        if not isinstance(name, str) or name in ("lambda", "fn", "predict") or names.count(name) > 1:
            problems.append(Problem("api", f"{demo.name}: an event has no name of its own ({name}).", "Give api_name."))
        if not inspect.getdoc(fn.fn) and not fn.api_description:
            problems.append(Problem("api", f"{demo.name}: /{name} has no docstring.", "Say what it takes and returns."))
    for component in blocks.blocks.values():
        if "{{" in (getattr(component, "html_template", None) or ""):
            problems.append(
                Problem("security", f"{demo.name}: an html_template uses {{{{...}}}}, which runs code.", "Use value.")
            )


def _check_load(demo: Demo[Any], settings: Settings, problems: list[Problem], notes: list[str]) -> None:
    loaded = models.Models(settings)
    for checkpoint in demo.checkpoints or (None,):
        name = checkpoint.name if checkpoint else None
        if checkpoint is not None and hub.locate(checkpoint) is None:
            notes.append(f"{demo.name}/{name}: not on this disk, not loaded; run: demo-app download {demo.name}/{name}")
            continue
        try:
            with loaded.use(demo, name):
                state = loaded.state(demo, name)
        except DemoError as error:
            problems.append(Problem("load", str(error), ""))
        else:
            notes.append(f"{demo.name}/{name}: {state.bytes / 1e6:.1f} MB in {state.seconds:.2f} s")
