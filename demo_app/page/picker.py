"""The checkpoint picker of a tab: where each checkpoint is, how to get one that is still on the Hub, and one's own.

What is a visitor's own stands in their picker alone, until their page is closed: Gradio keeps the choices of a dropdown
by session, and refuses a value that is not among them. So whoever adds a choice returns `with_own` to the picker.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from demo_app.api import Checkpoint
from demo_app.errors import DemoError, InputError
from demo_app.gradio_internals import on_page_load
from demo_app.hub import errors, files
from demo_app.hub import progress as hub_progress
from demo_app.i18n import say
from demo_app.models.checkpoints import FOLDER, default_checkpoint, size_text
from demo_app.models.demo_models import DemoModels
from demo_app.models.state import LoadError
from demo_app.page.visitors import visitor

Updates = tuple[Any, ...]  # of the panel's column, text, button and Cancel


def build(handle: DemoModels[Any], **kwargs: Any) -> gr.Dropdown:
    """The dropdown and, below it, panels: for a checkpoint that is on the Hub, for a folder of one's own."""
    default = default_checkpoint(handle.demo)
    value = default.name if default else None
    options = {"label": "Checkpoint", "value": value, "elem_classes": "demo-picker"} | kwargs
    dropdown = gr.Dropdown(choices=_choices(handle, None), **options)
    if any(checkpoint.on_hub for checkpoint in handle.demo.checkpoints):
        _Panel(handle, dropdown)
    if _takes_folders(handle):
        _Folder(handle, dropdown)
    return dropdown


def with_own(handle: DemoModels[Any], checkpoint: Checkpoint) -> Any:
    """What an event returns to the picker to choose a checkpoint that was adopted for its visitor.

    Their other ones stay among the choices; no other visitor is offered any of them.
    """
    owner = handle.models.visitor_of(handle.demo, checkpoint.name)
    return gr.update(choices=_said(handle, owner), value=checkpoint.name)


def _takes_folders(handle: DemoModels[Any]) -> bool:
    """A stranger must not read the server's folders; a demo without checkpoints reads none."""
    return bool(handle.demo.checkpoints) and not handle.settings.public


def _choices(handle: DemoModels[Any], visitor: str | None) -> list[tuple[str, str]]:
    return [*handle.choices(visitor), *([("A folder of your own …", FOLDER)] if _takes_folders(handle) else [])]


def _said(handle: DemoModels[Any], visitor: str | None) -> list[tuple[str, str]]:
    return [(say(label), name) for label, name in _choices(handle, visitor)]


@dataclass
class _Look:
    """What a visitor looks at, kept by the session: a fetch that is under way draws only where it is looked at."""

    name: str | None = None


