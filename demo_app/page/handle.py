"""What a demo's `build` gets: the implementation of `demo_app.ModelHandle`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import on_page_load
from demo_app.models.cache import M
from demo_app.models.demo_models import DemoModels
from demo_app.page import choices
from demo_app.page import picker as checkpoint_picker
from demo_app.page.finetune_tab import tab as finetune_tab
from demo_app.page.visitors import visitor


@dataclass(frozen=True, kw_only=True)
class Handle(DemoModels[M]):
    """A demo's access to its models and to the page. Implements `demo_app.ModelHandle`, which documents it."""

    trainings: Trainings

    def picker(self, **kwargs: Any) -> gr.Dropdown:
        return checkpoint_picker.build(self, **kwargs)

    def add_own(self, folder: Path, title: str, request: gr.Request) -> Any:
        own = self.models.add_own(self.demo, folder, title=title, visitor=visitor(request))
        return choices.choose_own(self, own)

    def on_open(self, fn: Callable[..., Any], inputs: Any = None, outputs: Any = None, **kwargs: Any) -> None:
        options: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        on_page_load(fn, inputs, outputs, **options | kwargs)

    def finetune(self, picker: gr.Dropdown, reads: Sequence[str]) -> None:
        finetune_tab.build(self, self.trainings, picker, reads)
