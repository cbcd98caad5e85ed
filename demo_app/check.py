"""`demo-app check`: all that is wrong with a plugin, each with what mends it.

Every stage is asked, also after one that found something, as far as there is anything left to ask: the folder, the
metadata, the requirements, the import, the hook, the checkpoints, the tabs, and the running page.
"""

from __future__ import annotations

import base64
import importlib.util
import inspect
import json
import logging
import re
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pluggy
from packaging.utils import canonicalize_name

from demo_app import hookspecs, hub, models, plugins
from demo_app.api import Checkpoint, Demo, DemoError
from demo_app.plugins import GROUP, Plugin, PluginError
from demo_app.settings import Settings
from demo_app.unsafe_files import PUBLISHED_STATE_DICT, is_unsafe

if TYPE_CHECKING:
    import gradio as gr
    from gradio.blocks import BlockFunction

    from demo_app.server import Server
    from demo_app.ui import Tab

VALIDATE = Checkpoint.__post_init__
HEAVY = ("torch", "gradio", "transformers", "torchvision", "tensorflow", "jax")
UNNAMED = ("lambda", "fn", "predict", "event")  # what Gradio calls events whose author did not
GIVEN_BY_GRADIO = ("Request", "Progress", "EventData", "SelectData", "OAuthProfile", "OAuthToken", "Session")
ANSWER_SECONDS = 60.0  # an action that takes longer is told, and no problem

