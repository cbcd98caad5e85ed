"""Tiny real plugins on disk, each written as a third party would."""

from __future__ import annotations

import textwrap
from pathlib import Path

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
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text(
            textwrap.dedent(f"""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "demo-{name.replace("_", "-")}"
            version = "0.1.0"
            requires-python = ">=3.11"
            license = "MIT"
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
