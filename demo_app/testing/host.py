"""A host with one plugin, running in this process."""

from __future__ import annotations

import filecmp
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.checking.probe import installed_copy
from demo_app.registry.discovery import plugins_in
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.serving.local import serve

if TYPE_CHECKING:
    from gradio_client import Client

    from demo_app.page.tabs import Tab
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
        """The demo that the plugin registered; the first, if it has several."""
        assert self._tab.demo is not None
        return self._tab.demo

    @property
    def actions(self) -> list[str]:
        """The names of the demo's public actions, sorted: those of the plugin, without the host's own."""
        from demo_app.gradio_internals import listeners
        from demo_app.page.tabs import of_the_host

        assert self._tab.blocks is not None
        own = [one for one in listeners(self._tab.blocks) if one.public and not of_the_host(one.handler)]
        return sorted(str(one.api_name).removeprefix(f"{self.demo.name}_") for one in own)

    @property
    def _tab(self) -> Tab:
        return next(tab for tab in self.server.app.tabs if tab.demo is not None)

    @cached_property
    def client(self) -> Client:
        """A `gradio_client.Client` that is connected to it; one session for as long as the host runs."""
        return self.connect()

    def connect(self) -> Client:
        """Another client, with a session of its own: another visitor."""
        from gradio_client import Client

        return Client(self.url, verbose=False)

    def call(self, action: str, *arguments: Any, **keywords: Any) -> Any:
        """Call an action in the session of `client`. `action` is the `api_name` that the plugin gave it.

        If the plugin has several demos, it is an action of the first.
        """
        return self.client.predict(*arguments, api_name=f"/{self.demo.name}_{action}", **keywords)

    def refusal(self, action: str, *arguments: Any, **keywords: Any) -> str:
        """Call an action that must fail. Returns its sentence for visitors; raises `AssertionError` if it answers."""
        from gradio_client.exceptions import AppError

        try:
            answer = self.call(action, *arguments, **keywords)
        except AppError as error:
            return str(error)
        raise AssertionError(f"{action} answers {answer!r}")


def scores(label: Mapping[str, Any]) -> dict[str, float]:
    """What an action returned for a `gr.Label`, as probabilities by label.

    >>> scores({"label": "cat", "confidences": [{"label": "cat", "confidence": 0.75}]})
    {'cat': 0.75}
    """
    return {entry["label"]: entry["confidence"] for entry in label["confidences"]}


def _check_installed_copy(plugin: Plugin) -> None:
    """Raise `PluginError` if an installed copy would be served instead of the folder, and is not the same."""
    copy, module = installed_copy(plugin), plugin.value.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(module) if copy is not None and copy.path != plugin.path else None
    if copy is None or spec is None or not spec.origin or plugin.path is None:
        return
    root = plugin.path / "src" if (plugin.path / "src").is_dir() else plugin.path
    there = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
    here = root / (module if spec.submodule_search_locations else there.name)
    files = sorted(here.rglob("*")) if here.is_dir() else [here]
    for file in files:
        other = there / file.relative_to(here) if here.is_dir() else there
        written = "__pycache__" in file.parts or file.name.startswith(".") or not file.is_file()
        if not written and not (other.is_file() and filecmp.cmp(file, other, shallow=False)):
            text = (
                "{copy} is installed and would be served instead of {folder}, and its {file} is another; run: "
                "pip install -e {folder}"
            )
            name = file.relative_to(root).as_posix()
            raise PluginError("discovery", text, copy=copy.provider, folder=str(plugin.path), file=name)


@contextmanager
def serve_plugin(folder: Path, **overrides: Any) -> Iterator[DemoHost]:
    """Run the host with the plugin in that folder alone; keywords are fields of `Settings`.

    Raises `PluginError` if there is no plugin, if it fails, or if a copy is installed that differs from the folder, for
    an installed plugin wins.
    """
    names = tuple(plugin.name for plugin in plugins_in(folder))
    for plugin in plugins_in(folder):
        _check_installed_copy(plugin)
    if not names:
        raise PluginError("discovery", f"{folder} has no plugin; name the folder that has its pyproject.toml.")
    chosen: dict[str, Any] = {"plugins_dir": folder, "only": names, "strict": True}
    with serve(**(chosen | overrides)) as server:
        yield DemoHost(server)
