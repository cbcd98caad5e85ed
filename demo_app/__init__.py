"""A Gradio host for model demos. Importing it imports neither gradio nor torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo_app.api import Checkpoint, Demo, DemoError, InputError
from demo_app.hookspecs import hookimpl

if TYPE_CHECKING:
    from demo_app.ui import create_app as create_app

__version__ = "0.1.0"
__all__ = ["Checkpoint", "Demo", "DemoError", "InputError", "__version__", "create_app", "hookimpl"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from demo_app.ui import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
