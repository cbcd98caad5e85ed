"""The page around the tabs: header, Status tab, style sheet, script, theme and translations."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import gradio as gr

from demo_app import i18n, viz
from demo_app.gradio_internals import Listener, PageBlocks
from demo_app.gradio_internals import components as parts_of
from demo_app.i18n import components
from demo_app.i18n.zh_cn import ZH_CN
from demo_app.page import arguments, status
from demo_app.page.guard import Handlers
from demo_app.page.services import Services
from demo_app.page.tabs import Tab
from demo_app.page.visits import cookie_of
from demo_app.registry.plugin import Plugin

STATIC = Path(__file__).parent / "static"
HOST = {"zh-CN": ZH_CN}  # translations of the host's own texts


class Page(PageBlocks):
    """The page. Its configuration, and nothing else, has markers in place of texts that the browser translates."""

    handlers: Handlers | None = None  # the guard around its events
    catalog = i18n.Catalog(HOST)  # all translations of the host and of its demos: what `i18n.say` uses
    catalogs: Mapping[int, tuple[str, i18n.Catalog]] = {}  # component id -> whose it is, the translations for it
    marks = components.Marks()

    def change_config(self, config: dict[str, Any]) -> None:
        self.marks = components.mark(config, self.catalogs)

    def change_api(self, description: Any) -> Any:
        return components.unmark(description, self.marks)

    def around(self, listener: Listener, request: gr.Request | None) -> AbstractContextManager[None]:
        return self.handlers.around(listener, request) if self.handlers is not None else nullcontext()

    def checked(self, listener: Listener, inputs: Sequence[Any], parts: Sequence[Any]) -> Sequence[Any]:
        return arguments.checked(listener, inputs, parts)

    def unreadable(self, listener: Listener, number: int, error: Exception) -> Exception:
        return arguments.unreadable(listener, number)

    def no_event(self, listener: Listener) -> Exception:
        return arguments.no_event(listener)

    def translations(self) -> gr.I18n:
        """The texts behind the markers, for `launch`."""
        return gr.I18n(**self.marks.entries)


def compose(
    tabs: Sequence[Tab],
    plugins: Sequence[Plugin],
    services: Services,
    formatted: i18n.Formatted,
    on_open: Callable[[], None],
) -> Page:
    """The page of these tabs and the Status tab.

    Args:
        tabs: in the order of the page.
        plugins: listed in the Status tab.
        services: what all tabs share; its guard is given the page's translations.
        formatted: the texts of the tabs that were made of templates.
        on_open: called whenever a browser opens the page.
    """
    settings, handlers = services.settings, services.handlers
    page = Page(title=settings.title, analytics_enabled=False, delete_cache=(3600, 3600))
    page.handlers = handlers
    with page:
        gr.HTML(
            f'<header class="demo-app-header"><h1>{html.escape(settings.title)}</h1></header>',
            padding=False,
            container=False,
        )
        with gr.Tabs(elem_id="demos", selected=tabs[0].name if tabs else status.NAME) as container:
            for tab in tabs:
                _place(tab)
            report_view, report = status.build(plugins, services.models, handlers)

        _set_catalogs(page, tabs, formatted)
        handlers.catalog = services.visits.catalog = page.catalog
        services.visits.blocks = page
        names = {tab.name for tab in tabs} | {status.NAME}
        translated, translate = _translated_on_open(page)

        def open_tab(request: gr.Request) -> tuple[Any, ...]:
            on_open()
            services.visits.welcome(str(request.session_hash), cookie_of(request.headers))
            wanted = request.query_params.get("demo", "")
            selected = gr.Tabs(selected=wanted) if wanted in names else gr.skip()
            return selected, report() if wanted == status.NAME else gr.skip(), *translate()

        page.load(
            handlers.wrap(open_tab, "host", settings.title, "open_tab"),
            None,
            [container, report_view, *translated],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    return page


def _translated_on_open(page: Page) -> tuple[list[Any], Callable[[], list[Any]]]:
    """Components that are translated when a visitor opens the page, and a function that gives an update for each.

    Those are what Gradio's page does not translate, the labels of samples, and drawings that are too large to be sent
    in all languages.
    """
    parts = parts_of(page).values()
    samples = [part for part in parts if isinstance(part, gr.Dataset) and part.sample_labels]
    drawings = [part for part in parts if isinstance(part, gr.HTML) and components.is_large(part.value)]

    def translate() -> list[Any]:
        updates: list[Any] = []
        for part in samples:
            labels = [i18n.say(label) for label in part.sample_labels]
            updates.append(gr.update(sample_labels=labels) if labels != part.sample_labels else gr.skip())
        for part in drawings:
            drawing = components.translate_html(part.value)
            updates.append(drawing if drawing != part.value else gr.skip())
        return updates

    return [*samples, *drawings], translate


def _set_catalogs(page: Page, tabs: Sequence[Tab], formatted: i18n.Formatted) -> None:
    """Give each component its translations: the host's, and before them the demo's for what is in its tab."""
    host = i18n.merged([HOST], formatted)
    parts = parts_of(page)
    page.catalogs = dict.fromkeys(parts, ("host", host))
    for tab in tabs:
        if tab.demo is not None and tab.blocks is not None:
            catalog = i18n.merged([tab.demo.translations, HOST], formatted)
            # the frame of the tab, then what the demo built
            frame = [id for id, part in parts.items() if part.elem_id in (tab.elem_id, f"{tab.elem_id}-summary")]
            page.catalogs |= dict.fromkeys([*frame, *parts_of(tab.blocks)], (tab.name, catalog))
    page.catalog = i18n.merged([HOST, *(tab.demo.translations for tab in tabs if tab.demo is not None)], formatted)


def _place(tab: Tab) -> None:
    """Put a tab on the page; in place of one that failed, the reason."""
    with gr.Tab(tab.title, id=tab.name, elem_id=tab.elem_id):
        if tab.blocks is not None:
            gr.Markdown(html.escape(tab.summary), elem_id=f"{tab.elem_id}-summary", elem_classes="demo-summary")
            tab.blocks.render()
        else:
            gr.HTML(_failure(tab))


def _failure(tab: Tab) -> str:
    plugin = tab.plugin
    title = i18n.say("{title} is not available", title=tab.title)
    source = i18n.say(
        "{provider} ({origin}), failed at {stage}. The other demos are not affected.",
        provider=plugin.provider,
        origin=plugin.origin,
        stage=plugin.stage or "",
    )
    return (
        f'<div class="demo-failed" role="alert"><h2>{html.escape(title)}</h2>'
        f"<p>{html.escape(plugin.reason)}</p>"
        f"<p>{html.escape(source)}</p></div>"
    )


def stylesheet(tabs: Sequence[Tab]) -> str:
    """The host's style sheets, and a rule that greys the buttons of failed tabs."""
    sheets = [(STATIC / "host.css").read_text(encoding="utf-8"), viz.stylesheet()]
    failed = [f"#{tab.elem_id}-button" for tab in tabs if tab.blocks is None]
    if failed:
        sheets.append(f"{', '.join(failed)} {{ opacity: 0.55; text-decoration: line-through; }}")
    return "\n".join(sheets)


def script() -> str:
    """For the page's head: the host's script and the translations that it needs."""
    words = {language: {text: known[text] for text in ("Close", "Error")} for language, known in HOST.items()}
    return (
        f'<script type="application/json" id="demo-app-words">{json.dumps(words)}</script>'
        f"<script>{(STATIC / 'host.js').read_text(encoding='utf-8')}</script>"
    )


def theme() -> gr.themes.Base:
    """Gradio's Soft with the fonts of the system, so that the page requests nothing from elsewhere."""
    sans = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    return gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=sans, font_mono=mono)
