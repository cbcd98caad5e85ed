"""A Gradio host for model demos. Importing it imports neither gradio nor torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo_app.api import Checkpoint, Comparison, Demo
from demo_app.errors import DemoError, InputError
from demo_app.hookspecs import hookimpl
from demo_app.version import __version__

if TYPE_CHECKING:
    from demo_app.page.app import App

__all__ = [
    "Checkpoint",
    "Comparison",
    "Demo",
    "DemoError",
    "InputError",
    "__version__",
    "create_app",
    "hookimpl",
    "run",
]


def create_app(**overrides: Any) -> App:
    """The page with all its plugins, not served yet. Keywords are fields of `demo_app.settings.Settings`."""
    settings = _prepare(overrides)
    from demo_app.page import app

    return app.create_app(settings)


def run(**overrides: Any) -> None:
    """Build the page and serve it until SIGTERM. Keywords are fields of `demo_app.settings.Settings`."""
    settings = _prepare(overrides)
    from demo_app.serving import server

    server.run(settings)


def _prepare(overrides: dict[str, Any]) -> Any:
    """Settings, with the environment set that gradio and torch read when they are imported, which is next."""
    from demo_app.machine import prepare_environment
    from demo_app.settings import Settings

    settings = Settings.from_env(**overrides)
    prepare_environment(settings.threads)
    return settings
