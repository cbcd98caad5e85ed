"""Text classifier: a Transformer encoder that names a sentence's sentiment or emotion, and shows why.

Registration only: gradio and torch are imported when the tab is built and when a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import demo_app
from demo_app_text_classifier.checkpoints import CHECKPOINTS
from demo_app_text_classifier.selfcheck import selfcheck
from demo_app_text_classifier.zh_cn import ZH_CN

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app.finetune.tuner import Tuner
    from demo_app_text_classifier.classifier import Classifier


def load(folder: Path | None, device: str) -> Classifier:
    from demo_app_text_classifier.classifier import Classifier

    if folder is None:
        raise demo_app.DemoError("The text classifier needs a checkpoint; choose one in the picker.")
    return Classifier.load(folder, device)


def build(handle: ModelHandle[Any]) -> None:
    from demo_app_text_classifier.tab import build

    build(handle)


def load_tuner() -> Tuner[Classifier]:
    from demo_app_text_classifier.tuner import TextTuner

    return TextTuner()


@demo_app.hookimpl
def register_demos() -> list[demo_app.Demo[Any]]:
    return [
        demo_app.Demo(
            name="text_classifier",
            title="Text classifier",
            summary="A Transformer encoder reads a sentence, names its sentiment or emotion, and shows why.",
            load=load,
            build=build,
            checkpoints=CHECKPOINTS,
            order=10,
            selfcheck=selfcheck,
            tuner=load_tuner,
            translations={"zh-CN": ZH_CN},
        )
    ]
