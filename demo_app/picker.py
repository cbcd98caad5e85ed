"""The checkpoint picker of a tab: where each checkpoint is, and how to get one that is still on the Hub."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context

from demo_app import hub
from demo_app.api import Checkpoint
from demo_app.models import default_checkpoint, size_text

if TYPE_CHECKING:
    from demo_app.models import ModelHandle


def build(handle: ModelHandle[Any], **kwargs: Any) -> gr.Dropdown:
    """The dropdown and, where the demo has checkpoints on the Hub, the panel below it."""
    default = default_checkpoint(handle.demo)
    options = {"label": "Checkpoint", "value": default.name if default else None} | kwargs
    dropdown = gr.Dropdown(choices=handle.choices(), **options)
    if any(checkpoint.on_hub for checkpoint in handle.demo.checkpoints):
        _Panel(handle, dropdown)
    return dropdown


class _Panel:
    """What stands below the dropdown while the chosen checkpoint is not on this disk."""

    def __init__(self, handle: ModelHandle[Any], dropdown: gr.Dropdown) -> None:
        self.handle = handle
        self.fetches = handle.models.fetches
        chosen = default_checkpoint(handle.demo)
        with gr.Column(visible=_away(chosen), elem_classes="demo-fetch") as column:
            text = gr.HTML(offer(chosen) if chosen else "", padding=False, container=False)
            with gr.Row():
                button = gr.Button(_label(chosen), variant="primary", size="sm", min_width=120)
                stop = gr.Button("Cancel", size="sm", visible=False, min_width=120)
        panel = [column, text, button, stop]
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
        dropdown.change(self.show, dropdown, panel, api_visibility="private", **quiet)
        button.click(
            self.fetch,
            dropdown,
            [dropdown, *panel],
            api_name="fetch",
            show_progress="hidden",
            concurrency_id="fetch",  # whoever waits for the Hub takes nobody's place
            concurrency_limit=32,
        )
        stop.click(self.cancel, dropdown, None, api_name="cancel_fetch", **quiet)
        assert Context.root_block is not None
        Context.root_block.load(self.refresh, dropdown, [dropdown, *panel], api_visibility="private", **quiet)

    def show(self, name: str) -> tuple[Any, ...]:
        """The panel for the checkpoint that was chosen."""
        checkpoint = self._checkpoint(name)
        progress = self.fetches.progress(checkpoint)
        text = offer(checkpoint)
        if progress is not None:
            text += f"<p>Another visitor is fetching it: {progress.fraction:.0%} so far.</p>"
        return (
            gr.update(visible=_away(checkpoint)),
            gr.update(value=text),
            gr.update(visible=True, value="Wait for it" if progress is not None else _label(checkpoint)),
            gr.update(visible=False),
        )

    def refresh(self, name: str) -> tuple[Any, ...]:
        """At a page's start: others may have fetched something since the host started."""
        return gr.update(choices=self.handle.choices()), *self.show(name)

    def fetch(self, checkpoint: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Pull a checkpoint's files from the Hugging Face Hub, so that it can be used.

        Args:
            checkpoint: its name.

        Returns:
            How far it is, as HTML, until it is on this disk; an error says what to do.
        """
        wanted = self._checkpoint(checkpoint)
        try:
            if _away(wanted):
                for progress in self.fetches.follow(wanted, _visitor(request)):
                    yield (
                        gr.skip(),
                        gr.skip(),
                        meter(wanted, progress),
                        gr.update(visible=False),
                        gr.update(visible=True),
                    )
        except hub.Cancelled as cancelled:
            yield self._stopped(wanted, str(cancelled), kind="status")
        except hub.HubError as error:
            yield self._stopped(wanted, str(error), kind="alert")
            raise
        else:
            yield gr.update(choices=self.handle.choices()), *self.show(checkpoint)

    def cancel(self, checkpoint: str, request: gr.Request) -> None:
        """No longer wait for a checkpoint that is being fetched; if nobody else does, it is stopped.

        Args:
            checkpoint: its name.
        """
        self.fetches.cancel(self._checkpoint(checkpoint), _visitor(request))

    def _stopped(self, checkpoint: Checkpoint, reason: str, *, kind: str) -> tuple[Any, ...]:
        text = f'<p class="{kind}" role="{kind}">{html.escape(reason)}</p>' + offer(checkpoint)
        again = "Fetch" if kind == "status" else "Try again"
        return (
            gr.update(choices=self.handle.choices()),
            gr.update(visible=True),
            gr.update(value=text),
            gr.update(visible=True, value=again),
            gr.update(visible=False),
        )

    def _checkpoint(self, name: str) -> Checkpoint:
        checkpoint = self.handle.demo.checkpoint(name)
        assert checkpoint is not None  # raises for a name that it does not have
        return checkpoint


def _away(checkpoint: Checkpoint | None) -> bool:
    return checkpoint is not None and checkpoint.on_hub and hub.locate(checkpoint) is None


def _visitor(request: gr.Request) -> str:
    return str(request.session_hash or id(request))


def _label(checkpoint: Checkpoint | None) -> str:
    return f"Fetch {size_text(checkpoint.size)}" if checkpoint is not None and checkpoint.size else "Fetch"


def offer(checkpoint: Checkpoint) -> str:
    """What would be fetched, as HTML."""
    size = size_text(checkpoint.size) if checkpoint.size else "size unknown"
    what = f"{checkpoint.repo_id} at {str(checkpoint.revision)[:7]}, {size}, licence {checkpoint.license or 'unknown'}"
    return f"<p>Not on this disk yet. From the Hugging Face Hub: {html.escape(what)}.</p>"


def meter(checkpoint: Checkpoint, progress: hub.Progress) -> str:
    """How far it is, as HTML: a bar, bytes, speed, and the time that is left."""
    total = progress.total or checkpoint.size or 0
    share = min(1.0, progress.done / total) if total else 0.0
    parts = [f"{progress.done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else f"{progress.done / 1e6:,.1f} MB"]
    if progress.rate > 0 and not progress.note:
        parts.append(f"{progress.rate / 1e6:,.1f} MB/s")
        left = (total - progress.done) / progress.rate
        parts.append(f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left")
    if progress.note:
        parts.append(progress.note)
    return (
        f'<div class="bar" role="progressbar" aria-label="{html.escape(checkpoint.title)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{round(100 * share)}"><i style="width: {share:.2%}"></i></div>'
        f"<p>{html.escape(' · '.join(parts))}</p>"
    )
