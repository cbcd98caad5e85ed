"""The whole app, before it is served: the plugins are found, their tabs built and the page composed."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from demo_app import i18n, zerogpu
from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import leave_all_blocks, no_web_servers
from demo_app.models.cache import Models
from demo_app.page.guard import Handlers
from demo_app.page.services import Services
from demo_app.page.shell import Page, compose
from demo_app.page.tabs import Tab, build_tabs, with_broken_config
from demo_app.page.visits import Visits
from demo_app.registry.loading import load_plugins
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class App:
    """The page and everything behind it. `demo_app.serving.server.launch` serves it."""

    blocks: Page
    plugins: tuple[Plugin, ...]
    tabs: tuple[Tab, ...]
    models: Models
    trainings: Trainings
    handlers: Handlers
    visits: Visits
    registry: CollectorRegistry
    settings: Settings
    page_seen: threading.Event  # set once a browser has opened the page
    examples: tempfile.TemporaryDirectory[str]  # Gradio's cache of examples


def create_app(settings: Settings | None = None, **defaults: Any) -> App:
    """Find the plugins, build their tabs and compose the page. Loads no model.

    `defaults` are fields of `Settings`, as in `create_app(plugins_dir=Path("plugins"))`; a variable wins over them.
    A plugin that fails gets a greyed tab; with the setting `strict` its error is raised.
    """
    settings = settings or Settings.from_env(defaults=defaults)
    zerogpu.prepare()
    # Gradio files cached examples under the running number of a component. In a folder that outlives the process, the
    # examples of one plugin would be shown for another as soon as a plugin is added or removed
    examples = tempfile.TemporaryDirectory(prefix="demo-app-examples-", ignore_cleanup_errors=True)
    os.environ["GRADIO_EXAMPLES_CACHE"] = examples.name
    registry = CollectorRegistry()
    models = Models(settings)

    def say_goodbye(visitor: str) -> None:
        models.leave(visitor)
        trainings.forget(visitor)

    visits = Visits(settings, say_goodbye)
    trainings = Trainings(settings, visits.is_here)
    services = Services(models=models, trainings=trainings, handlers=Handlers(settings, registry), visits=visits)
    plugins = load_plugins(settings)
    page_seen = threading.Event()
    with no_web_servers(), i18n.recording() as formatted:
        while True:
            plugins, tabs = _build_all(plugins, services)
            try:
                blocks = compose(tabs, plugins, services, formatted, on_open=page_seen.set)
                break
            except Exception:
                leave_all_blocks()
                whole = [with_broken_config(plugin, tabs) or plugin for plugin in plugins]
                if settings.strict or whole == plugins:  # no plugin is to blame
                    raise
                plugins = whole
        blocks.queue(max_size=settings.queue_size, default_concurrency_limit=settings.concurrency)
    return App(
        blocks=blocks,
        plugins=tuple(plugins),
        tabs=tuple(tabs),
        models=services.models,
        trainings=services.trainings,
        handlers=services.handlers,
        visits=visits,
        registry=registry,
        settings=settings,
        page_seen=page_seen,
        examples=examples,
    )


def _build_all(plugins: Sequence[Plugin], services: Services) -> tuple[list[Plugin], list[Tab]]:
    """The plugins, those marked as failed that cannot be built; the tabs of all, in the order of the page."""
    done: list[Plugin] = []
    tabs: list[Tab] = []
    for plugin in plugins:
        plugin, built = build_tabs(plugin, services, tabs)
        done.append(plugin)
        tabs += built
    tabs.sort(key=lambda tab: (tab.blocks is None, tab.order, tab.name))
    return done, tabs
