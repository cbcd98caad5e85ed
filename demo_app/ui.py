"""The page: one tab a demo, failed ones greyed with the reason, and the status tab.

Each demo is built in its own `gr.Blocks` before the page is opened: what raises is dropped whole, and the page never
holds half a tab.
"""

from __future__ import annotations

import html
import itertools
import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import routes
from gradio.context import Context
from prometheus_client import CollectorRegistry

from demo_app import i18n, status, zerogpu
from demo_app.api import Demo
from demo_app.handlers import Handlers
from demo_app.models import ModelHandle, Models
from demo_app.picker import visitor
from demo_app.plugins import Plugin, PluginError, load_plugins
from demo_app.settings import Settings
from demo_app.zh_cn import ZH_CN

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
HOST = {"zh-CN": ZH_CN}  # what the host's own words are in other languages
_render_ids = itertools.count()


class Draft(gr.Blocks):  # type: ignore[misc]  # mypy does not read Gradio
    """What a demo builds its tab in, to be rendered in the page: nobody asks for a configuration of its own."""

    def get_config_file(self) -> Any:
        return {}


class Page(gr.Blocks):  # type: ignore[misc]
    """The page. Its configuration, and nothing else, has markers for what the browser translates."""

    catalog = i18n.Catalog(HOST)  # what `i18n.say` asks: all that the host and its demos know
    catalogs: Mapping[int, tuple[str, i18n.Catalog]] = {}  # by component: whose it is, and what that one knows
    marks = i18n.Marks()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if not any(error):
            # Gradio asks twice more while it launches; what the page consists of, the most of the work, is final now
            parts = {name: self.config[name] for name in ("page", "components", "dependencies", "layout")}
            self.marks = i18n.mark(parts, self.catalogs)
            self.default_config.get_config = lambda: parts

    def get_api_info(self, *args: Any, **kwargs: Any) -> Any:
        return i18n.unmark(super().get_api_info(*args, **kwargs), self.marks)

    def translations(self) -> gr.I18n:
        """What the markers stand for."""
        return gr.I18n(**self.marks.entries)


@dataclass(frozen=True, kw_only=True)
class App:
    """All of it, before it is served: see `demo_app.server.launch`."""

    blocks: Page
    plugins: tuple[Plugin, ...]
    tabs: tuple[Tab, ...]
    models: Models
    handlers: Handlers
    registry: CollectorRegistry
    settings: Settings
    page_seen: threading.Event  # set once a browser has opened the page
    examples: tempfile.TemporaryDirectory[str]  # Gradio's cache of examples


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
    models = Models(settings)
    plugins = load_plugins(settings)
    tabs: list[Tab] = []
    page_seen = threading.Event()
    with _no_servers(), i18n.recording() as formatted:
        for i, plugin in enumerate(plugins):
            plugins[i] = _build_tabs(plugin, models, handlers, settings, tabs)
        tabs.sort(key=lambda tab: (tab.blocks is None, tab.order, tab.name))
        blocks = _compose(tabs, tuple(plugins), models, handlers, page_seen, formatted)
        blocks.queue(max_size=settings.queue_size, default_concurrency_limit=settings.concurrency)
    return App(
        blocks=blocks,
        plugins=tuple(plugins),
        tabs=tuple(tabs),
        models=models,
        handlers=handlers,
        registry=registry,
        settings=settings,
        page_seen=page_seen,
        examples=examples,
    )


@contextmanager
def _no_servers() -> Iterator[None]:
    """Spare the web server of 80 routes that Gradio makes whenever a `gr.Blocks` opens, closes or gets its queue.

    Only the one that `launch()` makes is ever used; the others take a tenth of a second each, two for every demo.
    """
    create_app = routes.App.create_app
    routes.App.create_app = staticmethod(lambda *_, **__: None)
    try:
        yield
    finally:
        routes.App.create_app = staticmethod(create_app)


def _build_tabs(plugin: Plugin, models: Models, handlers: Handlers, settings: Settings, tabs: list[Tab]) -> Plugin:
    """Append the plugin's tabs, greyed ones for what failed; return the plugin with what became of it."""
    if plugin.state == "failed":
        tabs.append(Tab(name=_slug(plugin.name, tabs), title=plugin.name, plugin=plugin))
    for demo in plugin.demos:
        try:
            blocks = build_demo(demo, models.handle(demo))
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
            if Context.root_block is not blocks:  # a nested Blocks failed inside and the plugin swallowed it
                raise RuntimeError("a gr.Blocks inside the tab failed")
    except (Exception, SystemExit) as error:
        Context.root_block = Context.block = None
        log.error("demo %s: building the tab failed", demo.name, exc_info=True)
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError("build", f"building the tab failed with {said}; see the log.") from error
    return blocks


def adopt(blocks: gr.Blocks, demo: Demo[Any], handlers: Handlers, taken: set[str]) -> None:
    """Make a demo's events the host's: prefixed API names, guarded handlers, ids that no other demo has.

    Here and in `Page` alone is touched what Gradio does not document (`Blocks.fns`, `Blocks.renderables`); after
    `.render()` equal API names would get suffixes that depend on the order of plugins, and two demos that use
    `@gr.render` would share an id.
    """
    for fn in blocks.fns.values():
        action = fn.api_name if isinstance(fn.api_name, str) else fn.name or "event"
        if isinstance(fn.api_name, str):
            fn.api_name = f"{demo.name}_{fn.api_name}"
            if fn.api_name in taken:
                raise PluginError("build", f"the API name /{fn.api_name} is taken by another demo; rename the event.")
            taken.add(fn.api_name)
        if fn.fn is not None:
            fn.fn = handlers.wrap(fn.fn, demo.name, demo.title, action, gpu=_wants_gpu(fn))
            fn.fn.__name__ = f"{demo.name}_{action}"  # MCP names its tools so
    for renderable in blocks.renderables:
        renderable._id = next(_render_ids)


