"""The one hook. A plugin is a module with a `register_demos` marked `@demo_app.hookimpl`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from demo_app.api import Demo

PROJECT = "demo_app"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_demos() -> Iterable[Demo[Any]]:  # type: ignore[empty-body]
    """Return (or yield) this plugin's demos. Called once, at start.

    @demo_app.hookimpl
    def register_demos():
        return [Demo(name="echo", title="Echo", summary="Says it again.", load=load, build=build)]
    """
