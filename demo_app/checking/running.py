"""Checks on the running page: the plugin is served alone, its models are loaded, and its actions are called."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.checking.answers import is_misfit, watched
from demo_app.checking.report import Findings, describe, plugin_line
from demo_app.checking.samples import SAMPLE_TEXT, SampleValues, empty_value
from demo_app.checking.tuner import check_tuner
from demo_app.errors import DemoError
from demo_app.hub import files as hub_files
from demo_app.models import checkpoints
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings

if TYPE_CHECKING:
    from demo_app.page.tabs import Tab
    from demo_app.serving.server import Server

ANSWER_SECONDS = 60.0  # an action that takes longer is noted, not a problem
SLOW = 5  # times as long as other steps may take: loading and training
FIX_LOAD = "Correct load, or the files that it reads."


def check_running(plugin: Plugin, demos: Sequence[Demo[Any]], settings: Settings, found: Findings, load: bool) -> None:
    """Serve the plugin alone and call its public actions with empty input, with `load` also with sample input."""
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
    names = [demo.name for demo in demos]
    found.step("page")
    with _caught_failures() as failures, serve(alone) as server, watched(server.app.blocks, names, found):
        for tab in server.app.tabs:
            if tab.demo is None or tab.plugin.distribution != plugin.distribution:
                continue
            loaded = load and _check_load(tab.demo, server, plugin, found)
            if loaded:
                found.step(f"tuner of {tab.demo.name}", SLOW * found.seconds)
                check_tuner(tab.demo, found)
            _check_answers(tab, server, failures, plugin, found, sample=False)
            if loaded:
                _check_answers(tab, server, failures, plugin, found, sample=True)


@contextmanager
def _caught_failures() -> Iterator[list[BaseException]]:
    """A list to which each unexpected exception of a handler is added. Meanwhile these exceptions are not logged."""
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


def _check_load(demo: Demo[Any], server: Server, plugin: Plugin, found: Findings) -> bool:
    """Load every checkpoint on this disk. Returns whether the default one loads."""
    models, default = server.app.models, checkpoints.default_checkpoint(demo)
    default_loads = False
    for checkpoint in demo.checkpoints or (None,):
        name = checkpoint.name if checkpoint else None
        label = f"{demo.name}/{name}" if name else demo.name
        if checkpoint is not None and hub_files.locate(checkpoint) is None:
            found.note(f"{label}: not on this disk, not loaded; run: demo-app download {label}")
            continue
        found.step(f"load of {label}", SLOW * found.seconds)
        try:
            with models.use(demo, name):
                state = models.state(demo, name)
        except DemoError as error:
            cause = error.__cause__
            if cause is None:
                found.add("load", f"{label}: {error}", "")
            else:
                found.add("load", f"{label}: load fails with {describe(cause)}{plugin_line(cause, plugin)}.", FIX_LOAD)
        else:
            default_loads = default_loads or checkpoint is default
            found.note(f"{label}: {state.bytes / 1e6:.1f} MB in {state.seconds:.2f} s")
    return default_loads


def _check_answers(
    tab: Tab,
    server: Server,
    failures: list[BaseException],
    plugin: Plugin,
    found: Findings,
    *,
    sample: bool,
) -> None:
    """Call each public action of the plugin with empty input, or with `sample` input.

    An action may answer, or refuse with a sentence for visitors; anything else is a problem. `failures` is the list of
    `_caught_failures`.
    """
    import httpx

    from demo_app.gradio_internals import component_id, is_given_by_clients, listeners
    from demo_app.page.tabs import of_the_host
    from demo_app.serving import client

    assert tab.blocks is not None
    components = {component["id"]: component for component in client.config(server.url)["components"]}
    public = [event for event in listeners(tab.blocks) if event.public and not of_the_host(event.handler)]
    value_of: Callable[[Mapping[str, Any]], Any] = SampleValues(server.url) if sample else empty_value
    kind = "a sample" if sample else "empty input"
    seconds: list[float] = []  # of each action that answered
    for event in public:
        action = str(event.api_name).removeprefix(f"{tab.name}_")
        data = [value_of(components[component_id(part)]) for part in event.inputs if is_given_by_clients(part)]
        failures.clear()
        found.step(f"/{action} on {kind}", 2 * ANSWER_SECONDS)
        started = time.perf_counter()
        try:
            outcome, answer = client.call(
                server.url, str(event.api_name), *data, seconds=ANSWER_SECONDS, streamed=event.streamed
            )
        except TimeoutError:
            found.note(f"{tab.name}: /{action} still works on {kind} after {ANSWER_SECONDS:.0f} s, not awaited")
            continue
        except (httpx.HTTPError, LookupError, ValueError) as error:
            outcome, answer = "error", {"error": describe(error)}
        if outcome == "complete":
            seconds.append(time.perf_counter() - started)
        elif is_misfit(f"{tab.name}: /{action}", found):
            pass  # its values are no answer, and that is reported
        elif failures:
            raised = failures[-1]
            found.add(
                "handlers",
                f"{tab.name}: /{action} fails on {kind} with {describe(raised)}{plugin_line(raised, plugin)}.",
                'Raise InputError("Write something first.") for what cannot be used.',
            )
        elif not (isinstance(answer, dict) and answer.get("error")):
            found.add(
                "handlers",
                f"{tab.name}: /{action} fails on {kind}, outside the handler.",
                "See that what it returns fits its outputs, and the page's values its inputs.",
            )
    if sample and public:
        slowest = f", the slowest after {max(seconds):.2f} s" if seconds else ""
        found.note(f"{tab.name}: {len(seconds)} of {len(public)} actions answered a sample{slowest}")
        if not seconds:
            found.add("load", f"{tab.name}: no action answers {SAMPLE_TEXT!r}.", "Give the inputs an initial value.")
