"""The panel below a picker that takes the path of a folder, and offers its files as the visitor's own checkpoint."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from demo_app.api import Checkpoint
from demo_app.errors import DemoError, InputError
from demo_app.i18n import say
from demo_app.models.checkpoints import FOLDER
from demo_app.models.demo_models import DemoModels
from demo_app.models.state import LoadError
from demo_app.page.choices import choose_own
from demo_app.page.phrases import sentence
from demo_app.page.visitors import visitor


class FolderPanel:
    """A text box for the path and a button, visible while the picker's last choice is chosen."""

    def __init__(self, handle: DemoModels[Any], dropdown: gr.Dropdown) -> None:
        self.handle, self.models = handle, handle.models
        first = next((c for c in handle.demo.checkpoints if not c.on_hub), handle.demo.checkpoints[0])
        with gr.Column(visible=False, elem_classes=["demo-fetch", "demo-own"]) as column:
            path = gr.Textbox(
                label="Path of the folder",
                info=say("It holds {files}, as a training writes them.", files=", ".join(first.files)),
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
        """The panel, visible if a folder is asked for."""
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
            folder = folder_at(path)
            yield gr.skip(), f"<p>{html.escape(say('Reading the folder'))} …</p>"
            own = self._add(folder, visitor(request))
        except DemoError as error:
            yield gr.skip(), sentence(error, "alert")
            raise
        yield choose_own(self.handle, own), ""

    def _add(self, folder: Path, owner: str) -> Checkpoint:
        """Make the folder the visitor's own checkpoint if its model loads; it replaces an earlier one of that folder.

        Raises `DemoError`.
        """
        demo, before = self.handle.demo, self.models.own(self.handle.demo, owner)
        own = self.models.add_own(demo, folder, title=folder.name or str(folder), visitor=owner)
        try:
            _load_once(self.handle, own)
        except BaseException:
            self.models.remove_own(demo, own.name)
            raise
        for earlier in before:
            if earlier.folder == own.folder:
                self.models.remove_own(demo, earlier.name)
        return own


def folder_at(text: str) -> Path:
    """The folder at a path that a visitor typed. Raises `InputError` if there is none that can be read."""
    text = text.strip().strip("\"'")  # some systems copy a path with quotes
    if not text:
        raise InputError("No path is written yet; write that of a folder which a training wrote.")
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            next(path.iterdir(), None)
            return path.resolve()
        found = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no permission, ~unknown_user, a null byte
        raise InputError(
            "The path {path} cannot be read ({reason}); check it, and whose it is.",
            path=text,
            reason=type(error).__name__,
        ) from error
    if found:
        raise InputError("{path} is a file; write the path of the folder that it lies in.", path=text)
    raise InputError("There is no folder {path} on the computer that runs this page; check the path.", path=text)


def _load_once(handle: DemoModels[Any], own: Checkpoint) -> None:
    """Load the model, so that the visitor knows at once whether the folder fits the demo. Raises `DemoError`."""
    try:
        with handle.use(own.name):
            pass
    except DemoError as error:
        refused = not isinstance(error, LoadError)  # by the demo's own `load`, with a sentence
        crashed = error.__cause__ is not None and not isinstance(error.__cause__, MemoryError)  # in the demo's `load`
        if not refused and not crashed:
            raise
        names = {"name": own.title, "demo": handle.demo.title}
        if refused:
            raise InputError(
                "The folder {name} does not fit {demo}: {reason}; choose one that a training of this demo wrote.",
                reason=str(error).split(";")[0],
                **names,
            ) from error
        raise InputError(
            "The folder {name} does not fit {demo}; choose one that a training of this demo wrote.", **names
        ) from error
