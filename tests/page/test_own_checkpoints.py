"""A folder that somebody trained, in its demo's picker.

For all by `demo-app run --checkpoint DEMO=FOLDER`; for one visitor by the picker's last choice, or by an event.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from shell import demo_app

from demo_app.errors import SettingsError
from demo_app.registry.loading import load_plugins
from demo_app.serving import client
from demo_app.settings import Settings, parse_checkpoints

READER = """
from pathlib import Path
import gradio as gr
from demo_app import Checkpoint, Demo, DemoError, hookimpl

FOLDER = Path(__file__).parent / "weights" / "theirs"

def load(folder, device):
    words = (folder / "words.txt").read_text()
    if words.startswith("{"):
        raise KeyError("layers")
    if words.startswith("["):
        raise DemoError("words.txt is a list; fetch it again.")
    return words

def build(handle):
    out = gr.Textbox(label="words")
    checkpoint = handle.picker()

    def say(name):
        with handle.use(name) as words:
            return words

    def train(folder, request: gr.Request):
        return handle.add_own(Path(folder), "Mine", request)

    gr.Button("say").click(say, checkpoint, out, api_name="say")
    gr.Button("raw").click(say, checkpoint, out, api_name="raw", preprocess=False, queue=False)
    gr.Button("train").click(train, out, checkpoint, api_name="train", queue=False)

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
    assert client.call(server.url, "reader_say", "mine") == ("complete", ["as I taught it"])
    assert client.call(server.url, "reader_say", "theirs") == ("complete", ["as published"])


def test_the_variable_and_the_option_read_the_same(tmp_path: Path) -> None:
    pairs = (("a", tmp_path / "x"), ("b", tmp_path / "y"))
    text = ", ".join(f"{demo}={folder}" for demo, folder in pairs)
    assert Settings.from_env({"DEMO_APP_CHECKPOINTS": text}).checkpoints == pairs


@pytest.mark.parametrize("text", ["=folder", "reader="])
def test_a_half_of_a_pair_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError, match="DEMO=FOLDER"):
        parse_checkpoints(text)


