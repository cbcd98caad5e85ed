"""Tiny real plugins on disk, and a host that serves them."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import hub, hub_cache  # noqa: F401

from demo_app.machine import prepare_environment

prepare_environment()
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")

ROOT = Path(__file__).parent.parent

GOOD = """
from demo_app import Demo, InputError, hookimpl

def load(folder, device):
    return str.upper

def build(handle):
    import gradio as gr

    def shout(text):
        "The text in capitals. Args: text: any. Returns: the same, louder."
        if not text.strip():
            raise InputError("Write something first.")
        if text == "boom":
            raise RuntimeError("the secret path /etc/shadow")
        with handle.use() as upper:
            return upper(text)

    box, out = gr.Textbox(label="Text"), gr.Textbox(label="Louder")
    gr.Button("Shout").click(shout, box, out, api_name="shout", queue=False)
    gr.Button("Shout in the queue").click(shout, box, out, api_name="shout_queued")

@hookimpl
def register_demos():
    return [Demo(name="{name}", title="{title}", summary="Says it louder.", load=load, build=build, order={order})]
"""


class Plugins:
    """A folder of plugins; each `add` writes a distribution as a third party would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, code: str, *, requires: tuple[str, ...] = ("demo-app",), module: str = "") -> Path:
        folder = self.path / name
        module = module or f"demo_{name}_{abs(hash(str(self.path))) % 10**8}"
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(
            textwrap.dedent(f"""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "demo-{name.replace("_", "-")}"
            version = "0.1.0"
            requires-python = ">=3.11"
            dependencies = {list(requires)!r}

            [project.entry-points.demo_app]
            {name} = "{module}"
            """)
        )
        (folder / f"{module}.py").write_text(textwrap.dedent(code))
        return folder

    def add_good(self, name: str = "good", *, order: int = 100, title: str = "") -> Path:
        code = GOOD.replace("{name}", name).replace("{title}", title or name.title()).replace("{order}", str(order))
        return self.add(name, code)


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    """An empty folder of plugins; what they put on `sys.path` is taken off again."""
    before = list(sys.path)
    yield Plugins(tmp_path / "plugins")
    sys.path[:] = before


@pytest.fixture
def host(plugins: Plugins) -> Iterator[Callable[..., Any]]:
    """Serve the folder of plugins: `host(max_text=100)` gives a running `Server`; closed after the test."""
    from contextlib import ExitStack

    from demo_app.testing import serve

    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serve(**({"plugins_dir": plugins.path} | settings)))
