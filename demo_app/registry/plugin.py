"""A plugin, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from demo_app.api import Demo
from demo_app.errors import DemoError
from demo_app.i18n import say

log = logging.getLogger(__name__)

GROUP = "demo_app"  # of entry points
Stage = Literal["discovery", "import", "hook", "names", "build"]


class PluginError(DemoError):
    """What is wrong with a plugin, in one sentence that ends in what to do. `stage` is where it was found."""

    def __init__(self, stage: Stage, text: str, /, **values: Any) -> None:
        super().__init__(text, **values)
        self.stage = stage


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One `demo_app` entry point and what became of it."""

    name: str  # of the entry point
    value: str  # the module it names
    distribution: str
    version: str
    source: Literal["installed", "editable", "folder"]
    path: Path | None = None  # the plugin's folder, if it is installed from one or lies in the plugins folder
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    state: Literal["found", "ok", "failed", "disabled"] = "found"
    stage: Stage | None = None  # where it failed
    note: DemoError | None = None  # why it failed, or a remark on one that did not; without traceback
    changes: tuple[tuple[str, str], ...] = ()  # (what ran, calls that changed what all plugins share): put back
    import_ms: float = 0.0
    demos: tuple[Demo[Any], ...] = ()

    @property
    def reason(self) -> str:
        """The note in the language of the visitor whose event is being handled, then what the plugin changed.

        Empty without either.
        """
        notes = [say(self.note.text, **self.note.values)] if self.note is not None else []
        for what, calls in self.changes:
            notes.append(say("{what} changed {calls}, which the host put back.", what=what, calls=calls))
        return " ".join(notes)

    @property
    def provider(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def origin(self) -> str:
        """Where it comes from, for messages: "installed", "folder echo/"."""
        return self.source if self.path is None else f"{self.source} {self.path.name}/"

    def changed(self, what: str, calls: Iterable[str]) -> Plugin:
        """The plugin, marked as one that changed what all plugins share; itself if there are no calls."""
        listed = ", ".join(calls)
        return replace(self, changes=(*self.changes, (what, listed))) if listed else self

    def failed(self, stage: Stage, reason: DemoError | str) -> Plugin:
        """The plugin without its demos, marked as failed at that stage, which is logged."""
        log.error("plugin %s (%s, %s) failed at %s: %s", self.name, self.provider, self.origin, stage, reason)
        note = reason.sentence() if isinstance(reason, DemoError) else DemoError(reason)
        return replace(self, state="failed", stage=stage, note=note, demos=())
