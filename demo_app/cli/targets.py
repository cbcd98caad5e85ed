"""DEMO and DEMO/CHECKPOINT on a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from demo_app.api import Checkpoint, Demo
from demo_app.registry.loading import find_demo, load_plugins
from demo_app.settings import Settings


def wanted(targets: Sequence[str], settings: Settings) -> list[tuple[Demo[Any], Checkpoint]]:
    """The checkpoints that are named as DEMO or DEMO/CHECKPOINT; all of them if none is named."""
    plugins = load_plugins(settings)
    found: list[tuple[Demo[Any], Checkpoint]] = []
    for target in targets or [demo.name for plugin in plugins for demo in plugin.demos]:
        name, _, one = target.partition("/")
        _, demo = find_demo(plugins, name)
        chosen = demo.checkpoint(one) if one else None
        found += [(demo, checkpoint) for checkpoint in ([chosen] if chosen else demo.checkpoints)]
    return found
