"""The page: one tab a demo, failed ones greyed with the reason, and the status tab.

Each demo is built in its own `gr.Blocks` before the page is opened: what raises is dropped whole, and the page never
holds half a tab.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from demo_app import i18n, zerogpu
from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import no_web_servers
from demo_app.models.cache import Models
from demo_app.page.guard import Handlers
from demo_app.page.shell import Page, compose
from demo_app.page.tabs import Tab, build_tabs
from demo_app.registry.loading import load_plugins
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class App:
    """All of it, before it is served: see `demo_app.serving.server.launch`."""

    blocks: Page
    plugins: tuple[Plugin, ...]
    tabs: tuple[Tab, ...]
    models: Models
    trainings: Trainings
    handlers: Handlers
    registry: CollectorRegistry
    settings: Settings
    page_seen: threading.Event  # set once a browser has opened the page
    examples: tempfile.TemporaryDirectory[str]  # Gradio's cache of examples


def create_app(settings: Settings | None = None, **defaults: Any) -> App:
    """Find the plugins, build their tabs and compose the page. No model is loaded.

    `defaults` are fields of `Settings`, as in `create_app(plugins_dir=Path("plugins"))`; a variable wins over them.
    Raises for a plugin that fails only with `strict`.
    """
    settings = settings or Settings.from_env(defaults=defaults)
    zerogpu.prepare()
    # Gradio files cached examples under a running number of the component: kept from one start to the next, the
    # answers of one plugin would be shown for another as soon as a plugin comes or goes
    examples = tempfile.TemporaryDirectory(prefix="demo-app-examples-", ignore_cleanup_errors=True)
    os.environ["GRADIO_EXAMPLES_CACHE"] = examples.name
    registry = CollectorRegistry()
    handlers = Handlers(settings, registry)
    models, trainings = Models(settings), Trainings(settings)
    plugins = load_plugins(settings)
    tabs: list[Tab] = []
    page_seen = threading.Event()
    with no_web_servers(), i18n.recording() as formatted:
        for i, plugin in enumerate(plugins):
            plugins[i] = build_tabs(plugin, models, trainings, handlers, settings, tabs)
        tabs.sort(key=lambda tab: (tab.blocks is None, tab.order, tab.name))
        blocks = compose(tabs, tuple(plugins), models, trainings, handlers, page_seen, formatted)
        blocks.queue(max_size=settings.queue_size, default_concurrency_limit=settings.concurrency)
    return App(
        blocks=blocks,
        plugins=tuple(plugins),
        tabs=tuple(tabs),
        models=models,
        trainings=trainings,
        handlers=handlers,
        registry=registry,
        settings=settings,
        page_seen=page_seen,
        examples=examples,
    )
