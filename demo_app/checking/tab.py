"""Checks on a demo's tab: names and docstrings of its actions, and components that run code."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.checking.answers import FIT, unpicklable
from demo_app.checking.report import Findings
from demo_app.checking.source import Source, misfits, shares

if TYPE_CHECKING:
    import gradio as gr

    from demo_app.gradio_internals import Listener

UNNAMED = ("lambda", "fn", "predict", "event")  # names that Gradio gives to events without an api_name
GIVEN_BY_GRADIO = ("Request", "Progress", "EventData", "SelectData", "OAuthProfile", "OAuthToken", "Session")
LABELLED = (  # components whose label is their name for a screen reader, and on the page
    *("textbox", "number", "slider", "dropdown", "radio", "checkbox", "checkboxgroup", "image", "imageeditor", "audio"),
    *(
        "video",
        "file",
        "gallery",
        "label",
        "dataframe",
        "json",
        "plot",
        "code",
        "chatbot",
        "highlightedtext",
        "dateTime",
    ),
    *("annotatedimage", "colorpicker", "multimodaltextbox", "model3d", "fileexplorer", "imageslider", "datetime"),
)
SHOWN = 3  # names in a message


def check_functions(demo: Demo[Any], found: Findings) -> None:
    """Check that the host can call what the demo is made of."""
    for name, called, arguments in (("load", demo.load, (None, "cpu")), ("build", demo.build, (None,))):
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            found.add(name, f"{demo.name}: {name} is async, and the host does not await it.", f"Write def {name}(...).")
        elif inspect.isgeneratorfunction(called):
            found.add(name, f"{demo.name}: {name} yields, so calling it does nothing.", "Take the yield out.")
        try:
            inspect.signature(called).bind(*arguments)
        except (TypeError, ValueError) as error:
            if isinstance(error, ValueError):  # a builtin has no signature
                continue
            wanted = "load(folder, device)" if name == "load" else "build(handle)"
            has = f"{name}{inspect.signature(called)}"
            found.add(name, f"{demo.name}: {has} cannot be called as {wanted}: {error}.", f"Write def {wanted}.")


def check_tab(demo: Demo[Any], blocks: gr.Blocks, source: Source, found: Findings) -> None:
    """Check the events of a tab that was built, its components and its HTML templates."""
    from demo_app.gradio_internals import components, listeners
    from demo_app.page.tabs import of_the_host

    events = [event for event in listeners(blocks) if event.public]
    names = [event.api_name for event in events]
    for event in events:
        name = event.api_name
        if name is None or name in UNNAMED:
            found.add("api", f"{demo.name}: an event has no name of its own ({name}).", "Give api_name.")
        elif (base := re.fullmatch(r"(.+)_\d+", name)) and base[1] in names:
            found.add("api", f"{demo.name}: two events are named /{base[1]}.", "Give each an api_name of its own.")
        elif not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            found.add("api", f"{demo.name}: /{name} is no plain name.", "Take small letters, digits and '_'.")
        _check_docstring(f"{demo.name}: /{name}", event, found)
    for event in listeners(blocks):
        if event.handler is not None and not of_the_host(event.handler):
            _check_handler(f"{demo.name}: /{event.name}", event, source, found)
    unlabelled: list[str] = []
    parts = components(blocks).values()
    for component in parts:
        if "{{" in (getattr(component, "html_template", None) or ""):
            what = f"{demo.name}: an html_template uses {{{{...}}}}, which runs code."
            found.add("security", what, "Use value, with html.escape.")
        if component.get_block_name() in LABELLED and component.visible and not str(component.label or "").strip():
            unlabelled.append(type(component).__name__)
        elif (
            component.get_block_name() == "state"
            and not callable(component.value)
            and (why := unpicklable(component.value))
        ):
            what = f"{demo.name}: a gr.State starts with a value that cannot be pickled ({why})."
            found.add("handlers", what, "Keep plain data in it; a model is what handle.use() lends.")
    if unlabelled:
        more = f" and {len(unlabelled) - SHOWN} more" if len(unlabelled) > SHOWN else ""
        what = f"{demo.name}: {', '.join(unlabelled[:SHOWN])}{more} without a label, which screen readers read out."
        found.add("accessibility", what, 'Give label="..."; show_label=False hides it.')
    if not listeners(blocks) and not parts:
        found.add("build", f"{demo.name}: the tab is empty.", "Make components in build.")


def _check_handler(where: str, event: Listener, source: Source, found: Findings) -> None:
    """Compare a handler with its inputs and outputs, as far as its source shows what it does."""
    count = len(event.inputs)
    takes = _positional(event)
    if takes is not None and not takes[0] <= count <= takes[1]:
        wants = f"{takes[0]}" if takes[0] == takes[1] or count < takes[0] else f"at most {takes[1]:.0f}"
        what = f"{where} takes {wants} value(s) and has {count} input(s)."
        found.add("handlers", what, "Give inputs a component for each parameter, in their order.")
    known = source.function(event.handler)
    if known is None:
        return
    file, node = known
    for line, what in misfits(node, [part.get_block_name() for part in event.outputs]):
        found.add("handlers", f"{where} {what} (at {file}:{line}).", FIT)
    for line, what in shares(node):
        found.add("handlers", f"{where} {what} (at {file}:{line}).", "Keep it in a gr.State, or take it out.")


def _positional(event: Listener) -> tuple[int, float] | None:
    """How many values a handler takes, at least and at most; `None` if that cannot be known."""
    try:
        parameters = inspect.signature(event.handler).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if event.handler is not None and hasattr(event.handler, "__wrapped__"):
        return None
    own = [p for p in parameters if not _is_given_by_gradio(p)]
    plain = [p for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    most = float("inf") if any(p.kind is p.VAR_POSITIONAL for p in own) else len(plain)
    return sum(p.default is p.empty for p in plain), most


def _check_docstring(where: str, event: Listener, found: Findings) -> None:
    text = inspect.getdoc(event.handler) or ""
    if not text and not event.description:
        found.add("api", f"{where} has no docstring.", "Say what it does, takes and returns.")
        return
    arguments = text.partition("Args:")[2].partition("Returns:")[0]
    described = set(re.findall(r"(\w+)\s*(?:\([^)]*\))?\s*:", arguments))
    missing = [name for name in _parameters(event) if name not in described]
    if missing:
        what = f"{where} has a docstring that says nothing of {', '.join(missing)}."
        found.add("api", what, f'Add "Args: {missing[0]}: what it is."')


def _parameters(event: Listener) -> list[str]:
    """Names of the handler's parameters that a caller of the API has to give."""
    from demo_app.gradio_internals import is_given_by_clients

    assert event.handler is not None
    try:
        parameters = list(inspect.signature(event.handler).parameters.values())
    except (TypeError, ValueError):
        return []
    inputs = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and not _is_given_by_gradio(p)
    ]
    return [p.name for p, component in zip(inputs, event.inputs, strict=False) if is_given_by_clients(component)]


def _is_given_by_gradio(parameter: inspect.Parameter) -> bool:
    """Whether Gradio fills it in: the request, the progress bar, the event."""
    kinds = f"{parameter.annotation} {type(parameter.default).__name__}"
    return any(re.search(rf"\b{kind}\b", kinds) for kind in GIVEN_BY_GRADIO)
