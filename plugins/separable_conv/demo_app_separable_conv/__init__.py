"""Separable convolution: what is in a picture, and what the split of a convolution saves.

Registration only: gradio and torch are imported when the tab is built and when a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo_app
from demo_app_separable_conv.checkpoints import CHECKPOINTS
from demo_app_separable_conv.selfcheck import selfcheck
from demo_app_separable_conv.zh_cn import ZH_CN

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app.finetune.tuner import Tuner
    from demo_app_separable_conv.classifier import Classifier


def load(folder: Path | None, device: str) -> Classifier:
    from demo_app_separable_conv.classifier import Classifier

    if folder is None:
        raise demo_app.DemoError("The picture classifier needs a checkpoint; choose one in the picker.")
    return Classifier.load(folder, device)


def build(handle: ModelHandle[Any]) -> None:
    from demo_app_separable_conv.tab import build

    build(handle)


def load_tuner() -> Tuner[Classifier]:
    from demo_app_separable_conv.tuner import PictureTuner

    return PictureTuner()


@demo_app.hookimpl
def register_demos() -> list[demo_app.Demo[Any]]:
    return [
        demo_app.Demo(
            name="separable_conv",
            title="Picture classifier",
            summary="Depthwise-separable convolutions name what is in a picture, and show what the split saves.",
            load=load,
            build=build,
            checkpoints=CHECKPOINTS,
            order=40,
            selfcheck=selfcheck,
            tuner=load_tuner,
            translations={"zh-CN": ZH_CN},
        )
    ]
