"""What a demo's `build` gets: `demo_app.ModelHandle`, made of the demo's models and the page that is being built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import on_page_load
from demo_app.models.cache import M
from demo_app.models.demo_models import DemoModels
from demo_app.page import picker as checkpoint_picker
from demo_app.page.finetune_tab import tab as finetune_tab


@dataclass(frozen=True, kw_only=True)
class Handle(DemoModels[M]):
    """A demo's access to its models and to the page. Implements `demo_app.ModelHandle`, which documents it."""

    trainings: Trainings

    def picker(self, **kwargs: Any) -> gr.Dropdown:
        return checkpoint_picker.build(self, **kwargs)

    def on_open(self, fn: Callable[..., Any], inputs: Any = None, outputs: Any = None, **kwargs: Any) -> None:
        options: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        on_page_load(fn, inputs, outputs, **options | kwargs)

    def finetune(self, picker: gr.Dropdown, reads: Sequence[str]) -> None:
        finetune_tab.build(self, self.trainings, picker, reads)
