"""Translator: an encoder reads a sentence, a decoder writes its translation and shows where it looks.

Registration only: gradio and torch are imported when the tab is built and when a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo_app
from demo_app_translator.checkpoints import CHECKPOINTS
from demo_app_translator.selfcheck import selfcheck
from demo_app_translator.zh_cn import ZH_CN

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_translator.translator import Translator


def load(folder: Path | None, device: str) -> Translator:
    from demo_app_translator.translator import Translator

    if folder is None:
        raise demo_app.DemoError("The translator needs a checkpoint; choose one in the picker.")
    return Translator.load(folder, device)


def build(handle: ModelHandle[Any]) -> None:
    from demo_app_translator.tab import build

    build(handle)


@demo_app.hookimpl
def register_demos() -> list[demo_app.Demo[Any]]:
    return [
        demo_app.Demo(
            name="translator",
            title="Translator",
            summary="An encoder reads a sentence, a decoder writes its translation: see where it looks and what else "
            "it considers.",
            load=load,
            build=build,
            checkpoints=CHECKPOINTS,
            order=50,
            selfcheck=selfcheck,
            translations={"zh-CN": ZH_CN},
        )
    ]
