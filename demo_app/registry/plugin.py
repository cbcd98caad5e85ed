"""A plugin, and what became of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from demo_app.api import Demo

log = logging.getLogger(__name__)

GROUP = "demo_app"
Stage = Literal["discovery", "import", "hook", "names", "build"]


class PluginError(Exception):
    """What is wrong with a plugin, in one sentence that ends in what to do."""

    def __init__(self, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One `demo_app` entry point and what became of it."""

    name: str  # of the entry point
    value: str  # the module it names
    distribution: str
    version: str
    source: Literal["installed", "editable", "folder"]
    path: Path | None = None  # the plugin's folder, where it is one
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    state: Literal["found", "ok", "failed", "disabled"] = "found"
    stage: Stage | None = None  # where it failed
    reason: str = ""  # why it failed, or why an ok one deserves a word
    import_ms: float = 0.0
    demos: tuple[Demo[Any], ...] = ()

    @property
    def provider(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def origin(self) -> str:
        return self.source if self.path is None else f"{self.source} {self.path.name}/"

    def failed(self, stage: Stage, reason: str) -> Plugin:
        log.error("plugin %s (%s, %s) failed at %s: %s", self.name, self.provider, self.origin, stage, reason)
        return replace(self, state="failed", stage=stage, reason=reason, demos=())
