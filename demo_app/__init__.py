"""A Gradio host for model demos. Importing it imports neither gradio nor torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from demo_app.api import Checkpoint, Comparison, Demo, ModelHandle
from demo_app.errors import DemoError, InputError
from demo_app.hookspecs import hookimpl
from demo_app.version import __version__

if TYPE_CHECKING:
    from demo_app.page.app import App
    from demo_app.settings import Settings

__all__ = [
    "Checkpoint",
    "Comparison",
    "Demo",
    "DemoError",
    "InputError",
    "ModelHandle",
    "__version__",
    "create_app",
    "hookimpl",
    "run",
]


def create_app(settings: Settings | None = None, **defaults: Any) -> App:
    """Build the page with all its plugins, without serving it.

    Keywords are fields of `demo_app.settings.Settings`; a `DEMO_APP_*` variable wins over them. Pass `settings`
    instead to decide everything.
    """
    settings = _prepare(settings, defaults)
    from demo_app.environment import direct

    with direct():
        from demo_app.page import app

    return app.create_app(settings)


def run(settings: Settings | None = None, **defaults: Any) -> None:
    """Build the page and serve it until SIGTERM. Takes the same arguments as `create_app`.

    A setting or a variable that cannot be served ends the process with status 2 and one sentence.
    """
    from demo_app.environment import direct
    from demo_app.errors import SettingsError

    try:
        settings = _prepare(settings, defaults)
        from demo_app.serving import address

        address.resolve(settings)  # before gradio is imported, which takes seconds
        with direct():
            from demo_app.serving import server

        server.run(settings)
    except SettingsError as error:
        sys.stderr.write(f"demo-app: {error}\n")
        raise SystemExit(2) from None


def _prepare(settings: Settings | None, defaults: dict[str, Any]) -> Settings:
    """Return the settings, after setting the environment variables that gradio and torch read on import."""
    from demo_app import environment
    from demo_app.machine import prepare_environment
    from demo_app.settings import Settings

    environment.prepare()
    settings = settings or Settings.from_env(defaults=defaults)
    prepare_environment(settings.threads)
    return settings
