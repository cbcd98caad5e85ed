"""The checkpoint picker of a tab: a dropdown, a panel that fetches from the Hub, and one that takes a folder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo_app.models.checkpoints import default_checkpoint
from demo_app.models.demo_models import DemoModels
from demo_app.page.choices import english_choices, takes_folders
from demo_app.page.fetch_panel import FetchPanel
from demo_app.page.folder_panel import FolderPanel


def build(handle: DemoModels[Any], **kwargs: Any) -> gr.Dropdown:
    """The dropdown and the panels below it, of which at most one is visible. `kwargs` are those of the dropdown."""
    default = default_checkpoint(handle.demo)
    value = default.name if default else None
    options = {"label": "Checkpoint", "value": value, "elem_classes": "demo-picker"} | kwargs
    dropdown = gr.Dropdown(choices=english_choices(handle, None), **options)
    if any(checkpoint.on_hub for checkpoint in handle.demo.checkpoints):
        FetchPanel(handle, dropdown)
    if takes_folders(handle):
        FolderPanel(handle, dropdown)
    return dropdown
