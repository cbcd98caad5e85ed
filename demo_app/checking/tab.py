"""Checks on a demo's tab: names and docstrings of its actions, and components that run code."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.checking.report import Findings

if TYPE_CHECKING:
    import gradio as gr

    from demo_app.gradio_internals import Listener

UNNAMED = ("lambda", "fn", "predict", "event")  # names that Gradio gives to events without an api_name
GIVEN_BY_GRADIO = ("Request", "Progress", "EventData", "SelectData", "OAuthProfile", "OAuthToken", "Session")


def check_tab(demo: Demo[Any], blocks: gr.Blocks, found: Findings) -> None:
    """Check the public actions of a tab that was built, and its HTML templates."""
    from demo_app.gradio_internals import components, listeners

    events = [event for event in listeners(blocks) if event.public]
    names = [event.api_name for event in events]
    for event in events:
        name = event.api_name
        if name is None or name in UNNAMED:
            found.add("api", f"{demo.name}: an event has no name of its own ({name}).", "Give api_name.")
        elif (base := re.fullmatch(r"(.+)_\d+", name)) and base[1] in names:
            found.add("api", f"{demo.name}: two events are named /{base[1]}.", "Give each an api_name of its own.")
        _check_docstring(f"{demo.name}: /{name}", event, found)
    for component in components(blocks).values():
        if "{{" in (getattr(component, "html_template", None) or ""):
            what = f"{demo.name}: an html_template uses {{{{...}}}}, which runs code."
            found.add("security", what, "Use value, with html.escape.")


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
