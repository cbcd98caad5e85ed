"""The models of one demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from demo_app.api import Demo
from demo_app.hub import files
from demo_app.models.cache import M, Models
from demo_app.models.checkpoints import FOLDER, label_of, where
from demo_app.models.lease import Lease
from demo_app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DemoModels(Generic[M]):
    """`Models` as one demo sees it."""

    demo: Demo[M]
    models: Models

    @property
    def settings(self) -> Settings:
        """The host's settings."""
        return self.models.settings

    def use(self, name: str | None = None) -> Lease[M]:
        """Lease the model of the checkpoint `name`; see `Models.use`. Raises `DemoError` inside `build`."""
        return Lease(self.models.use(self.demo, name), self.demo.name)

    def folder(self, name: str) -> Path | None:
        """The folder of the checkpoint's files; `None` while they are only on the Hub. Loads and fetches nothing."""
        if name == FOLDER:  # the picker's last choice, before a folder is named
            return None
        checkpoint = self.models.checkpoint(self.demo, name)
        return files.locate(checkpoint) if checkpoint is not None else None

    def choices(self, visitor: str | None = None) -> list[tuple[str, str]]:
        """(label, name) of each checkpoint, then of the visitor's own.

        The label has the size, the licence and where the files are, in the language of the visitor whose event is
        being handled.
        """
        own = self.models.own(self.demo, visitor) if visitor is not None else []
        return [
            *((label_of(checkpoint, where(checkpoint)), checkpoint.name) for checkpoint in self.demo.checkpoints),
            *((label_of(checkpoint, "your own"), checkpoint.name) for checkpoint in own),
        ]