TEXTS = ("textbox", "textarea", "code", "markdown", "html")
UPLOADS = ("image", "file", "audio", "video", "gallery", "model3d", "uploadbutton", "imageslider")
NO_DRAWING: dict[str, Any] = {"background": None, "layers": [], "composite": None}
SAMPLE_TEXT = "Hello, world."
SAMPLE_PICTURE = base64.b64decode(  # 8 x 8 pixels, grey
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to mend it."""

    stage: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.what} {self.mend}".rstrip()


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


@dataclass
class _Findings:
    """What has been found so far."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, stage: str, what: str, mend: str) -> None:
        problem = Problem(stage, what, mend)
        if problem not in self.problems:
            self.problems.append(problem)


def check_demo(target: str | Path, *, settings: Settings | None = None, load: bool = False) -> Report:
    """Everything that is wrong with a plugin, given its folder or its name.

    The tabs are built and served, and each public action is called with empty input. With `load`, every checkpoint that
    is on this disk is loaded and its bytes and seconds are told, and each action is called with something to work on.
    """
    settings = settings or Settings.from_env()
    found = _Findings()
    folder = Path(target)
    mine = _in_folder(folder, found) if folder.is_dir() else _by_name(str(target), settings, found)
    others = _others(mine, settings)
    for plugin in mine:
        with _lenient():
            _check_plugin(plugin, others, settings, found, load)
    return Report(str(target), tuple(found.problems), tuple(found.notes))


# Finding


def _in_folder(folder: Path, found: _Findings) -> list[Plugin]:
    folder = folder.resolve()
    pyproject = folder / "pyproject.toml"
    if not pyproject.is_file():
        found.add("discovery", f"{folder.name}/ has no pyproject.toml.", "Write one; `demo-app new` shows how.")
        return []
    mine = [plugin for plugin in plugins.plugins_in(folder) if plugin.path == folder]
    if not mine and (project := _project(folder)) is None:
        mine = [plugin for plugin in plugins.plugins_in(folder.parent) if plugin.path == folder]  # says what is wrong
    elif not mine:
        groups = [group for group in (project or {}).get("entry-points", {}) if _canonical(group) == _canonical(GROUP)]
        said = f", but one named {groups[0]!r}" if groups else ""
        found.add(
            "entry point",
            f"{folder.name}/pyproject.toml has no [project.entry-points.{GROUP}] table{said}.",
            f'Add [project.entry-points.{GROUP}] with a line like {folder.name} = "demo_app_{folder.name}".',
        )
    return mine


def _by_name(name: str, settings: Settings, found: _Findings) -> list[Plugin]:
    known = plugins.find_plugins(settings)
    mine = [plugin for plugin in known if name in (plugin.name, plugin.distribution)]
    if not mine:
        listed = ", ".join(plugin.name for plugin in known) or "none"
        found.add("discovery", f"There is no plugin {name!r}; there are: {listed}.", "Give a folder or a name.")
    return mine


def _others(mine: list[Plugin], settings: Settings) -> list[Plugin]:
    """All plugins but these, and but other copies of them, as far as they work."""
    own = tuple({plugin.distribution for plugin in mine})
    rest = plugins.load_plugins(replace(settings, disable=own, only=(), strict=False, checkpoints=()))
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


def _check_plugin(plugin: Plugin, others: list[Plugin], settings: Settings, found: _Findings, load: bool) -> None:
    if plugin.state == "failed":
        found.add(plugin.stage or "discovery", plugin.reason, "")
        return
    _check_metadata(plugin, found)
    for what, mend in plugins.unmet_requirements(plugin):
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
        _check_running(plugin, settings, found, load)


def _check_metadata(plugin: Plugin, found: _Findings) -> None:
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
    for other in plugins.find_plugins(Settings()):
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


def _call_hook(plugin: Plugin, found: _Findings) -> tuple[Demo[Any], ...]:
    """Import the plugin and call its hook; its demos, as far as it got."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        module = plugins.import_plugin(plugin)
    except PluginError as error:
        said, line = _said(error.__cause__ or error), _line(error.__cause__, plugin)
        found.add("import", f"importing {plugin.value} failed with {said}{line}.", "Mend that line.")
        return ()
    try:
        return plugins.call_hook(plugin, module, manager)
    except PluginError as error:
        line = _line(error.__cause__, plugin)
        if line:
            found.add(error.stage, f"register_demos failed with {_said(error.__cause__)}{line}.", "Mend that line.")
        else:
            found.add(error.stage, str(error), "")
        return ()


def _said(error: BaseException | None) -> str:
    """An exception as one sentence without its full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line(error: BaseException | None, plugin: Plugin) -> str:
    """ " (at file:line)" of the plugin's own line that an exception came from; empty where there is none."""
    own = _folders(plugin)
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    for frame in reversed(frames):
        if any(Path(frame.filename).is_relative_to(folder) for folder in own):
            return f" (at {frame.filename}:{frame.lineno})"
    if isinstance(error, SyntaxError) and error.filename:
        return f" (at {error.filename}:{error.lineno})"
    return ""


def _folders(plugin: Plugin) -> list[Path]:
    """Where the plugin's code lies."""
    if plugin.path is not None:
        return [plugin.path]
    spec = importlib.util.find_spec(plugin.value.partition(":")[0].partition(".")[0])
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    return [] if origin is None else [origin.parent if origin.name == "__init__.py" else origin]


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


def _check_demo(demo: Demo[Any], plugin: Plugin, settings: Settings, found: _Findings) -> None:
    for checkpoint in demo.checkpoints:
        _check_checkpoint(f"{demo.name}/{checkpoint.name}", checkpoint, found)
    from demo_app.ui import build_demo

    try:
        blocks = build_demo(demo, models.Models(settings).handle(demo))
    except PluginError as error:
        said, line = _said(error.__cause__), _line(error.__cause__, plugin)
        found.add("build", f"{demo.name}: building the tab failed with {said}{line}.", "Mend that line.")
    else:
        _check_tab(demo, blocks, found)


def _check_checkpoint(where: str, checkpoint: Checkpoint, found: _Findings) -> None:
    try:
        VALIDATE(checkpoint)
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        found.add("checkpoints", f"{where}: {what}{'.' if mend else ''}", f"{mend[:1].upper()}{mend[1:]}")
    if not checkpoint.license:
        found.add("checkpoints", f"{where} states no license.", "Give license='apache-2.0' or so.")
    if checkpoint.on_hub and checkpoint.size is None:
        found.add("checkpoints", f"{where} states no size.", "Give the bytes to fetch.")
    if checkpoint.folder is not None and models.where(checkpoint) == "missing":
        found.add("checkpoints", f"{where} lacks files of its own.", "Add them to the package.")
    for file in checkpoint.files:
        published = checkpoint.on_hub and PurePosixPath(file).name == PUBLISHED_STATE_DICT
        if is_unsafe(file) and not published:
            found.add(
                "checkpoints",
                f"{where}: {file} is a pickle, or may hold one, and can run code when it is loaded.",
                "Publish safetensors.",
            )


def _check_tab(demo: Demo[Any], blocks: gr.Blocks, found: _Findings) -> None:
    """Names and words of the public actions; and what a page must not do."""
    events = [fn for fn in blocks.fns.values() if fn.fn is not None and fn.api_visibility == "public"]
    names = [fn.api_name for fn in events]
    for fn in events:
        name = fn.api_name
        if not isinstance(name, str) or name in UNNAMED:
            found.add("api", f"{demo.name}: an event has no name of its own ({name}).", "Give api_name.")
        elif (base := re.fullmatch(r"(.+)_\d+", name)) and base[1] in names:
            found.add("api", f"{demo.name}: two events are named /{base[1]}.", "Give each an api_name of its own.")
        _check_docstring(f"{demo.name}: /{name}", fn, found)
    for component in blocks.blocks.values():
        if "{{" in (getattr(component, "html_template", None) or ""):
            what = f"{demo.name}: an html_template uses {{{{...}}}}, which runs code."
            found.add("security", what, "Use value, with html.escape.")


def _check_docstring(where: str, fn: BlockFunction, found: _Findings) -> None:
    text = inspect.getdoc(fn.fn) or ""
    if not text and not fn.api_description:
        found.add("api", f"{where} has no docstring.", "Say what it does, takes and returns.")
        return
    arguments = text.partition("Args:")[2].partition("Returns:")[0]
    said = set(re.findall(r"(\w+)\s*(?:\([^)]*\))?\s*:", arguments))
    missing = [name for name in _parameters(fn) if name not in said]
    if missing:
        what = f"{where} has a docstring that says nothing of {', '.join(missing)}."
        found.add("api", what, f'Add "Args: {missing[0]}: what it is."')


def _parameters(fn: BlockFunction) -> list[str]:
    """Names of the handler's parameters that whoever calls the action has to give."""
    try:
        parameters = list(inspect.signature(fn.fn).parameters.values())
    except (TypeError, ValueError):
        return []
    asked = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and not _is_given(p)]
    return [p.name for p, component in zip(asked, fn.inputs, strict=False) if not component.skip_api]


