"""The page around the tabs: header, tabs, Status, style sheet, script, theme, and its words in other languages."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from demo_app import i18n, viz
from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import PageBlocks
from demo_app.gradio_internals import components as parts_of
from demo_app.i18n import components
from demo_app.i18n.zh_cn import ZH_CN
from demo_app.models.cache import Models
from demo_app.page import status
from demo_app.page.guard import Handlers
from demo_app.page.tabs import Tab
from demo_app.page.visitors import visitor
from demo_app.registry.plugin import Plugin

STATIC = Path(__file__).parent / "static"
HOST = {"zh-CN": ZH_CN}  # what the host's own words are in other languages


class Page(PageBlocks):
    """The page. Its configuration, and nothing else, has markers for what the browser translates."""

    catalog = i18n.Catalog(HOST)  # what `i18n.say` asks: all that the host and its demos know
    catalogs: Mapping[int, tuple[str, i18n.Catalog]] = {}  # by component: whose it is, and what that one knows
    marks = components.Marks()

    def change_config(self, config: dict[str, Any]) -> None:
        self.marks = components.mark(config, self.catalogs)

    def change_api(self, description: Any) -> Any:
        return components.unmark(description, self.marks)

    def translations(self) -> gr.I18n:
        """What the markers stand for."""
        return gr.I18n(**self.marks.entries)


def compose(
    tabs: list[Tab],
    plugins: tuple[Plugin, ...],
    models: Models,
    trainings: Trainings,
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
        parts = parts_of(page).values()
        samples = [part for part in parts if isinstance(part, gr.Dataset) and part.sample_labels]
        drawings = [part for part in parts if isinstance(part, gr.HTML) and components.is_large(part.value)]
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
            redrawn = [components.translate_html(part.value) for part in drawings]
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
            trainings.forget(visitor(request))

        page.unload(close_tab)
    return page


def _translate(page: Page, tabs: list[Tab], formatted: i18n.Formatted) -> None:
    """Tell the page who knows which words: the host its own, a demo those of its tab, the host's among them."""
    host = i18n.merged([HOST], formatted)
    parts = parts_of(page)
    page.catalogs = dict.fromkeys(parts, ("host", host))
    for tab in tabs:
        if tab.demo is not None and tab.blocks is not None:
            known = i18n.merged([tab.demo.translations, HOST], formatted)
            # the tab's frame, then what the demo built
            framed = [id for id, part in parts.items() if part.elem_id in (tab.elem_id, f"{tab.elem_id}-summary")]
            page.catalogs |= dict.fromkeys([*framed, *parts_of(tab.blocks)], (tab.name, known))
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


def stylesheet(tabs: Sequence[Tab]) -> str:
    """The host's style sheets, and the rules that grey the buttons of failed tabs."""
    sheets = [(STATIC / "host.css").read_text(encoding="utf-8"), viz.stylesheet()]
    failed = [f"#{tab.elem_id}-button" for tab in tabs if tab.blocks is None]
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


def theme() -> gr.themes.Base:
    """Gradio's Soft with the system's fonts: no request leaves the page."""
    sans = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    return gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=sans, font_mono=mono)
