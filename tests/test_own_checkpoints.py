"""A folder that a visitor trained, in its demo's picker: `demo-app run --checkpoint DEMO=FOLDER`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_cli import demo_app

from demo_app.plugins import load_plugins
from demo_app.settings import Settings, SettingsError, parse_checkpoints
from demo_app.testing import wire

READER = """
from pathlib import Path
import gradio as gr
from demo_app import Checkpoint, Demo, hookimpl

FOLDER = Path(__file__).parent / "weights" / "theirs"

def load(folder, device):
    return (folder / "words.txt").read_text()

def build(handle):
    out = gr.Textbox(label="words")
    checkpoint = handle.picker()

    def say(name):
        with handle.use(name) as words:
            return words

    gr.Button("say").click(say, checkpoint, out, api_name="say")

@hookimpl
def register_demos():
    theirs = Checkpoint(name="theirs", title="Theirs", folder=FOLDER, files=("words.txt",))
    yield Demo(name="reader", title="Reader", summary="reads", load=load, build=build, checkpoints=(theirs,))
"""


@pytest.fixture
def reader(plugins: Any, tmp_path: Path) -> Path:
    """A plugin whose model is a text, and a folder of one's own for it."""
    plugins.add("reader", READER)
    for folder, text in (
        (next(plugins.path.rglob("*.py")).parent / "weights" / "theirs", "as published"),
        (tmp_path / "mine", "as I taught it"),
    ):
        folder.mkdir(parents=True)
        (folder / "words.txt").write_text(text)
    return tmp_path / "mine"


def test_own_checkpoint_is_offered_beside_the_plugins_and_answers(reader: Path, host: Callable[..., Any]) -> None:
    server = host(checkpoints=(("reader", reader),))
    assert wire.call(server.url, "reader_say", "mine") == ("complete", ["as I taught it"])
    assert wire.call(server.url, "reader_say", "theirs") == ("complete", ["as published"])


def test_the_variable_and_the_option_read_the_same(tmp_path: Path) -> None:
    pairs = (("a", tmp_path / "x"), ("b", tmp_path / "y"))
    text = ", ".join(f"{demo}={folder}" for demo, folder in pairs)
    assert Settings.from_env({"DEMO_APP_CHECKPOINTS": text}).checkpoints == pairs


@pytest.mark.parametrize("text", ["reader", "=folder", "reader="])
def test_a_half_of_a_pair_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError, match="DEMO=FOLDER"):
        parse_checkpoints(text)


@pytest.mark.parametrize(
    ("demo", "folder", "reason"),
    [
        ("raeder", "mine", "the demos are: reader"),
        ("reader", "nowhere", "is no folder"),
        ("reader", "theirs", "theirs"),
    ],
)
def test_what_cannot_be_offered_stops_the_start(
    plugins: Any, reader: Path, demo: str, folder: str, reason: str
) -> None:
    (reader.parent / "theirs").mkdir()
    (reader.parent / "theirs" / "words.txt").write_text("a name that the demo has")
    settings = Settings(plugins_dir=plugins.path, checkpoints=((demo, reader.parent / folder),))
    with pytest.raises(SettingsError, match=reason):
        load_plugins(settings)


def test_the_command_line_refuses_what_is_no_pair() -> None:
    done = demo_app("run", "--checkpoint", "reader")
    assert (done.returncode, "DEMO=FOLDER" in done.stderr) == (2, True)
