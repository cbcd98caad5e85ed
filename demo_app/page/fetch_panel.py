"""The panel below a picker that fetches the chosen checkpoint from the Hub, while it is not on this disk."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo_app.api import Checkpoint
from demo_app.gradio_internals import on_page_load
from demo_app.hub import errors, files
from demo_app.hub.progress import Progress
from demo_app.i18n import say
from demo_app.models.checkpoints import FOLDER, size_text
from demo_app.models.demo_models import DemoModels
from demo_app.page.choices import translated_choices
from demo_app.page.phrases import sentence, time_left
from demo_app.page.visitors import visitor

Updates = tuple[Any, ...]  # of the panel's column, text, button and Cancel


@dataclass
class Chosen:
    """The checkpoint that a session's picker shows: a download shows its progress only while that one is chosen."""

    name: str | None = None


class FetchPanel:
    """What can be fetched, a button, progress and Cancel; and what its events do."""

    def __init__(self, handle: DemoModels[Any], dropdown: gr.Dropdown) -> None:
        self.handle, self.models = handle, handle.models
        chosen = handle.demo.checkpoint(dropdown.value) if isinstance(dropdown.value, str) else None
        with gr.Column(visible=must_be_fetched(chosen), elem_classes="demo-fetch") as column:
            text = gr.HTML(offer(chosen) if chosen else "", label="Progress", padding=False, container=False)
            with gr.Row():
                button = gr.Button(_fetch_label(chosen), variant="primary", size="sm", scale=0, min_width=160)
                stop = gr.Button("Cancel", size="sm", visible=False, scale=0, min_width=160)
        look = gr.State(Chosen())
        panel = [column, text, button, stop]
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
        private: dict[str, Any] = {"api_visibility": "private", **quiet}
        on_page_load(self.open, [dropdown, look], [dropdown, *panel], **private)
        dropdown.change(self.show, [dropdown, look], panel, **private)
        fetched = button.click(
            self.fetch,
            [dropdown, look],
            panel,
            api_name="fetch",
            show_progress="hidden",
            trigger_mode="multiple",  # another checkpoint may be chosen and fetched at the same time
            concurrency_id="fetch",  # a download takes no place from other events
            concurrency_limit=32,
        )
        fetched.success(self.relabel, None, dropdown, **private)
        stop.click(self.cancel, dropdown, None, api_name="cancel_fetch", **quiet)

    def open(self, name: str, look: Chosen, request: gr.Request) -> tuple[Any, ...]:
        """When a visitor opens the page: other visitors may have fetched something since the host started."""
        return self.relabel(request), *self.show(name, look, request)

    def relabel(self, request: gr.Request) -> Any:
        """The picker with labels that say where each checkpoint is now."""
        return gr.update(choices=translated_choices(self.handle, visitor(request)))

    def show(self, name: str, look: Chosen, request: gr.Request) -> Updates:
        """The panel for the checkpoint that was chosen."""
        look.name = name
        checkpoint = self.models.checkpoint(self.handle.demo, name) if name != FOLDER else None
        if checkpoint is None or not must_be_fetched(checkpoint):
            return gr.update(visible=False), gr.skip(), gr.skip(), gr.skip()
        progress = self.models.fetches.progress(checkpoint)
        if progress is None:
            return _updates(offer(checkpoint), _fetch_label(checkpoint))
        if self.models.fetches.awaited_by(checkpoint, visitor(request)):
            return _updates(meter(checkpoint, progress))
        running = say("It is being fetched already: {share} so far.", share=f"{progress.fraction:.0%}")
        return _updates(f'{offer(checkpoint)}<p role="status">{html.escape(running)}</p>', say("Wait for it"))

    def fetch(self, checkpoint: str, look: Chosen, request: gr.Request) -> Iterator[Updates]:
        """Pull a checkpoint's files from the Hugging Face Hub, so that it can be used.

        Args:
            checkpoint: its name.
            look: kept by the session.

        Returns:
            How far it is, as HTML, until it is on this disk; an error says what to do.
        """
        look.name = checkpoint
        wanted = self.models.checkpoint(self.handle.demo, checkpoint)
        assert wanted is not None

        def if_chosen(updates: Updates) -> Updates:
            return updates if look.name == checkpoint else (gr.skip(),) * 4

        try:
            for progress in self.models.fetch(self.handle.demo, checkpoint, visitor(request)):
                yield if_chosen(_updates(meter(wanted, progress)))
        except errors.Cancelled as cancelled:
            yield if_chosen(_updates(sentence(cancelled, "status") + offer(wanted), _fetch_label(wanted)))
        except errors.HubError as error:
            yield if_chosen(_updates(sentence(error, "alert") + offer(wanted), say("Try again")))
            raise
        else:
            ready = f"<p>{html.escape(say('{title} is on this disk.', title=wanted.title))}</p>"
            yield if_chosen((gr.update(visible=False), ready, gr.skip(), gr.skip()))

    def cancel(self, checkpoint: str, request: gr.Request) -> None:
        """No longer wait for a checkpoint that is being fetched; if nobody else does, it is stopped.

        Args:
            checkpoint: its name.
        """
        self.models.cancel(self.handle.demo, checkpoint, visitor(request))


def must_be_fetched(checkpoint: Checkpoint | None) -> bool:
    """Whether it is on the Hub and not on this disk."""
    return checkpoint is not None and checkpoint.on_hub and files.locate(checkpoint) is None


def offer(checkpoint: Checkpoint) -> str:
    """What would be fetched, as HTML."""
    size = size_text(checkpoint.size) if checkpoint.size else say("size unknown")
    what = say("Not on this disk yet: {size} to fetch", size=size)
    source = say(
        "From the Hugging Face Hub: {repo} at {revision}, licence {license}",
        repo=checkpoint.repo_id,
        revision=str(checkpoint.revision)[:7],
        license=checkpoint.license or "unknown",
    )
    return f'<p><b>{html.escape(what)}</b></p><p class="source">{html.escape(source)}</p>'


def meter(checkpoint: Checkpoint, progress: Progress) -> str:
    """How far a download is, as HTML: a bar, bytes, speed, and the time that is left."""
    total = progress.total or checkpoint.size or 0
    share = min(1.0, progress.done / total) if total else 0.0
    done = f"{progress.done / 1e6:,.1f}"
    facts = [say("{done} of {total} MB", done=done, total=f"{total / 1e6:,.1f}") if total else f"{done} MB"]
    if progress.rate > 0 and not progress.note:
        facts.append(f"{progress.rate / 1e6:,.1f} MB/s")
        left = max(0.0, total - progress.done) / progress.rate
        if total:
            facts.append(time_left(left))
    if progress.note:
        facts.append(say(progress.note))
    return (
        f'<div class="bar" role="progressbar" aria-label="{html.escape(checkpoint.title)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{round(100 * share)}"><i style="width: {share:.2%}"></i></div>'
        f"<p>{html.escape(' · '.join(facts))}</p>"
    )


def _fetch_label(checkpoint: Checkpoint | None) -> str:
    if checkpoint is None or not checkpoint.size:
        return say("Fetch")
    return say("Fetch {size}", size=size_text(checkpoint.size))


def _updates(text: str, button: str = "") -> Updates:
    """The visible panel: that HTML and a button with that label or, without a label, the one that cancels."""
    return (
        gr.update(visible=True),
        text,
        gr.update(visible=bool(button), value=button),
        gr.update(visible=not button),
    )