@pytest.mark.parametrize(
    ("demo", "folder", "reason"),
    [
        ("raeder", "mine", "there are: reader"),
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
    done = demo_app("run", "--checkpoint", "reader=")
    assert (done.returncode, "DEMO=FOLDER" in done.stderr) == (2, True)


def test_a_folder_alone_goes_to_the_demo_on_its_card(plugins: Any, reader: Path) -> None:
    settings = Settings(plugins_dir=plugins.path, checkpoints=parse_checkpoints(str(reader)))
    for card in (None, "# mine", "---\nlicense: mit\n---\n", "---\n[\n---\n"):
        if card is not None:
            (reader / "README.md").write_text(card)
        with pytest.raises(SettingsError, match=r"no card in .* says which demo .*; write DEMO=FOLDER"):
            load_plugins(settings)
    (reader / "README.md").write_text("---\ndemo: raeder\n---\n")
    with pytest.raises(SettingsError, match="there are: reader"):
        load_plugins(settings)
    (reader / "README.md").write_text("---\ndemo: reader\n---\n")
    (demo,) = (demo for plugin in load_plugins(settings) for demo in plugin.demos)
    assert demo.checkpoints[-1].name == "mine"


def ask(url: str, action: str, *data: Any, session: str = "me") -> Any:
    """The first thing that an action returns, or the sentence by which it refuses."""
    outcome, said = client.call(url, f"reader_{action}", *data, session=session)
    return said[0] if outcome == "complete" else said["error"]


def labels(update: dict[str, Any]) -> list[str]:
    return [label for label, _ in update["choices"]]


def test_a_folder_becomes_a_choice_of_that_visitor_alone(reader: Path, host: Callable[..., Any]) -> None:
    url = host(public=False).url
    chosen = ask(url, "use_folder", f' "{reader}" ')
    assert labels(chosen) == [
        "Theirs (12 bytes, embedded)",
        "mine (14 bytes, your own)",
        "A folder of your own …",
    ]
    name = chosen["value"]
    assert [value for _, value in chosen["choices"]] == ["theirs", name, "+folder"]
    assert ask(url, "raw", name) == "as I taught it"
    assert ask(url, "say", name) == "as I taught it"
    assert "takes one of its choices" in ask(url, "say", name, session="a stranger")
    assert labels(ask(url, "use_folder", str(reader), session="a stranger")) == labels(chosen)
    other = name[:-1] + ("0" if name[-1] != "0" else "1")
    assert ask(url, "raw", other).startswith("Reader has no checkpoint of your own of that name")


def test_the_same_folder_again_is_read_anew(reader: Path, host: Callable[..., Any]) -> None:
    server = host(public=False)
    first = ask(server.url, "use_folder", str(reader))["value"]
    (reader / "words.txt").write_text("as I taught it later")
    again = ask(server.url, "use_folder", str(reader))
    assert len(again["choices"]) == 3
    assert ask(server.url, "raw", again["value"]) == "as I taught it later"
    assert "has no checkpoint" in ask(server.url, "raw", first)


def test_until_a_folder_is_named_the_last_choice_only_asks_for_one(reader: Path, host: Callable[..., Any]) -> None:
    assert "write its path below the picker" in ask(host(public=False).url, "raw", "+folder")


@pytest.mark.parametrize(
    ("path", "words", "reason"),
    [
        ("", None, "No path is written yet; write that of a folder which a training wrote."),
        ("nowhere", None, "There is no folder {path} on the computer that runs this page; check the path."),
        ("mine/words.txt", None, "{path} is a file; write the path of the folder that it lies in."),
        (
            "~nobody-of-that-name/mine",
            None,
            "The path {path} cannot be read (RuntimeError); check it, and whose it is.",
        ),
        ("x" * 300, None, "The path {path} cannot be read (OSError); check it, and whose it is."),
        (".", None, "The folder {name} lacks words.txt; choose one that a training wrote."),
        ("mine", "{}", "The folder mine does not fit Reader; choose one that a training of this demo wrote."),
        (
            "mine",
            "[]",
            "The folder mine does not fit Reader: words.txt is a list; choose one that a training of this demo wrote.",
        ),
    ],
)
def test_what_is_no_checkpoint_of_the_demo_says_what_to_do_and_leaves_nothing(
    reader: Path, host: Callable[..., Any], path: str, words: str | None, reason: str
) -> None:
    server = host(public=False)
    if words is not None:
        (reader / "words.txt").write_text(words)
    whole = str(reader.parent / path) if path and not path.startswith("~") else path
    expected = reason.replace("{path}", whole).replace("{name}", reader.parent.name)
    assert ask(server.url, "use_folder", whole) == expected
    assert server.app.models.own_states() == []


def test_where_visitors_are_strangers_no_folder_is_read(reader: Path, host: Callable[..., Any]) -> None:
    server = host(public=True)
    assert not [
        action for action in httpx.get(f"{server.url}gradio_api/info").json()["named_endpoints"] if "folder" in action
    ]
    assert client.run(server.url, "reader_use_folder", str(reader)).status_code >= 400  # there is no such action
    assert server.app.models.own_states() == []
    assert "A folder of your own" not in client.text_of(server.url)
    for action in ("raw", "say"):
        for name in (str(reader), "+folder", "own-mine-0123456789abcdef"):
            assert "as I taught it" not in ask(server.url, action, name)
    assert f"Reader has no checkpoint {str(reader)!r}" in ask(server.url, "raw", str(reader))


@pytest.mark.parametrize("public", [False, True])
def test_an_event_of_the_tab_adds_a_choice_for_its_visitor(
    reader: Path, host: Callable[..., Any], public: bool
) -> None:
    url = host(public=public).url
    first, second = (ask(url, "train", str(reader)) for _ in range(2))
    last = [] if public else ["A folder of your own …"]
    assert labels(second) == ["Theirs (12 bytes, embedded)", *["Mine (14 bytes, your own)"] * 2, *last]
    assert len({first["value"], second["value"]}) == 2
    for name in (first["value"], second["value"], "theirs"):
        assert "as " in ask(url, "say", name)
        if name != "theirs":
            assert "takes one of its choices" in ask(url, "say", name, session="a stranger")


def test_the_status_page_counts_what_is_visitors_own_and_names_nothing(reader: Path, host: Callable[..., Any]) -> None:
    server = host(public=True)
    name = ask(server.url, "train", str(reader))["value"]
    before = client.run(server.url, "status").json()["data"][0]
    ask(server.url, "raw", name)
    after = client.run(server.url, "status").json()["data"][0]
    for page, loaded in ((before, False), (after, True)):
        assert "1 of visitors&#x27; own" in page
        assert not [secret for secret in (name, name[-16:], "Mine", str(reader)) if secret in page]
        assert ('class="state ready"' in page) is loaded
    assert "demo_app_models_loaded 1.0" in httpx.get(f"{server.url}metrics").text


def test_what_is_ones_own_is_forgotten_when_the_page_is_closed(reader: Path, host: Callable[..., Any]) -> None:
    """The page keeps a stream open, the heartbeat, for as long as it is there."""
    server = host(public=False, goodbye_seconds=1)
    models = server.app.models
    with httpx.stream("GET", f"{server.url}gradio_api/heartbeat/me") as page:
        alive = page.iter_lines()
        assert next(alive) == "data: ALIVE"
        mine, theirs = (ask(server.url, "use_folder", str(reader), session=who)["value"] for who in ("me", "another"))
        assert ask(server.url, "raw", mine) == "as I taught it"
    with models._changed:
        assert models._changed.wait_for(lambda: len(models._own) < 2, timeout=30)
    assert "has no checkpoint" in ask(server.url, "raw", mine)
    assert ask(server.url, "raw", theirs) == "as I taught it"
    assert models.loaded == 1


def test_the_page_keeps_its_heartbeat_though_the_demo_keeps_no_state(reader: Path, host: Callable[..., Any]) -> None:
    assert client.config(host(public=True).url)["connect_heartbeat"]
