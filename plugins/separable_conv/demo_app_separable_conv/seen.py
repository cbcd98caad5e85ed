"""A picture and the answer to it, as a visitor's session keeps them. Imports no torch."""

# L labels, P and S pixels of a side

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo_app import InputError
from demo_app.api import display_name

Array = NDArray[np.float32]

SHOWN = 384  # pixels of a side at which a picture is shown


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture and the answer to it."""

    checkpoint: str
    labels: tuple[str, ...]
    probabilities: Array  # (L,)
    pixels: NDArray[np.uint8]  # (S, S, 3), what the network saw
    picture: NDArray[np.uint8]  # the same part of the decoded picture, (P, P, 3)
    parameters: int
    milliseconds: float  # of the forward pass

    @property
    def answer(self) -> str:
        return self.labels[int(self.probabilities.argmax())]

    def best(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest labels with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order.tolist()]

    def shown(self) -> Seen:
        """A copy whose picture has the size at which it is shown."""
        if self.picture.shape[0] == SHOWN:
            return self
        picture = Image.fromarray(self.picture).resize((SHOWN, SHOWN), Image.Resampling.BICUBIC)
        return replace(self, picture=np.asarray(picture))

    def place(self, label: str) -> int:
        """The index of a label among the logits. Raises `InputError` for an unknown one."""
        if label not in self.labels:
            raise InputError(
                "{name} has no label {label}; choose one from the list.",
                name=display_name(self.checkpoint),
                label=repr(str(label)[:40]),
            )
        return self.labels.index(label)
