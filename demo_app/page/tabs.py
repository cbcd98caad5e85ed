"""Tabs: each demo is built in a `gr.Blocks` of its own, and its events are then guarded, named and numbered."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo_app import zerogpu
from demo_app.api import Demo, ModelHandle
from demo_app.gradio_internals import (
    Draft,
    Listener,
    belongs_to_page,
    check_config,
    components,
    is_innermost,
    leave_all_blocks,
    listeners,
    number_renders,
)
from demo_app.models.lease import building
from demo_app.page.guard import Handlers
from demo_app.page.handle import Handle
from demo_app.page.services import Services
from demo_app.registry.guarded import guarded
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.settings import Settings

log = logging.getLogger(__name__)
_render_ids = itertools.count()


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
        changes: list[str] = []
        try:
            services.models.add(demo)
            handle = Handle(demo=demo, models=services.models, trainings=services.trainings)
            seconds = services.settings.build_seconds
            blocks = build_demo(demo, handle, plugin=plugin, seconds=seconds, changes=changes)
            check_parts(blocks, [*others, *tabs])
            taken = {name for tab in (*others, *tabs) for name in _api_names(tab.blocks)}
            prepare_events(blocks, demo, services.handlers, taken)
        except PluginError as error:
            if services.settings.strict:
                raise
            plugin = plugin.failed("build", f"{demo.name}: {error}")
            tabs.append(Tab(name=demo.name, title=demo.title, order=demo.order, plugin=plugin))
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
        plugin = plugin.changed(f"building {demo.name}", changes)
    return plugin, tabs


def build_demo(
    demo: Demo[Any],
    handle: ModelHandle[Any],
    *,
    plugin: Plugin | None = None,
    seconds: float = Settings.build_seconds,
    changes: list[str] | None = None,
) -> gr.Blocks:
    """The demo's tab in a `gr.Blocks` of its own.

    Args:
        demo: whose tab to build.
        handle: what `build` gets.
        plugin: whose demo it is, for the log.
        seconds: after which it is given up.
        changes: gets the calls that changed what all plugins share.

    Raises:
        PluginError: for whatever the plugin's code raises; Gradio's context is clean in any case.
    """
    plugin = plugin or Plugin(name=demo.name, value="", distribution=demo.name, version="", source="folder")
    try:
        what = f"building the tab of {demo.name}"
        with guarded(plugin, "build", what, "see the log.", seconds, changes):
            with Draft(analytics_enabled=False) as blocks, building():
                demo.build(handle)
                if not is_innermost(blocks):  # a nested Blocks failed and the plugin caught the exception, or is open
                    raise RuntimeError("a gr.Blocks inside the tab failed, or was not closed")
            part = belongs_to_page(blocks)
            if part is not None:
                text = "gr.{part} belongs to a whole page and cannot be in a tab; remove it."
                raise PluginError("build", text, part=part)
    except PluginError:
        leave_all_blocks()
        raise
    return blocks


def check_parts(blocks: gr.Blocks, others: Sequence[Tab]) -> None:
    """Raise `PluginError` if a component is in the tab of another demo already: a page has each once."""
    own = {id for id, part in components(blocks).items() if not isinstance(part, gr.State)}
    for tab in others:
        if tab.blocks is not None and own & set(components(tab.blocks)):
            text = "a component of its tab is also in the tab of {demo}; make components inside build."
            raise PluginError("build", text, demo=tab.name)


def with_broken_config(plugin: Plugin, tabs: Sequence[Tab]) -> Plugin | None:
    """The plugin marked as failed, if the configuration of a component in one of its tabs cannot be computed.

    Computing all takes a tenth of the start, so it is done only after the page as a whole could not be composed.
    """
    for tab in tabs:
        if tab.plugin.name == plugin.name and tab.blocks is not None:
            try:
                with guarded(plugin, "build", f"drawing the tab of {tab.name}", "see the log.", 60):
                    check_config(tab.blocks)
            except PluginError as error:
                return plugin.failed("build", error)
    return None


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
        if listener.api_name is not None:
            name = f"{demo.name}_{listener.api_name}"
            if name in taken:
                raise PluginError("build", f"the API name /{name} is taken by another demo; rename the event.")
            taken.add(name)
        _prepare(listener, demo, handlers)
    number_renders(blocks, _render_ids)


def _prepare(listener: Listener, demo: Demo[Any], handlers: Handlers) -> None:
    """Prefix the name of a listener, and guard its handler; also of those that it makes, if it is a `@gr.render`."""
    action = listener.name
    if listener.api_name is not None:
        listener.rename(f"{demo.name}_{listener.api_name}")
    if listener.handler is None:
        return
    handler = listener.handler
    if listener.renders:
        handler = _then(handler, lambda: _prepare_rendered(listener, demo, handlers))
    handler = handlers.wrap(handler, demo.name, demo.title, action, gpu=_wants_gpu(listener))
    handler.__name__ = f"{demo.name}_{action}"  # the name of the MCP tool
    listener.replace_handler(handler)


def _then(handler: Callable[..., Any], after: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = handler(*args, **kwargs)
        after()
        return result

    return call


def _prepare_rendered(listener: Listener, demo: Demo[Any], handlers: Handlers) -> None:
    for made in listener.rendered():
        if not handlers.guards(made.handler):
            _prepare(made, demo, handlers)


def _wants_gpu(listener: Listener) -> bool:
    """Whether the handler runs on ZeroGPU's GPU: queued handlers of plugins do, not the host's, such as a download.

    What `@gr.render` makes is not sent to another process, and comes too late to be announced to ZeroGPU.
    """
    drawn = listener.renders or listener.is_rendered
    return zerogpu.active() and listener.queued and not drawn and not of_the_host(listener.handler)


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
