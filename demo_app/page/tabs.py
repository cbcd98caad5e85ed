"""Tabs: each demo is built in a `gr.Blocks` of its own, and its events are then guarded, named and numbered."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo_app import zerogpu
from demo_app.api import Demo, ModelHandle
from demo_app.errors import DemoError
from demo_app.gradio_internals import (
    Draft,
    Listener,
    check_config,
    components,
    forget_load_events,
    leave_all_blocks,
    listeners,
    needs_page,
    no_launch,
    number_renders,
    open_blocks,
)
from demo_app.models.lease import building
from demo_app.page.guard import Handlers
from demo_app.page.handle import Handle
from demo_app.page.services import Services
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.registry.steps import step
from demo_app.settings import Settings

log = logging.getLogger(__name__)
_render_ids = itertools.count()

FAILED = "building the tab failed with {reason}; see the log."


@dataclass(frozen=True, kw_only=True)
class Tab:
    """A demo's tab; without `blocks` the greyed tab of a plugin or a demo that failed."""

    name: str
    title: str
    summary: str = ""
    order: int = 100
    demo: Demo[Any] | None = None
    blocks: gr.Blocks | None = None
    plugin: Plugin

    @property
    def elem_id(self) -> str:
        """The id of the tab's element in the page."""
        return f"tab-{self.name}"


def build_tabs(plugin: Plugin, services: Services, others: Sequence[Tab]) -> tuple[Plugin, list[Tab]]:
    """Build the tabs of a plugin: one for each of its demos, and a greyed one for what failed.

    Args:
        plugin: loaded, or failed.
        services: what all tabs share.
        others: the tabs of other plugins, whose names are taken.

    Returns:
        The plugin, marked as failed if one of its tabs could not be built; its tabs.

    Raises:
        PluginError: if a tab cannot be built and the setting `strict` is on.
    """
    tabs: list[Tab] = []
    if plugin.state == "failed":
        tabs.append(Tab(name=_free_name(plugin.name, others), title=plugin.name, plugin=plugin))
    for demo in plugin.demos:
        try:
            services.models.add(demo)
            handle = Handle(demo=demo, models=services.models, trainings=services.trainings)
            blocks, changed = build_demo(demo, handle, plugin.name, services.settings.build_seconds)
            check_parts(blocks, [*others, *tabs])
            taken = {name for tab in (*others, *tabs) for name in _api_names(tab.blocks)}
            prepare_events(blocks, demo, services.handlers, taken)
        except PluginError as error:
            if services.settings.strict:
                raise
            reason = DemoError("{demo}: {reason}", demo=demo.name, reason=error.sentence())
            plugin = plugin.failed("build", reason)
            tabs.append(Tab(name=demo.name, title=demo.title, order=demo.order, plugin=plugin))
        else:
            plugin = plugin.changed(changed)
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
    return plugin, tabs


def build_demo(
    demo: Demo[Any], handle: ModelHandle[Any], plugin: str, seconds: float = Settings.build_seconds
) -> tuple[gr.Blocks, list[str]]:
    """Build the demo's tab in a `gr.Blocks` of its own.

    Args:
        demo: whose tab it is.
        handle: what its `build` gets.
        plugin: the name of its plugin, for the log.
        seconds: when to give up.

    Returns:
        The blocks, and what the build changed of the process (it was put back).

    Raises:
        PluginError: if the tab cannot be built, or cannot be on a page with others. Gradio's context is clean then.
    """
    doing = f"building the tab of {demo.name}"

    def launch_refused() -> None:
        log.warning("plugin %s: %s called launch(), which does nothing here: the host launches", plugin, doing)

    try:
        with step(plugin, "build", doing, FAILED, seconds=seconds) as changed, no_launch(launch_refused):
            with Draft(analytics_enabled=False) as blocks, building():
                demo.build(handle)
                if open_blocks() is not blocks:  # a nested Blocks failed inside and the plugin caught the exception
                    raise RuntimeError("a gr.Blocks inside the tab failed")
            forget_load_events(blocks)
    except PluginError:
        leave_all_blocks()
        raise
    if (component := needs_page(blocks)) == "gr.LoginButton":
        text = "{component} works only on a Space with hf_oauth: true in its README.md; add that, or remove it."
        raise PluginError("build", text, component=component)
    if component is not None:
        raise PluginError("build", "{component} belongs to a page, and this is a tab; remove it.", component=component)
    return blocks, changed


def with_broken_config(plugin: Plugin, tabs: Sequence[Tab]) -> Plugin | None:
    """The plugin marked as failed, if the configuration of a component in one of its tabs cannot be computed.

    Computing all takes a tenth of the start, so it is done only after the page as a whole could not be composed.
    """
    for tab in tabs:
        if tab.plugin.name == plugin.name and tab.blocks is not None:
            try:
                with step(plugin.name, "build", f"drawing the tab of {tab.name}", FAILED, seconds=60):
                    check_config(tab.blocks)
            except PluginError as error:
                return plugin.failed("build", error)
    return None


def check_parts(blocks: gr.Blocks, others: Sequence[Tab]) -> None:
    """Raise `PluginError` if a component is in the tab of another demo already: a page has each once."""
    own = {id for id, part in components(blocks).items() if not isinstance(part, gr.State)}
    for tab in others:
        if tab.blocks is not None and own & set(components(tab.blocks)):
            text = "a component of its tab is also in the tab of {demo}; make components inside build."
            raise PluginError("build", text, demo=tab.name)


def prepare_events(blocks: gr.Blocks, demo: Demo[Any], handlers: Handlers, taken: set[str]) -> None:
    """Prefix the API names of a demo's events, guard their handlers, and number what `@gr.render` makes.

    On one page, equal API names would get suffixes by the order of plugins, and two demos that use `@gr.render` would
    share an id.

    Args:
        blocks: the demo's tab.
        demo: whose tab it is.
        handlers: the page's guard.
        taken: API names of other demos; the names of this one are added.

    Raises:
        PluginError: if two events have one name.
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
            handler.__name__ = f"{demo.name}_{action}"  # the name of the MCP tool
            listener.replace_handler(handler)
    number_renders(blocks, _render_ids)


def _wants_gpu(listener: Listener) -> bool:
    """Whether the handler runs on ZeroGPU's GPU: queued handlers of plugins do, not the host's, such as a download."""
    return zerogpu.active() and listener.queued and not of_the_host(listener.handler)


def of_the_host(fn: Any) -> bool:
    """Whether a handler is the host's own, as in a picker, and not a plugin's."""
    return (getattr(fn, "__module__", None) or "").partition(".")[0] == "demo_app"


def _api_names(blocks: gr.Blocks | None) -> Iterator[str]:
    if blocks is not None:
        yield from (listener.api_name for listener in listeners(blocks) if listener.api_name is not None)


def _free_name(title: str, tabs: Sequence[Tab]) -> str:
    """A name for the tab of a plugin that has no demo: its own as a slug, with a number if a tab has it already."""
    slug = "".join(c if c.isascii() and c.isalnum() else "_" for c in title.lower()) or "plugin"
    taken = {tab.name for tab in tabs}
    return next(s for s in itertools.chain([slug], (f"{slug}_{n}" for n in itertools.count(2))) if s not in taken)