def _is_given(parameter: inspect.Parameter) -> bool:
    """Whether Gradio gives it: the request, the progress bar, the event."""
    kinds = f"{parameter.annotation} {type(parameter.default).__name__}"
    return any(re.search(rf"\b{kind}\b", kinds) for kind in GIVEN_BY_GRADIO)


# The running page


def _check_running(plugin: Plugin, settings: Settings, found: _Findings, load: bool) -> None:
    """Serve the plugin alone; call what is public as one who has typed nothing, and with `load` with a sample."""
    from demo_app.testing.host import serve

    alone = replace(
        settings,
        plugins_dir=plugin.path or settings.plugins_dir,
        only=(plugin.name,),
        disable=(),
        preload=("none",),
        strict=False,
        checkpoints=(),
        host="127.0.0.1",
        port=None,
    )
    with _quiet() as failures, serve(alone) as server:
        for tab in server.app.tabs:
            if tab.demo is None or tab.plugin.distribution != plugin.distribution:
                continue
            loaded = load and _check_load(tab.demo, server, found)
            if loaded:
                _check_tuner(tab.demo, found)
            _check_answers(tab, server, failures, plugin, found, sample=False)
            if loaded:
                _check_answers(tab, server, failures, plugin, found, sample=True)


@contextmanager
def _quiet() -> Iterator[list[BaseException]]:
    """The exceptions that handlers raised and no visitor was meant to see, as they come; they go into no log."""
    caught: list[BaseException] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                caught.append(record.exc_info[1])

    log = logging.getLogger("demo_app.handlers")
    level, propagates, handler = log.level, log.propagate, Catch(logging.ERROR)
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        yield caught
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates


def _check_load(demo: Demo[Any], server: Server, found: _Findings) -> bool:
    """Load every checkpoint that is on this disk; whether the default one could be."""
    loaded, default = server.app.models, models.default_checkpoint(demo)
    ready = False
    for checkpoint in demo.checkpoints or (None,):
        name = checkpoint.name if checkpoint else None
        label = f"{demo.name}/{name}" if name else demo.name
        if checkpoint is not None and hub.locate(checkpoint) is None:
            found.notes.append(f"{label}: not on this disk, not loaded; run: demo-app download {label}")
            continue
        try:
            with loaded.use(demo, name):
                state = loaded.state(demo, name)
        except DemoError as error:
            found.add("load", f"{label}: {error}", "")
        else:
            ready = ready or checkpoint is default
            found.notes.append(f"{label}: {state.bytes / 1e6:.1f} MB in {state.seconds:.2f} s")
    return ready


