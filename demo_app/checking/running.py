"""The plugin served and called: its models load, its actions answer."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.checking.report import Findings, described, line_in
from demo_app.errors import DemoError
from demo_app.hub import files as hub_files
from demo_app.models import checkpoints
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings

if TYPE_CHECKING:
    from demo_app.page.tabs import Tab
    from demo_app.serving.server import Server
ANSWER_SECONDS = 60.0  # an action that takes longer is told, and no problem

TEXTS = ("textbox", "textarea", "code", "markdown", "html")
UPLOADS = ("image", "file", "audio", "video", "gallery", "model3d", "uploadbutton", "imageslider")
NO_DRAWING: dict[str, Any] = {"background": None, "layers": [], "composite": None}
SAMPLE_TEXT = "Hello, world."
SAMPLE_PICTURE = base64.b64decode(  # 8 x 8 pixels, grey
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"
)


# The running page


def check_running(plugin: Plugin, settings: Settings, found: Findings, load: bool) -> None:
    """Serve the plugin alone; call what is public as one who has typed nothing, and with `load` with a sample."""
    from demo_app.serving.local import serve

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

    log = logging.getLogger("demo_app.page.guard")
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


def _check_load(demo: Demo[Any], server: Server, found: Findings) -> bool:
    """Load every checkpoint that is on this disk; whether the default one could be."""
    loaded, default = server.app.models, checkpoints.default_checkpoint(demo)
    ready = False
    for checkpoint in demo.checkpoints or (None,):
        name = checkpoint.name if checkpoint else None
        label = f"{demo.name}/{name}" if name else demo.name
        if checkpoint is not None and hub_files.locate(checkpoint) is None:
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


def _check_tuner(demo: Demo[Any], found: Findings) -> None:
    """Teach the first checkpoint that is on this disk for an epoch, where the demo can be taught."""
    folders = [folder for checkpoint in demo.checkpoints if (folder := hub_files.locate(checkpoint)) is not None]
    if demo.tuner is None or not folders:
        return
    from demo_app.checking.tuner import problems_of

    for problem in problems_of(demo.tuner, folders[0]):
        found.add("tuner", f"{demo.name}: {problem}", "")


def _check_answers(
    tab: Tab,
    server: Server,
    failures: list[BaseException],
    plugin: Plugin,
    found: Findings,
    *,
    sample: bool,
) -> None:
    """Call every public action of the plugin's own, with nothing typed or with a sample.

    Only sentences for visitors may come back.
    """
    import httpx

    from demo_app.gradio_internals import component_id, is_given_by_clients, listeners
    from demo_app.page.tabs import of_the_host
    from demo_app.serving import client

    assert tab.blocks is not None
    page = {component["id"]: component for component in client.config(server.url)["components"]}
    public = [event for event in listeners(tab.blocks) if event.public and not of_the_host(event.handler)]
    value: Callable[[Mapping[str, Any]], Any] = _Sample(server.url) if sample else _nothing
    answered: list[float] = []
    for event in public:
        action = str(event.api_name).removeprefix(f"{tab.name}_")
        data = [value(page[component_id(part)]) for part in event.inputs if is_given_by_clients(part)]
        kind = "a sample" if sample else "empty input"
        failures.clear()
        started = time.perf_counter()
        try:
            outcome, said = client.call(server.url, str(event.api_name), *data, seconds=ANSWER_SECONDS)
        except TimeoutError:
            found.notes.append(f"{tab.name}: /{action} still works on {kind} after {ANSWER_SECONDS:.0f} s, not awaited")
            continue
        except (httpx.HTTPError, LookupError, ValueError) as error:
            outcome, said = "error", {"error": described(error)}
        if outcome == "complete":
            answered.append(time.perf_counter() - started)
        elif failures:
            raised = failures[-1]
            found.add(
                "handlers",
                f"{tab.name}: /{action} fails on {kind} with {described(raised)}{line_in(raised, plugin)}.",
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
