"""The Status tab: every plugin, every checkpoint, and the memory that models use."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gradio as gr

from demo_app import machine
from demo_app.api import Checkpoint
from demo_app.hub import files as hub_files
from demo_app.i18n import say
from demo_app.models.cache import Models
from demo_app.models.checkpoints import size_text, where
from demo_app.models.state import State
from demo_app.page.guard import Handlers
from demo_app.registry.plugin import Plugin

NAME = "status"


def build(plugins: Sequence[Plugin], models: Models, handlers: Handlers) -> tuple[gr.HTML, Callable[[], str]]:
    """Build the tab inside the host's `gr.Tabs`. Returns the report's component and the function that renders it."""

    def report() -> str:
        """What runs here: plugins, checkpoints, memory. Returns HTML."""
        return render(plugins, models)

    shown = handlers.wrap(report, "host", "Status", NAME)
    shown.__name__ = NAME  # the name of the MCP tool

    with gr.Tab("Status", id=NAME, elem_id=f"tab-{NAME}") as tab:
        view = gr.HTML(padding=False, container=False)
        with gr.Row():
            refresh = gr.Button("Refresh", size="sm", scale=0, min_width=140)
        gr.on([tab.select, refresh.click], shown, None, view, queue=False, show_progress="hidden", api_name=NAME)
        if not handlers.settings.public:
            _build_unload(models, handlers, report, view)
    return view, report


def _build_unload(models: Models, handlers: Handlers, report: Callable[[], str], view: gr.HTML) -> None:
    """The part of the tab that unloads a model. Not for public pages: one visitor could unload another's model."""

    def unload(name: str) -> str:
        """Unload a model and give its memory back. Args: name: as in the list, "demo/checkpoint". Returns HTML."""
        demo, checkpoint = known[name]
        done = models.unload(demo, checkpoint.name if checkpoint else None)
        gr.Info(say("{name} was unloaded." if done else "{name} is in use or not loaded.", name=name))
        return report()

    known = {_name(demo.name, checkpoint): (demo, checkpoint) for demo, checkpoint, _ in models.states()}
    if known:
        choice = gr.Dropdown(list(known), label="Model to unload")
        button = gr.Button("Unload", size="sm", scale=0, min_width=140)
        with gr.Column(visible=False) as question:
            gr.Markdown("Unload it? Who asks it next has to wait until it is loaded again.")
            with gr.Row():
                yes = gr.Button("Unload it", variant="stop", size="sm", scale=0, min_width=140)
                no = gr.Button("Keep it", size="sm", scale=0, min_width=140)
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        button.click(lambda: gr.update(visible=True), None, question, **quiet)
        gr.on([yes.click, no.click, choice.change], lambda: gr.update(visible=False), None, question, **quiet)
        guarded = handlers.wrap(unload, "host", "Status", "unload")
        yes.click(guarded, choice, view, queue=False, api_name="unload")


def render(plugins: Sequence[Plugin], models: Models) -> str:
    """The report as HTML; all text from plugins is escaped."""
    used, budget = models.bytes, models.budget
    in_use = say(
        "{used} of {budget} for models in use ({share}), {loads} loaded so far, {evictions} evicted. This process may "
        "use {memory} and {cpus} CPUs.",
        used=size_text(used),
        budget=size_text(budget),
        share=f"{used / budget:.1%}",
        loads=models.loads,
        evictions=models.evictions,
        memory=size_text(machine.memory()),
        cpus=machine.cpus(),
    )
    return (
        '<div class="demo-status">'
        f"<h3>{say('Memory')}</h3><p>{in_use}</p>"
        f'<div class="meter" role="meter" aria-label="{say("memory of models against the budget")}" aria-valuemin="0" '
        f'aria-valuemax="{budget}" aria-valuenow="{used}"><i style="width: {min(1, used / budget):.2%}"></i></div>'
        f"<h3>{say('Checkpoints')}</h3>"
        + _table(
            ["demo", "checkpoint", "where", "files", "state", "memory", "loaded in", "last use"],
            [
                *(_checkpoint_row(demo.title, checkpoint, state) for demo, checkpoint, state in models.states()),
                *(_own_row(demo.title, states) for demo, states in models.own_states()),
            ],
        )
        + f"<h3>{say('Plugins')}</h3>"
        + _table(["plugin", "version", "from", "state", "import", "demos"], map(_plugin_row, plugins))
        + "</div>"
    )


def _plugin_row(plugin: Plugin) -> list[str]:
    return [
        _cell(plugin.name),
        _cell(plugin.version),
        _cell(plugin.origin),
        _state(plugin.state, plugin.reason),
        _cell(f"{plugin.import_ms:.0f} ms" if plugin.import_ms else ""),
        _cell(", ".join(demo.name for demo in plugin.demos)),
    ]


def _checkpoint_row(title: str, checkpoint: Checkpoint | None, state: State) -> list[str]:
    place, files = "", ""
    if checkpoint is not None:
        place, folder = where(checkpoint), hub_files.locate(checkpoint)
        if folder is not None:
            files = size_text(hub_files.size_on_disk(folder, checkpoint.files))
        elif checkpoint.size:
            files = say("{size} to fetch", size=size_text(checkpoint.size))
    return [
        _cell(say(title)),
        _cell(checkpoint.name if checkpoint else ""),
        _cell(say(place)),
        _cell(files),
        _state("missing" if place == "missing" else state.status, state.reason, _status_text(state)),
        _cell(size_text(state.bytes) if state.bytes else ""),
        _cell(f"{state.seconds:.2f} s" if state.bytes else ""),
        _cell(time.strftime("%H:%M:%S", time.localtime(state.last_used)) if state.last_used else ""),
    ]


def _own_row(title: str, states: Sequence[State]) -> list[str]:
    """Visitors' own checkpoints of one demo. Their names are not shown: whoever knows one can use the checkpoint."""
    taken, used = sum(state.bytes for state in states), max(state.last_used for state in states)
    return [
        _cell(say(title)),
        _cell(say("{count} of visitors' own", count=len(states))),
        _cell(""),
        _cell(""),
        _state("ready" if any(state.status == "ready" for state in states) else "absent", ""),
        _cell(size_text(taken) if taken else ""),
        _cell(""),
        _cell(time.strftime("%H:%M:%S", time.localtime(used)) if used else ""),
    ]


def _status_text(state: State) -> str:
    return say("fetching {share}", share=f"{state.fraction:.0%}") if state.status == "fetching" else say(state.status)


def _cell(text: str) -> str:
    return f"<td>{html.escape(text)}</td>"


def _state(status: str, reason: str, text: str = "") -> str:
    why = f" {html.escape(reason)}" if reason else ""
    shown = f'<span class="state {status}">{html.escape(text or say(status))}</span>{why}'
    return f'<td class="wide">{shown}</td>' if why else f"<td>{shown}</td>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = "".join(f'<th scope="col">{html.escape(say(cell))}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{say("table")}">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _name(demo: str, checkpoint: Checkpoint | None) -> str:
    return f"{demo}/{checkpoint.name}" if checkpoint else demo