class _Panel:
    """What stands below the dropdown while the chosen checkpoint is not on this disk."""

    def __init__(self, handle: DemoModels[Any], dropdown: gr.Dropdown) -> None:
        self.handle, self.models = handle, handle.models
        chosen = handle.demo.checkpoint(dropdown.value) if isinstance(dropdown.value, str) else None
        with gr.Column(visible=_away(chosen), elem_classes="demo-fetch") as column:
            text = gr.HTML(offer(chosen) if chosen else "", label="Progress", padding=False, container=False)
            with gr.Row():
                button = gr.Button(_label(chosen), variant="primary", size="sm", scale=0, min_width=160)
                stop = gr.Button("Cancel", size="sm", visible=False, scale=0, min_width=160)
        look = gr.State(_Look())
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
            trigger_mode="multiple",  # while one is on its way another may be chosen and fetched
            concurrency_id="fetch",  # whoever waits for the Hub takes nobody's place
            concurrency_limit=32,
        )
        fetched.success(self.relabel, None, dropdown, **private)
        stop.click(self.cancel, dropdown, None, api_name="cancel_fetch", **quiet)

    def open(self, name: str, look: _Look, request: gr.Request) -> tuple[Any, ...]:
        """At a page's start: others may have fetched something since the host started."""
        return self.relabel(request), *self.show(name, look, request)

    def relabel(self, request: gr.Request) -> Any:
        """The labels say where each checkpoint is now."""
        return gr.update(choices=_said(self.handle, visitor(request)))

    def show(self, name: str, look: _Look, request: gr.Request) -> Updates:
        """The panel for the checkpoint that was chosen."""
        look.name = name
        checkpoint = self.models.checkpoint(self.handle.demo, name) if name != FOLDER else None
        if checkpoint is None or not _away(checkpoint):
            return gr.update(visible=False), gr.skip(), gr.skip(), gr.skip()
        progress = self.models.fetches.progress(checkpoint)
        if progress is None:
            return _panel(offer(checkpoint), _label(checkpoint))
        if self.models.fetches.awaited_by(checkpoint, visitor(request)):
            return _panel(meter(checkpoint, progress))
        under_way = say(f"It is being fetched already: {progress.fraction:.0%} so far.")
        return _panel(f'{offer(checkpoint)}<p role="status">{html.escape(under_way)}</p>', "Wait for it")

    def fetch(self, checkpoint: str, look: _Look, request: gr.Request) -> Iterator[Updates]:
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
        unseen: Updates = (gr.skip(),) * 4
        try:
            for progress in self.models.fetch(self.handle.demo, checkpoint, visitor(request)):
                yield _panel(meter(wanted, progress)) if look.name == checkpoint else unseen
        except errors.Cancelled as cancelled:
            said = _panel(_told(cancelled, "status") + offer(wanted), _label(wanted))
            yield said if look.name == checkpoint else unseen
        except errors.HubError as error:
            said = _panel(_told(error, "alert") + offer(wanted), "Try again")
            yield said if look.name == checkpoint else unseen
            raise
        else:
            ready = f"<p>{html.escape(say(f'{wanted.title} is on this disk.'))}</p>"
            done = (gr.update(visible=False), ready, gr.skip(), gr.skip())
            yield done if look.name == checkpoint else unseen

    def cancel(self, checkpoint: str, request: gr.Request) -> None:
        """No longer wait for a checkpoint that is being fetched; if nobody else does, it is stopped.

        Args:
            checkpoint: its name.
        """
        self.models.cancel(self.handle.demo, checkpoint, visitor(request))


class _Folder:
    """What stands below the dropdown while its last choice is chosen: where the folder is, and a button."""

    def __init__(self, handle: DemoModels[Any], dropdown: gr.Dropdown) -> None:
        self.handle, self.models = handle, handle.models
        first = next((c for c in handle.demo.checkpoints if not c.on_hub), handle.demo.checkpoints[0])
        with gr.Column(visible=False, elem_classes=["demo-fetch", "demo-own"]) as column:
            path = gr.Textbox(
                label="Path of the folder",
                info=f"It holds {', '.join(first.files)}, as a training writes them.",
                max_lines=1,
            )
            note = gr.HTML(label="What became of it", padding=False, container=False)
            button = gr.Button("Use it", variant="primary", size="sm", scale=0, min_width=160)
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        dropdown.change(self.show, dropdown, [column, note], **quiet)
        gr.on(
            [button.click, path.submit],
            self.use,
            path,
            [dropdown, note],
            api_name="use_folder",
            show_progress="hidden",
            concurrency_id="use_folder",
        )

    def show(self, name: str) -> Any:
        """The panel, while a folder is asked for."""
        return gr.update(visible=name == FOLDER), ""

    def use(self, path: str, request: gr.Request) -> Iterator[tuple[Any, str]]:
        """Offer a folder on this computer in the checkpoint picker, for this session alone, and choose it.

        Args:
            path: of a folder that a training wrote.

        Returns:
            The picker's choices and, as its value, the name by which other actions know the checkpoint; what became of
            it, as HTML.
        """
        try:
            folder = _folder_at(path)
            yield gr.skip(), f"<p>{html.escape(say('Reading the folder'))} …</p>"
            own = self._adopted(folder, visitor(request))
        except DemoError as error:
            yield gr.skip(), _told(error, "alert")
            raise
        yield with_own(self.handle, own), ""

    def _adopted(self, folder: Path, owner: str) -> Checkpoint:
        """The folder as the visitor's own, once it was seen to load; it takes the place of what it was before."""
        demo, before = self.handle.demo, self.models.own(self.handle.demo, owner)
        own = self.models.add_own(demo, folder, title=folder.name or str(folder), visitor=owner)
        try:
            _try(self.handle, own)
        except BaseException:
            self.models.remove_own(demo, own.name)
            raise
        for earlier in before:
            if earlier.folder == own.folder:
                self.models.remove_own(demo, earlier.name)
        return own