def _wants_gpu(fn: Any) -> bool:
    """On ZeroGPU: what waits in the queue computes, unless it is the host's own, such as fetching from the Hub."""
    return zerogpu.active() and bool(fn.queue) and not of_the_host(fn.fn)


def of_the_host(fn: Any) -> bool:
    """Whether it is the host's own, as in a picker, and not the plugin's."""
    return (getattr(fn, "__module__", None) or "").partition(".")[0] == "demo_app"


def _api_names(blocks: gr.Blocks | None) -> Iterator[str]:
    if blocks is not None:
        yield from (fn.api_name for fn in blocks.fns.values() if isinstance(fn.api_name, str))


def _slug(name: str, tabs: list[Tab]) -> str:
    slug = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()) or "plugin"
    taken = {tab.name for tab in tabs}
    return next(s for s in itertools.chain([slug], (f"{slug}_{n}" for n in itertools.count(2))) if s not in taken)


def _compose(
    tabs: list[Tab],
    plugins: tuple[Plugin, ...],
    models: Models,
    handlers: Handlers,
    page_seen: threading.Event,
    formatted: i18n.Formatted,
) -> Page:
    settings = handlers.settings
    page = Page(title=settings.title, analytics_enabled=False, delete_cache=(3600, 3600))
    with page:
        gr.HTML(
            f'<header class="demo-app-header"><h1>{html.escape(settings.title)}</h1></header>',
            padding=False,
            container=False,
        )
        with gr.Tabs(elem_id="demos", selected=tabs[0].name if tabs else status.NAME) as container:
            for tab in tabs:
                _place(tab)
            report_view, report = status.build(plugins, models, handlers)

        _translate(page, tabs, formatted)
        handlers.catalog = page.catalog
        # Said when the page opens: what Gradio's page does not translate, what is too large to send in all languages
        samples = [part for part in page.blocks.values() if isinstance(part, gr.Dataset) and part.sample_labels]
        drawings = [part for part in page.blocks.values() if isinstance(part, gr.HTML) and i18n.is_large(part.value)]
        names = {tab.name for tab in tabs} | {status.NAME}

        def open_tab(request: gr.Request) -> tuple[Any, ...]:
            page_seen.set()
            wanted = request.query_params.get("demo", "")
            selected = gr.Tabs(selected=wanted) if wanted in names else gr.skip()
            called = [[i18n.say(label) for label in part.sample_labels] for part in samples]
            renamed = [
                gr.update(sample_labels=labels) if labels != part.sample_labels else gr.skip()
                for part, labels in zip(samples, called, strict=True)
            ]
            redrawn = [i18n.translate_html(part.value) for part in drawings]
            redrawn = [gr.skip() if said == part.value else said for part, said in zip(drawings, redrawn, strict=True)]
            return selected, report() if wanted == status.NAME else gr.skip(), *renamed, *redrawn

        page.load(
            handlers.wrap(open_tab, "host", settings.title, "open_tab"),
            None,
            [container, report_view, *samples, *drawings],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

        def close_tab(request: gr.Request) -> None:
            models.leave(visitor(request))
            models.trainings.forget(visitor(request))

        page.unload(close_tab)
    return page


def _translate(page: Page, tabs: list[Tab], formatted: i18n.Formatted) -> None:
    """Tell the page who knows which words: the host its own, a demo those of its tab, the host's among them."""
    host = i18n.merged([HOST], formatted)
    page.catalogs = dict.fromkeys(page.blocks, ("host", host))
    for tab in tabs:
        if tab.demo is not None and tab.blocks is not None:
            known = i18n.merged([tab.demo.translations, HOST], formatted)
            # the tab's frame, then what the demo built
            framed = [id for id, part in page.blocks.items() if part.elem_id in (tab.elem_id, f"{tab.elem_id}-summary")]
            page.catalogs |= dict.fromkeys([*framed, *tab.blocks.blocks], (tab.name, known))
    page.catalog = i18n.merged([HOST, *(tab.demo.translations for tab in tabs if tab.demo is not None)], formatted)


def _place(tab: Tab) -> None:
    with gr.Tab(tab.title, id=tab.name, elem_id=tab.elem_id):
        if tab.blocks is not None:
            gr.Markdown(html.escape(tab.summary), elem_id=f"{tab.elem_id}-summary", elem_classes="demo-summary")
            tab.blocks.render()
        else:
            plugin = tab.plugin
            gr.HTML(
                f'<div class="demo-failed" role="alert"><h2>{html.escape(tab.title)} is not available</h2>'
                f"<p>{html.escape(plugin.reason)}</p>"
                f"<p>{html.escape(plugin.provider)} ({html.escape(plugin.origin)}), "
                f"failed at {html.escape(plugin.stage or '')}. The other demos are not affected.</p></div>"
            )


def stylesheet(app: App) -> str:
    """The host's style sheets, and the rules that grey the buttons of failed tabs."""
    sheets = [path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.css"))]
    failed = [f"#{tab.elem_id}-button" for tab in app.tabs if tab.blocks is None]
    if failed:
        sheets.append(f"{', '.join(failed)} {{ opacity: 0.55; text-decoration: line-through; }}")
    return "\n".join(sheets)


def script() -> str:
    """The host's script and its words in other languages, for the page's head."""
    words = {language: {text: known[text] for text in ("Close", "Error")} for language, known in HOST.items()}
    return (
        f'<script type="application/json" id="demo-app-words">{json.dumps(words)}</script>'
        f"<script>{(STATIC / 'host.js').read_text(encoding='utf-8')}</script>"
    )
