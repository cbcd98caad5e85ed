"""Picture and question in one Transformer: questions about pictures, answered by one encoder that reads both.

Registration only: gradio and torch are imported when the tab is built and when a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo_app
from demo_app_image_text_fusion.checkpoints import CHECKPOINTS
from demo_app_image_text_fusion.selfcheck import selfcheck
from demo_app_image_text_fusion.zh_cn import ZH_CN

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app.finetune.tuner import Tuner
    from demo_app_image_text_fusion.answerer import Answerer


def load(folder: Path | None, device: str) -> Answerer:
    from demo_app_image_text_fusion.answerer import Answerer

    if folder is None:
        raise demo_app.DemoError("Questions about pictures need a checkpoint; choose one in the picker.")
    return Answerer.load(folder, device)


def build(handle: ModelHandle[Any]) -> None:
    from demo_app_image_text_fusion.tab import build

    build(handle)


def load_tuner() -> Tuner[Answerer]:
    from demo_app_image_text_fusion.tuner import PairTuner

    return PairTuner()


@demo_app.hookimpl
def register_demos() -> list[demo_app.Demo[Any]]:
    return [
        demo_app.Demo(
            name="image_text_fusion",
            title="Picture and question",
            summary="One Transformer reads picture and question together, and shows which word looks at which patch.",
            load=load,
            build=build,
            checkpoints=CHECKPOINTS,
            order=30,
            selfcheck=selfcheck,
            tuner=load_tuner,
            translations={"zh-CN": ZH_CN},
        )
    ]
