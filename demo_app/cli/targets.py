"""Targets on a command line: DEMO or DEMO/CHECKPOINT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from demo_app.api import Checkpoint, Demo
from demo_app.registry.loading import find_demo, load_plugins
from demo_app.settings import Settings


def find_checkpoints(targets: Sequence[str], settings: Settings) -> list[tuple[Demo[Any], Checkpoint]]:
    """The checkpoints that the targets name; every checkpoint of every demo if there are no targets.

    Raises `SettingsError` for an unknown demo or checkpoint.
    """
    plugins = load_plugins(settings)
    found: list[tuple[Demo[Any], Checkpoint]] = []
    for target in targets or [demo.name for plugin in plugins for demo in plugin.demos]:
        name, _, checkpoint_name = target.partition("/")
        _, demo = find_demo(plugins, name)
        chosen = demo.checkpoint(checkpoint_name) if checkpoint_name else None
        found += [(demo, checkpoint) for checkpoint in ([chosen] if chosen else demo.checkpoints)]
    return found
