"""The host, running in this process: with any plugins, or with one alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.registry.discovery import plugins_in
from demo_app.registry.plugin import PluginError
from demo_app.serving.local import serve

if TYPE_CHECKING:
    from gradio_client import Client

    from demo_app.serving.server import Server


@dataclass(frozen=True)
class DemoHost:
    """A running host with one plugin."""

    server: Server

    @property
    def url(self) -> str:
        """Its address, with a slash at the end."""
        return self.server.url

    @property
    def demo(self) -> Demo[Any]:
        """What the plugin registered; the first, if it has several."""
        return next(tab.demo for tab in self.server.app.tabs if tab.demo is not None)

    @cached_property
    def client(self) -> Client:
        """A `gradio_client.Client` that is connected to it; one session for as long as the host runs."""
        return self.connect()

    def connect(self) -> Client:
        """Another client, with a session of its own: another visitor."""
        from gradio_client import Client

        return Client(self.url, verbose=False)

    def call(self, action: str, *arguments: Any, **keywords: Any) -> Any:
        """What an action returns, by the `api_name` that the plugin gave it; of its first demo, if it has several."""
        return self.client.predict(*arguments, api_name=f"/{self.demo.name}_{action}", **keywords)


@contextmanager
def serve_plugin(folder: Path, **overrides: Any) -> Iterator[DemoHost]:
    """The host with the plugin in that folder alone. Raises `PluginError` for one that fails."""
    names = tuple(plugin.name for plugin in plugins_in(folder))
    if not names:
        raise PluginError("discovery", f"{folder} has no plugin; name the folder that has its pyproject.toml.")
    chosen: dict[str, Any] = {"plugins_dir": folder, "only": names, "strict": True}
    with serve(**(chosen | overrides)) as server:
        yield DemoHost(server)