def _check_tuner(demo: Demo[Any], found: _Findings) -> None:
    """Teach the first checkpoint that is on this disk for an epoch, where the demo can be taught."""
    folders = [folder for checkpoint in demo.checkpoints if (folder := hub.locate(checkpoint)) is not None]
    if demo.tuner is None or not folders:
        return
    from demo_app.tuning.check import problems_of

    for problem in problems_of(demo.tuner, folders[0]):
        found.add("tuner", f"{demo.name}: {problem}", "")


def _check_answers(
    tab: Tab,
    server: Server,
    failures: list[BaseException],
    plugin: Plugin,
    found: _Findings,
    *,
    sample: bool,
) -> None:
    """Call every public action of the plugin's own, with nothing typed or with a sample.

    Only sentences for visitors may come back.
    """
    import httpx

    from demo_app.testing import wire
    from demo_app.ui import of_the_host

    assert tab.blocks is not None
    page = {component["id"]: component for component in wire.config(server.url)["components"]}
    public = [
        fn
        for fn in tab.blocks.fns.values()
        if fn.fn is not None and fn.api_visibility == "public" and not of_the_host(fn.fn)
    ]
    value: Callable[[Mapping[str, Any]], Any] = _Sample(server.url) if sample else _nothing
    answered: list[float] = []
    for fn in public:
        action = str(fn.api_name).removeprefix(f"{tab.name}_")
        data = [value(page[component._id]) for component in fn.inputs if not component.skip_api]
        kind = "a sample" if sample else "empty input"
        failures.clear()
        started = time.perf_counter()
        try:
            outcome, said = wire.call(server.url, str(fn.api_name), *data, seconds=ANSWER_SECONDS)
        except TimeoutError:
            found.notes.append(f"{tab.name}: /{action} still works on {kind} after {ANSWER_SECONDS:.0f} s, not awaited")
            continue
        except (httpx.HTTPError, LookupError, ValueError) as error:
            outcome, said = "error", {"error": _said(error)}
        if outcome == "complete":
            answered.append(time.perf_counter() - started)
        elif failures:
            raised = failures[-1]
            found.add(
                "handlers",
                f"{tab.name}: /{action} fails on {kind} with {_said(raised)}{_line(raised, plugin)}.",
                'Raise InputError("Write something first.") for what cannot be used.',
            )
        elif not (isinstance(said, dict) and said.get("error")):
            found.add(
                "handlers",
                f"{tab.name}: /{action} fails on {kind}, outside the handler.",
                "See that what it returns fits its outputs, and the page's values its inputs.",
            )
    if sample and public:
        longest = f", the slowest after {max(answered):.2f} s" if answered else ""
        found.notes.append(f"{tab.name}: {len(answered)} of {len(public)} actions answered a sample{longest}")
        if not answered:
            found.add(
                "load", f"{tab.name}: no action answers {SAMPLE_TEXT!r}.", "Give the inputs a value to begin with."
            )


def _nothing(component: Mapping[str, Any]) -> Any:
    """What the page sends for an input that a visitor has emptied; what cannot be empty keeps its value."""
    kind = component["type"]
    if kind in TEXTS:
        return ""
    if kind == "imageeditor":
        return NO_DRAWING
    if kind == "multimodaltextbox":
        return {"text": "", "files": []}
    return None if kind in UPLOADS else component["props"].get("value")


class _Sample:
    """Something to work on for an input that the page leaves empty: a sentence, a grey picture."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, component: Mapping[str, Any]) -> Any:
        kind, value = component["type"], component["props"].get("value")
        if kind == "imageeditor" and not (value and value.get("composite")):
            picture = self._picture()
            return NO_DRAWING | {"background": picture, "composite": picture}
        if value not in (None, "", []):
            return value
        if kind in TEXTS:
            return SAMPLE_TEXT
        return self._picture() if kind == "image" else _nothing(component)

    def _picture(self) -> dict[str, Any]:
        import httpx

        files = {"files": ("sample.png", SAMPLE_PICTURE, "image/png")}
        (path,) = httpx.post(f"{self.url}gradio_api/upload", files=files, timeout=60).json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}
