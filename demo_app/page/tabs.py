"""Tabs: each demo is built in a `gr.Blocks` of its own, its events guarded, named and numbered by the host."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo_app import zerogpu
from demo_app.api import Demo, ModelHandle
from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import Draft, Listener, leave_all_blocks, listeners, number_renders, open_blocks
from demo_app.models.cache import Models
from demo_app.page.guard import Handlers
from demo_app.page.handle import Handle
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.settings import Settings

log = logging.getLogger(__name__)
_render_ids = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Tab:
    """A demo's tab, or the greyed one of what failed."""

    name: str
    title: str
    summary: str = ""
    order: int = 100
    demo: Demo[Any] | None = None
    blocks: gr.Blocks | None = None
    plugin: Plugin

    @property
    def elem_id(self) -> str:
        return f"tab-{self.name}"


def build_tabs(
    plugin: Plugin, models: Models, trainings: Trainings, handlers: Handlers, settings: Settings, tabs: list[Tab]
) -> Plugin:
    """Append the plugin's tabs, greyed ones for what failed; return the plugin with what became of it."""
    if plugin.state == "failed":
        tabs.append(Tab(name=_slug(plugin.name, tabs), title=plugin.name, plugin=plugin))
    for demo in plugin.demos:
        try:
            models.add(demo)
            blocks = build_demo(demo, Handle(demo=demo, models=models, trainings=trainings))
            adopt(blocks, demo, handlers, {name for tab in tabs for name in _api_names(tab.blocks)})
        except PluginError as error:
            if settings.strict:
                raise
            failed = plugin.failed("build", f"{demo.name}: {error}")
            tabs.append(Tab(name=demo.name, title=demo.title, order=demo.order, plugin=failed))
            plugin = failed
        else:
            tabs.append(
                Tab(
                    name=demo.name,
                    title=demo.title,
                    summary=demo.summary,
                    order=demo.order,
                    demo=demo,
                    blocks=blocks,
                    plugin=plugin,
                )
            )
    return plugin


def build_demo(demo: Demo[Any], handle: ModelHandle[Any]) -> gr.Blocks:
    """The demo's tab in a `gr.Blocks` of its own. Raises `PluginError`, leaving Gradio's context clean."""
    try:
        with Draft(analytics_enabled=False) as blocks:
            demo.build(handle)
            if open_blocks() is not blocks:  # a nested Blocks failed inside and the plugin swallowed it
                raise RuntimeError("a gr.Blocks inside the tab failed")
    except (Exception, SystemExit) as error:
        leave_all_blocks()
        log.error("demo %s: building the tab failed", demo.name, exc_info=True)
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError("build", f"building the tab failed with {said}; see the log.") from error
    return blocks


def adopt(blocks: gr.Blocks, demo: Demo[Any], handlers: Handlers, taken: set[str]) -> None:
    """Make a demo's events the host's: prefixed API names, guarded handlers, ids that no other demo has.

    After `.render()` equal API names would get suffixes that depend on the order of plugins, and two demos that use
    `@gr.render` would share an id.
    """
    for listener in listeners(blocks):
        action = listener.name
        if listener.api_name is not None:
            name = f"{demo.name}_{listener.api_name}"
            if name in taken:
                raise PluginError("build", f"the API name /{name} is taken by another demo; rename the event.")
            listener.rename(name)
            taken.add(name)
        if listener.handler is not None:
            gpu = _wants_gpu(listener)
            handler = handlers.wrap(listener.handler, demo.name, demo.title, action, gpu=gpu)
            handler.__name__ = f"{demo.name}_{action}"  # MCP names its tools so
            listener.replace_handler(handler)
    number_renders(blocks, _render_ids)


def _wants_gpu(listener: Listener) -> bool:
    """On ZeroGPU: what waits in the queue computes, unless it is the host's own, such as fetching from the Hub."""
    return zerogpu.active() and listener.queued and not of_the_host(listener.handler)


def of_the_host(fn: Any) -> bool:
    """Whether it is the host's own, as in a picker, and not the plugin's."""
    return (getattr(fn, "__module__", None) or "").partition(".")[0] == "demo_app"


def _api_names(blocks: gr.Blocks | None) -> Iterator[str]:
    if blocks is not None:
        yield from (listener.api_name for listener in listeners(blocks) if listener.api_name is not None)


def _slug(name: str, tabs: list[Tab]) -> str:
    slug = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()) or "plugin"
    taken = {tab.name for tab in tabs}
    return next(s for s in itertools.chain([slug], (f"{slug}_{n}" for n in itertools.count(2))) if s not in taken)
