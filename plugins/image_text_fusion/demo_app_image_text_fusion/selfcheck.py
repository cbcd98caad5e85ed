"""Known answers beside the answers of the models here, for `demo-app selfcheck`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demo_app import Checkpoint, Comparison

if TYPE_CHECKING:
    from demo_app_image_text_fusion.answerer import Answerer


def selfcheck(answerer: Answerer, checkpoint: Checkpoint) -> Iterator[Comparison]:
    """Questions on scenes, whose answers are known. The package has no pictures for the published networks."""
    if checkpoint.name != "scenes":
        return
    import numpy as np
    from PIL import Image

    from demo_app_image_text_fusion.scenes import draw, examples

    for scene, question in examples(5, 4):
        scores = answerer.ask(Image.fromarray(draw(scene)), [question.text])[0]
        yield Comparison(
            what=question.text,
            source="the scene",
            expected=question.answer,
            found=answerer.labels[int(np.argmax(scores.numpy()))],
        )
