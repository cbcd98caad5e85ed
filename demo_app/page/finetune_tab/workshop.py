"""What the actions of the tab share: the demo, its tuner, and the checkpoints that a training can start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_app.api import Checkpoint, Demo, display_name
from demo_app.errors import InputError
from demo_app.finetune.jobs import Trainings
from demo_app.models.cache import Models
from demo_app.models.checkpoints import FOLDER
from demo_app.models.demo_models import DemoModels
from demo_app.settings import Settings

FILES = {  # what a visitor uploads, by what the tuner reads
    ("text",): "A CSV with the columns text and label.",
    (
        "image",
    ): "A ZIP with a folder of pictures for each class; or pictures, and a CSV with the columns image and label.",
    ("image", "text"): "Pictures, one by one or in a ZIP, and a CSV with the columns image, text and label.",
}


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """A demo whose checkpoints can be fine-tuned.

    Raises `TypeError` for a demo without a tuner, `ValueError` for a `reads` that is not in `FILES`.
    """

    handle: DemoModels[Any]
    trainings: Trainings
    reads: tuple[str, ...]  # what an example consists of, beside its label

    def __post_init__(self) -> None:
        if self.demo.tuner is None:
            raise TypeError(f"The demo {self.demo.name!r} has no tuner, so it cannot be fine-tuned; give it one.")
        if self.reads not in FILES:
            raise ValueError(f"reads is {self.reads!r}; give one of: {', '.join(map(repr, FILES))}.")

    @property
    def demo(self) -> Demo[Any]:
        """The demo."""
        return self.handle.demo

    @property
    def models(self) -> Models:
        """The models of all demos."""
        return self.handle.models

    @property
    def settings(self) -> Settings:
        """The host's settings."""
        return self.handle.settings

    def tuner(self) -> Any:
        """The demo's tuner. Raises `TypeError` if it reads something else than the tab was built for."""
        assert self.demo.tuner is not None
        tuner = self.demo.tuner()
        if tuner.reads != self.reads:
            raise TypeError(f"the tab was built for {self.reads}, but the tuner reads {tuner.reads}")
        return tuner

    def bases(self, owner: str | None) -> list[tuple[str, str]]:
        """(label, name) of the checkpoints on this disk, which a training can start from; the owner's own too."""
        return [(label, name) for label, name in self.handle.choices(owner) if self.handle.folder(name) is not None]

    def base(self, name: str | None) -> tuple[Checkpoint, Path]:
        """The checkpoint of that name and its folder. Raises `DemoError` if it is not on this disk."""
        if not name or name == FOLDER:
            raise InputError("No checkpoint is chosen to begin with; choose one.")
        checkpoint, folder = self.models.checkpoint(self.demo, name), self.handle.folder(name)
        if checkpoint is None or folder is None:
            raise InputError(
                "{name} is not on this disk yet; fetch it with the picker above, or choose another.",
                name=display_name(str(name)),
            )
        return checkpoint, folder
