"""What the example pictures show beside the answers of the models here, for `demo-app selfcheck`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demo_app import Checkpoint, Comparison

if TYPE_CHECKING:
    from demo_app_separable_conv.classifier import Classifier

SHOWN = {"Cat": "cat", "Horse": "horse", "Lion": "lion", "Espresso": "espresso"}  # labels by the lesson's title


def selfcheck(classifier: Classifier, checkpoint: Checkpoint) -> Iterator[Comparison]:
    """A comparison for each example picture whose label the checkpoint has."""
    from demo_app.inputs.pictures import open_picture
    from demo_app_separable_conv.lessons import lessons

    for lesson in lessons():
        expected = SHOWN.get(lesson.title)
        if expected in classifier.labels:
            picture = open_picture(lesson.path, at_least=classifier.at_least)
            ((found, share),) = classifier.best([picture])
            yield Comparison(
                what=f"{lesson.path.name}, called so with {share:.0%}",
                source="what it shows",
                expected=str(expected),
                found=found,
            )