def _folder_at(text: str) -> Path:
    """The folder that a visitor names. Raises `InputError`."""
    text = text.strip().strip("\"'")  # as some systems copy a path
    if not text:
        raise InputError("No path is written yet; write that of a folder which a training wrote.")
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            next(path.iterdir(), None)
            return path.resolve()
        found = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no right to look, ~nobody, a path that cannot be
        raise InputError(
            f"The path {text} cannot be read ({type(error).__name__}); check it, and whose it is."
        ) from error
    if found:
        raise InputError(f"{text} is a file; write the path of the folder that it lies in.")
    raise InputError(f"There is no folder {text} on the computer that runs this page; check the path.")


def _try(handle: DemoModels[Any], own: Checkpoint) -> None:
    """Load it once: whoever brings a folder wants to know now whether it fits. Raises `DemoError`."""
    try:
        with handle.use(own.name):
            pass
    except DemoError as error:
        unfit = not isinstance(error, LoadError)  # said by the demo itself
        broke = error.__cause__ is not None and not isinstance(error.__cause__, MemoryError)  # in the demo's hands
        if not unfit and not broke:
            raise
        reason = f": {str(error).split(';')[0]}" if unfit else ""
        raise InputError(
            f"The folder {own.title} does not fit {handle.demo.title}{reason}; choose one that a training of this demo "
            "wrote."
        ) from error


def _away(checkpoint: Checkpoint | None) -> bool:
    return checkpoint is not None and checkpoint.on_hub and files.locate(checkpoint) is None


def _label(checkpoint: Checkpoint | None) -> str:
    return f"Fetch {size_text(checkpoint.size)}" if checkpoint is not None and checkpoint.size else "Fetch"


def _panel(text: str, button: str = "") -> Updates:
    """What the panel shows: a button to fetch or, where it has no words, one to cancel."""
    return (
        gr.update(visible=True),
        text,
        gr.update(visible=bool(button), value=say(button)),
        gr.update(visible=not button),
    )


def _told(error: DemoError, role: str) -> str:
    return f'<p class="{role}" role="{role}">{html.escape(say(str(error)))}</p>'


def offer(checkpoint: Checkpoint) -> str:
    """What would be fetched, as HTML."""
    size = size_text(checkpoint.size) if checkpoint.size else "size unknown"
    source = f"{checkpoint.repo_id} at {str(checkpoint.revision)[:7]}, licence {checkpoint.license or 'unknown'}"
    return (
        f"<p><b>{html.escape(say(f'Not on this disk yet: {size} to fetch'))}</b></p>"
        f'<p class="source">{html.escape(say(f"From the Hugging Face Hub: {source}"))}</p>'
    )


def meter(checkpoint: Checkpoint, progress: hub_progress.Progress) -> str:
    """How far it is, as HTML: a bar, bytes, speed, and the time that is left."""
    total = progress.total or checkpoint.size or 0
    share = min(1.0, progress.done / total) if total else 0.0
    parts = [f"{progress.done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else f"{progress.done / 1e6:,.1f} MB"]
    if progress.rate > 0 and not progress.note:
        parts.append(f"{progress.rate / 1e6:,.1f} MB/s")
        left = max(0.0, total - progress.done) / progress.rate
        if total:
            parts.append(f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left")
    if progress.note:
        parts.append(progress.note)
    return (
        f'<div class="bar" role="progressbar" aria-label="{html.escape(checkpoint.title)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{round(100 * share)}"><i style="width: {share:.2%}"></i></div>'
        f"<p>{html.escape(' · '.join(map(say, parts)))}</p>"
    )
