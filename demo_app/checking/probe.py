"""Importing a plugin in a process of its own: what that brings in and prints, and which demos it has.

The plugin that is checked is imported so, since only a fresh interpreter shows what an import brings in; and its
neighbours, one process each, since what they do while they are imported is not its fault.
"""

from __future__ import annotations

import builtins
import functools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
from packaging.utils import canonicalize_name

from demo_app import hookspecs
from demo_app.checking import child
from demo_app.checking.report import owner
from demo_app.registry import discovery, loading
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.settings import Settings

HEAVY = ("torch", "gradio", "transformers", "torchvision", "tensorflow", "jax")
NEIGHBOUR_SECONDS = 20.0  # for the import of another plugin


@dataclass
class Seen:
    """What importing a plugin did."""

    heavy: list[tuple[str, str]] = field(default_factory=list)  # module, file:line of the plugin that imports it
    printed: str = ""
    demos: tuple[str, ...] = ()  # names, if they were asked for and the plugin loads
    died: str = ""  # "did not end within 60 s", "ended the process with exit code 0"; "" if it came to its end
    where: str = ""  # " (at file:line)" of that, if known


def probe(plugin: Plugin, *, demos: bool = False, seconds: float) -> Seen:
    """Import the plugin in a process of its own; with `demos` its hook is called too."""
    seen = Seen()

    def hear(heavy: Any = (), printed: str = "", names: Any = ()) -> None:
        seen.heavy = [(module, where) for module, where in heavy]
        seen.printed, seen.demos = printed, tuple(names)

    task = (plugin, demos)
    seen.died, seen.where = child.run(f"{__name__}:look", task, hear, seconds=seconds, own=owner(plugin))
    return seen


@functools.cache
def seen_of(neighbour: Plugin) -> Seen:
    """What importing a neighbour does, and the names of its demos; each is asked once."""
    return probe(neighbour, demos=True, seconds=NEIGHBOUR_SECONDS)


def look(task: tuple[Plugin, bool], tell: child.Tell) -> None:
    """In the child: import the plugin and tell what was seen."""
    plugin, demos = task
    logging.disable(logging.CRITICAL)
    heavy = _watch_imports(owner(plugin))
    sys.stdout = printed = _Printed()
    names: list[str] = []
    put_first(plugin)
    tell()
    try:
        module = loading.import_plugin(plugin)
        if demos:
            manager = pluggy.PluginManager(hookspecs.PROJECT)
            manager.add_hookspecs(hookspecs)
            names = [demo.name for demo in loading.call_hook(plugin, module, manager)]
    except PluginError:
        pass  # the check itself says why
    tell(heavy=list(heavy.items()), printed=printed.text[:200], names=names)


def installed_copy(plugin: Plugin) -> Plugin | None:
    """The installed plugin that wins over this folder on a page, if there is one."""
    name = canonicalize_name(plugin.distribution)
    known = discovery.find_plugins(Settings()) if plugin.source == "folder" else []
    return next((p for p in known if canonicalize_name(p.distribution) == name and p.source != "folder"), None)


def put_first(plugin: Plugin) -> None:
    """Have the modules of a folder imported from it, even if a copy of the plugin is installed."""
    if plugin.path is not None and installed_copy(plugin) is not None:
        root = plugin.path / "src" if (plugin.path / "src").is_dir() else plugin.path
        sys.path.insert(0, str(root))


class _Printed:
    """A stdout that keeps what is printed. It cannot be closed."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def _watch_imports(own: Callable[[Path], bool]) -> dict[str, str]:
    """A dict that is filled with each of `HEAVY` that is imported from now on: where in the plugin's own code.

    The line is the plugin's, even if it imports something that imports torch.
    """
    found: dict[str, str] = {}
    before, real = set(sys.modules), builtins.__import__

    def watch(name: str, *args: Any, **kwargs: Any) -> Any:
        top = name.partition(".")[0]
        if top in HEAVY and top not in found and top not in before:
            frame = first = sys._getframe(1)
            while frame is not None and not own(Path(frame.f_code.co_filename)):
                frame = frame.f_back  # type: ignore[assignment]
            frame = frame or first
            found[top] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        return real(name, *args, **kwargs)

    builtins.__import__ = watch
    return found
