"""Text generator: a decoder-only Transformer writes token by token, and a visitor can step through its loop.

Registration only: gradio is imported when the tab is built, torch when a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo_app
from demo_app_decoder_generator.checkpoints import CHECKPOINTS
from demo_app_decoder_generator.selfcheck import selfcheck
from demo_app_decoder_generator.zh_cn import ZH_CN

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_decoder_generator.writer import Writer


def load(folder: Path | None, device: str) -> Writer:
    from demo_app_decoder_generator.writer import Writer

    if folder is None:
        raise demo_app.DemoError("The generator needs a checkpoint; choose one in the picker.")
    return Writer.load(folder, device)


def build(handle: ModelHandle[Any]) -> None:
    from demo_app_decoder_generator.tab import build

    build(handle)


@demo_app.hookimpl
def register_demos() -> list[demo_app.Demo[Any]]:
    return [
        demo_app.Demo(
            name="decoder_generator",
            title="Text generator",
            summary="A decoder-only Transformer writes token by token, and lets you stand inside the loop.",
            load=load,
            build=build,
            checkpoints=CHECKPOINTS,
            order=20,
            selfcheck=selfcheck,
            translations={"zh-CN": ZH_CN},
        )
    ]
