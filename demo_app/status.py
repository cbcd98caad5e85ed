"""The Status tab: every plugin, every checkpoint, and memory against the budget."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gradio as gr

from demo_app import hub, machine
from demo_app.handlers import Handlers
from demo_app.models import Models, State, where
from demo_app.plugins import Plugin

NAME = "status"


def build(plugins: Sequence[Plugin], models: Models, handlers: Handlers) -> tuple[gr.HTML, Callable[[], str]]:
    """The tab, inside the host's `gr.Tabs`; returns the report's component and the function that renews it."""

    def report() -> str:
        """What runs here: plugins, checkpoints, memory. Returns HTML."""
        return render(plugins, models)

    shown = handlers.wrap(report, "host", "Status", NAME)

    with gr.Tab("Status", id=NAME, elem_id=f"tab-{NAME}") as tab:
        view = gr.HTML(padding=False)
        refresh = gr.Button("Refresh", size="sm")
        gr.on([tab.select, refresh.click], shown, None, view, queue=False, show_progress="hidden", api_name=NAME)
        if not handlers.settings.public:
            _build_unload(models, handlers, report, view)
    return view, report


def _build_unload(models: Models, handlers: Handlers, report: Callable[[], str], view: gr.HTML) -> None:
    """Unloading is for whoever runs this alone: among strangers, one visitor would take another's model away."""

    def unload(name: str) -> str:
        """Unload a model and give its memory back. Args: name: as in the list, "demo/checkpoint". Returns HTML."""
        demo, checkpoint = known[name]
        done = models.unload(demo, checkpoint.name if checkpoint else None)
        gr.Info(f"{name} was unloaded." if done else f"{name} is in use or not loaded.")
        return report()

    known = {_name(demo.name, checkpoint): (demo, checkpoint) for demo, checkpoint, _ in models.states()}
    if known:
        with gr.Row(equal_height=True):
            choice = gr.Dropdown(list(known), label="Model to unload", scale=3)
            button = gr.Button("Unload", scale=1)
        guarded = handlers.wrap(unload, "host", "Status", "unload")
        button.click(guarded, choice, view, queue=False, api_name="unload")


def render(plugins: Sequence[Plugin], models: Models) -> str:
    """The report as HTML; all text from plugins is escaped."""
    used, budget = models.bytes, models.budget
    return (
        '<div class="demo-status">'
        f"<h3>Memory</h3><p>{_mb(used)} of {_mb(budget)} for models in use "
        f"({used / budget:.0%}; {models.loads} loads, {models.evictions} evictions). "
        f"This process may use {_mb(machine.memory())} and {machine.cpus()} CPUs.</p>"
        f'<meter min="0" max="{budget}" value="{used}" aria-label="memory of models against the budget"></meter>'
        "<h3>Checkpoints</h3>"
        + _table(
            ["demo", "checkpoint", "where", "files", "state", "memory", "loaded in", "last use"],
            (_checkpoint_row(demo.title, checkpoint, state) for demo, checkpoint, state in models.states()),
        )
        + "<h3>Plugins</h3>"
        + _table(
            ["plugin", "version", "from", "state", "import", "demos"],
            (
                [
                    plugin.name,
                    plugin.version,
                    plugin.origin,
                    plugin.state + (f": {plugin.reason}" if plugin.reason else ""),
                    f"{plugin.import_ms:.0f} ms" if plugin.import_ms else "",
                    ", ".join(demo.name for demo in plugin.demos),
                ]
                for plugin in plugins
            ),
        )
        + "</div>"
    )


def _checkpoint_row(title: str, checkpoint: Any, state: State) -> list[str]:
    files = ""
    if checkpoint is not None:
        folder = hub.locate(checkpoint)
        files = (
            _mb(hub.size_on_disk(folder)) if folder else f"{_mb(checkpoint.size)} to fetch" if checkpoint.size else ""
        )
    return [
        title,
        checkpoint.name if checkpoint else "",
        where(checkpoint) if checkpoint else "",
        files,
        f"{state}: {state.reason}" if state.reason else str(state),
        _mb(state.bytes) if state.bytes else "",
        f"{state.seconds:.2f} s" if state.bytes else "",
        time.strftime("%H:%M:%S", time.localtime(state.last_used)) if state.last_used else "",
    ]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'


def _name(demo: str, checkpoint: Any) -> str:
    return f"{demo}/{checkpoint.name}" if checkpoint else demo


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
