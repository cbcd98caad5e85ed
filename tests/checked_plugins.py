"""A correct plugin, to be broken in one place, and the problems that `demo-app check` then finds."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from plugins_on_disk import Plugins

from demo_app.checking.plugin import check_demo
from demo_app.settings import Settings

HEAD = """
from pathlib import Path
import demo_app
from demo_app import Checkpoint, Demo, InputError, hookimpl

def load(folder, device):
    return str.upper

def build(handle):
    import gradio as gr

    def shout(text):
        "Say it louder. Args: text: any. Returns: the same in capitals."
        with handle.use() as upper:
            return upper(text)

    box, out = gr.Textbox(label="Text"), gr.Textbox(label="Louder")
    gr.Button("Shout").click(shout, box, out, api_name="shout")
"""
HOOK = """
@hookimpl
def register_demos():
    return [Demo(name="wrong", title="Wrong", summary="S.", load=load, build=build, checkpoints=CHECKPOINTS)]
CHECKPOINTS = ()
"""
PIN = f'repo_id="some/model", revision="{"0" * 40}"'


def problems(plugins: Plugins, code: str, *, load: bool = False, **how: Any) -> list[str]:
    """The problems of a plugin whose module is that code, between a correct head and a correct hook."""
    folder = plugins.add("wrong", HEAD + textwrap.dedent(code) + HOOK, **how)
    return problems_in(folder, load=load)


def problems_in(folder: Path, *, load: bool = False, plugins_dir: Path | None = None) -> list[str]:
    report = check_demo(folder, settings=Settings(plugins_dir=plugins_dir), load=load)
    for problem in report.problems:  # each says how to fix it
        assert problem.fix or "; " in problem.what, problem
    return [str(problem) for problem in report.problems]


def assert_only(found: list[str], *expected: str) -> None:
    """Each of the words is in one problem, and there are no others."""
    left = list(found)
    for words in expected:
        hit = next((text for text in left if words in text), None)
        assert hit is not None, (words, found)
        left.remove(hit)
    assert left == []
