"""The choices of a checkpoint picker.

Checkpoints that are a visitor's own are choices in that visitor's picker alone, until their page is closed: Gradio
keeps the choices of a dropdown by session, and refuses a value that is not among them. So an event that adds a
checkpoint returns `choose_own` to the picker.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo_app.api import Checkpoint
from demo_app.i18n import say
from demo_app.models.checkpoints import FOLDER
from demo_app.models.demo_models import DemoModels


def takes_folders(handle: DemoModels[Any]) -> bool:
    """Whether the last choice asks for a folder. On a public page strangers could look into the server's folders."""
    return bool(handle.demo.checkpoints) and not handle.settings.public


def english_choices(handle: DemoModels[Any], visitor: str | None) -> list[tuple[str, str]]:
    """(label, value) of each choice: the demo's checkpoints, the visitor's own, a folder."""
    return [*handle.choices(visitor), *([("A folder of your own …", FOLDER)] if takes_folders(handle) else [])]


def translated_choices(handle: DemoModels[Any], visitor: str | None) -> list[tuple[str, str]]:
    """The same in the language of the visitor whose event is being handled."""
    return [(say(label), name) for label, name in english_choices(handle, visitor)]


def choose_own(handle: DemoModels[Any], checkpoint: Checkpoint) -> Any:
    """The update for the picker that chooses a checkpoint which was added as its visitor's own.

    Their other checkpoints stay among the choices; no other visitor is offered any of them.
    """
    owner = handle.models.visitor_of(handle.demo, checkpoint.name)
    return gr.update(choices=translated_choices(handle, owner), value=checkpoint.name)
