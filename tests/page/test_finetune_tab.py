"""The tab "Fine-tune" of the built-in demos, as pages and other programs use it: the real host, real trainings."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from full_speed import trainings_at_full_speed
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import expect
from plugins_on_disk import ROOT

from demo_app.serving import client
from demo_app.serving.server import Server
from demo_app.testing import serve
from demo_app.testing.hub import Hub

TEXT, PICTURE, PAIR = "text_classifier", "separable_conv", "image_text_fusion"
FIRST = {TEXT: "sst2", PICTURE: "cifar10", PAIR: "scenes"}  # what each begins with
MOST_ROWS, MOST_STEPS, MOST_BYTES = 300, 2000, 2**20
TOKEN = "hf_a_secret_of_mine"
EVIL = '<img src=x onerror="window.hacked=1">'


@pytest.fixture(scope="module", autouse=True)
def full_speed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with trainings_at_full_speed(tmp_path_factory.mktemp("full_speed")):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    chosen = (TEXT, PICTURE, PAIR)
    bounds = {"tune_rows": MOST_ROWS, "tune_steps": MOST_STEPS, "max_upload": 8 * 2**20}
    with serve(goodbye_seconds=1, plugins_dir=ROOT / "plugins", only=chosen, strict=True, **bounds) as running:
        yield running


class Visitor:
    """A client of one demo, with a session of its own."""

    def __init__(self, server: Server, demo: str) -> None:
        self.server, self.demo = server, demo
        self.client = Client(server.url, verbose=False)
        self.name = self.client.session_hash

    def __call__(self, action: str, *given: Any, **named: Any) -> Any:
        return self.client.predict(*given, api_name=f"/{self.demo}_{action}", **named)

    def refused(self, action: str, *given: Any, **named: Any) -> str:
        with pytest.raises(AppError) as caught:
            self(action, *given, **named)
        return str(caught.value)

    def upload(self, *files: Path) -> tuple[str, dict[str, Any]]:
        view, question = self("finetune_data", [handle_file(file) for file in files])
        return view, question

    def refuses(self, *files: Path) -> str:
        return self.refused("finetune_data", [handle_file(file) for file in files])

    def settings(self, *strategies: str, **changed: Any) -> dict[str, Any]:
        named = {"base": FIRST[self.demo], "strategies": list(strategies), "layers": [], "epochs": 2}
        return {**named, "learning_rate": 0, "decay": 0.8, "rank": 8, **changed}

    def train(self, *strategies: str, **changed: Any) -> Any:
        return self("finetune", **self.settings(*strategies, **changed))

    def plan(self, *strategies: str, **changed: Any) -> str:
        view, _ = self("finetune_plan", **self.settings(*strategies, **changed))
        return text_of(view)

    @property
    def folder(self) -> Path:
        return self.server.app.trainings.folder(self.name)


@pytest.fixture
def visitor(server: Server) -> Iterator[Callable[..., Visitor]]:
    """`visitor(demo)` comes; all leave after the test."""
    came: list[Visitor] = []

    def come(demo: str = TEXT) -> Visitor:
        came.append(Visitor(server, demo))
        return came[-1]

    yield come
    for one in came:
        one.client.close()
        server.app.trainings.forget(one.name)


def text_of(view: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", view))


def cells(view: str) -> dict[str, list[str]]:
    """The rows of a table by their first cells."""
    rows = re.findall(r"<tr><th[^>]*>([^<]*)</th>((?:<td[^>]*>.*?</td>)+)</tr>", view)
    return {name: re.findall(r"<td[^>]*>(.*?)</td>", rest) for name, rest in rows}


def table(folder: Path, rows: Sequence[Sequence[str]], head: Sequence[str] = ("text", "label")) -> Path:
    file = folder / "rows.csv"
    file.write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in [head, *rows]) + "\n", "utf-8")
    return file


def moods(count: int, labels: Sequence[str] = ("good", "bad")) -> list[tuple[str, str]]:
    said = {"good": "a wonderful film number", "bad": "a terrible film number"}
    return [
        (f"{said.get(labels[i % len(labels)], 'a film number')} {i}", labels[i % len(labels)]) for i in range(count)
    ]


def wait_for(true: Callable[[], Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.05)


def workers() -> list[str]:
    """The processes of trainings that this process started and that run still."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, stat = (process / "cmdline").read_text(), (process / "stat").read_text()
        except OSError:  # it ended just now
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if "demo_app.finetune.worker" in command and parent == os.getpid():
            found.append(process.name)
    return found


# From examples to a checkpoint


@pytest.mark.parametrize("demo", [TEXT, PICTURE, PAIR])
def test_from_examples_to_a_checkpoint_that_answers_in_the_tab(demo: str, visitor: Any, tmp_path: Path) -> None:
    mine = visitor(demo)
    data = mine("finetune_example")[0]
    count = int(re.search(r"(\d+) examples", data)[1])  # type: ignore[index]
    assert "Share of each class" in data
    plan = mine.plan("freeze", "lora")
    assert "examples to learn from" in plan
    assert "freeze lora" in plan

    done, shown, which = mine.train("freeze", "lora")

    assert "2 strategies below" in done
    assert "polyline" in done
    rows = cells(shown)
    assert list(rows) == ["1. freeze", "2. lora", "most frequent class"]
    assert [value for _, value in which["choices"]] == ["1", "2"]
    assert int(rows["1. freeze"][1].replace(",", "")) < int(rows["2. lora"][1].replace(",", ""))
    drawn, numbers = mine("finetune_result", "2")
    scores, confusion = drawn.split("viz-confusion")
    assert rows["2. lora"][0] == f"{numbers['accuracy']:.1%}"
    assert list(cells(scores)) == numbers["labels"]
    said = sum(int(n) for row in cells(confusion).values() for n in row if n != "·")
    assert said == numbers["held_out"] == count - numbers["examples"]

    picture = tmp_path / "seen.png"
    Image.new("RGB", (80, 60), "navy").save(picture)
    given = {TEXT: ["A lovely evening."], PICTURE: [handle_file(picture)]}
    before, after = mine("finetune_try", *given.get(demo, [handle_file(picture), "is there a circle?"]), "2")
    if demo == PAIR:
        assert "takes a text; send a string" in mine.refused("finetune_try", handle_file(picture), 1.5, "2")
        assert "Nothing is uploaded yet" in mine.refused("finetune_try", None, "is there a circle?", "2")
    assert {share["label"] for share in after["confidences"]} == set(numbers["labels"])
    assert {share["label"] for share in before["confidences"]} - set(numbers["labels"]) or demo == PAIR

    chosen, line = mine("finetune_use", "2")
    assert "Fine-tuned 2. lora is chosen" in line
    asked = {TEXT: ["classify", "A lovely evening.", chosen["value"], "gradient", "average", "average"]}
    asked[PICTURE] = ["classify", handle_file(picture), chosen["value"]]
    asked[PAIR] = ["ask", handle_file(picture), "is there a circle?", chosen["value"], "average", "average"]
    answer = mine(*asked[demo])[0]
    assert answer["label"] == after["label"]

    with zipfile.ZipFile(mine("finetune_zip", "2")) as archive:
        names = {Path(name).name for name in archive.namelist()}
        card = archive.read(f"{demo}-2-lora/README.md").decode()
    assert {"config.json", "model.safetensors", "metrics.json", "README.md"} <= names
    assert f"{demo}/{FIRST[demo]}" in card


def test_what_was_trained_can_be_trained_on_and_its_name_stays_a_secret(visitor: Any) -> None:
    mine = visitor()
    mine("finetune_example")
    mine.train("freeze", epochs=1)
    own = mine("finetune_use", "1")[0]["value"]

    shown = mine.train("freeze", epochs=1, base=own)[1]

    assert cells(shown)["2. freeze"][-1] == "Fine-tuned_1._freeze"
    with zipfile.ZipFile(mine("finetune_zip", "2")) as archive:
        assert not any(own.rpartition("-")[2].encode() in archive.read(name) for name in archive.namelist())


def test_the_plan_says_who_learns_before_anything_starts(visitor: Any) -> None:
    mine = visitor()
    assert "Add examples" in mine.plan("full")
    mine("finetune_example")

    view, layers = mine("finetune_plan", **mine.settings("layers", layers=["layers.2"]))

    rows = cells(view)
    assert [name for name, row in rows.items() if row[1] == "yes"][:1] == ["layers.2"]
    assert rows["layers.0"][1:] == ["no", ""]
    assert layers["visible"]
    assert set(rows) - {"all layers"} == {name for _, name in layers["choices"]}
    assert workers() == []


def test_a_glob_that_matches_nothing_says_so_in_the_plan_and_at_the_start(visitor: Any) -> None:
    mine = visitor()
    mine("finetune_example")
    assert "no layer matches &#x27;nowhere.*&#x27;" in mine.plan("layers", layers=["nowhere.*"])
    assert "no layer matches 'nowhere.*'" in mine.refused("finetune", **mine.settings("layers", layers=["nowhere.*"]))
    assert "wants the names of layers" in mine.refused("finetune", **mine.settings("layers"))
    assert "for the command line" in mine.plan("layers", layers=[r"re:(\w+\.?)+!"])  # would never end
    assert "takes one of its choices" in mine.refused("finetune", **mine.settings("layers", layers=1.5))
    assert workers() == []


def test_too_many_steps_say_so_in_the_plan_and_at_the_start(visitor: Any) -> None:
    mine = visitor()
    mine("finetune_example")
    strategies = ("freeze", "layerwise", "lora", "full", "gradual", "scratch")
    sentence = "the limit here is 2,000; choose fewer epochs"
    assert "1,800 steps at most" in mine.plan(*strategies, epochs=100)
    assert sentence in mine.plan(*strategies, "layers", layers=["head"], epochs=100)
    every = mine.settings(*strategies, "layers", layers=["head"], epochs=100)
    assert sentence in mine.refused("finetune", **every)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"strategies": []}, "No strategy is chosen"),
        ({"strategies": None}, "No strategy is chosen"),
        ({"epochs": "NaN"}, "Epochs is no number; write one from 1 to 1000"),
        ({"epochs": 0}, "Epochs is 0; choose from 1 to 1000"),
        ({"decay": []}, "Decay is no number"),
        ({"learning_rate": "fast"}, "The learning rate is no number"),
        ({"base": "nothing"}, "has no checkpoint 'nothing'"),
        ({"base": "distilbert_sst2"}, "is not on this disk yet"),
        ({"base": "own-mine-0123456789abcdef"}, "has no checkpoint of your own of that name"),
        ({"base": "+folder"}, "No checkpoint is chosen"),
    ],
)
def test_settings_that_cannot_be_say_what_to_choose(visitor: Any, changed: Any, sentence: str) -> None:
    mine = visitor()
    mine("finetune_example")
    wrong = mine.settings(**{"strategies": ["freeze"], **changed})
    assert sentence in mine.refused("finetune", **wrong)
    assert sentence in unescape(mine("finetune_plan", **wrong)[0])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [({"strategies": 5}, "strategies takes one of its choices"), ({"rank": 10**400}, "rank takes a number")],
)
def test_settings_of_a_wrong_type_are_refused_by_their_names(visitor: Any, changed: Any, sentence: str) -> None:
    mine = visitor()
    mine("finetune_example")
    assert sentence in mine.refused("finetune", **mine.settings(**{"strategies": ["freeze"], **changed}))


def test_a_number_whose_box_is_empty_is_the_usual_one(visitor: Any) -> None:
    mine = visitor()
    mine("finetune_example")
    assert mine.plan("full", epochs=None, decay=None, rank=None) == mine.plan("full", epochs=25)


def test_nothing_can_be_asked_before_something_is_trained(visitor: Any) -> None:
    mine = visitor()
    assert "There are no data yet" in mine.refused("finetune", **mine.settings("freeze"))
    for action, given in (("result", ["1"]), ("try", ["A text.", "1"]), ("use", ["1"]), ("zip", ["1"])):
        assert "Nothing is trained yet" in mine.refused(f"finetune_{action}", *given)


# Bad examples


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (moods(20, ["good"]), "All examples are of the class 'good'"),
        ([(text, "") for text, _ in moods(8)], "row 1 has no label"),
        (moods(2), "4 examples are needed at least"),
        ([*moods(20), ("an odd one", "rare")], "there is only one of 'rare'"),
        (moods(1000), "more than 300 rows"),
    ],
)
def test_rows_that_cannot_be_learned_from_say_why(visitor: Any, tmp_path: Path, rows: Any, sentence: str) -> None:
    mine = visitor()
    file = table(tmp_path, rows)
    assert sentence in mine.refuses(file)
    assert mine.refused("finetune", **mine.settings("freeze"))
    assert workers() == []


def test_a_million_rows_are_refused_at_once(visitor: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n" + "a,b\n" * 1_000_000)
    mine = visitor()
    assert "more than 300 rows" in mine.refuses(file)


def test_files_that_are_none_say_what_is_there(visitor: Any, tmp_path: Path) -> None:
    mine, pictures = visitor(), visitor(PICTURE)
    wrong = table(tmp_path, moods(8), head=("review", "stars"))
    assert "no column named 'text' (its columns: 'review', 'stars')" in mine.refuses(wrong)
    binary = tmp_path / "weights.csv"
    binary.write_bytes(bytes(range(256)) * 64)
    assert "is a binary file" in mine.refuses(binary)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"\0" * 2**20)
        archive.infolist()[0].file_size = 3 * 2**30
    assert "bomb.zip" in pictures.refuses(bomb)
    gone = tmp_path / "pictures.zip"
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    with zipfile.ZipFile(gone, "w") as archive:
        archive.write(tmp_path / "1.png", "1.png")
        archive.writestr("list.csv", "image,label\n1.png,here\n2.png,away\n3.png,away\n")
    assert "None of the pictures of class 'away' is there" in pictures.refuses(gone)


def test_labels_that_look_alike_are_asked_about_before_anything_starts(visitor: Any, tmp_path: Path) -> None:
    mine = visitor()
    view, question = mine.upload(table(tmp_path, moods(24, ["good", "Good", "bad"])))
    assert "“good” = “Good”" in view
    assert question["visible"]
    assert "mean the same? Say so first" in mine.refused("finetune", **mine.settings("freeze"))

    together, _ = mine("finetune_same", "yes")
    apart, again = mine("finetune_same", "no")

    assert "24 examples · 2 classes" in together
    assert "24 examples · 3 classes" in apart
    assert again["visible"]
    assert "One strategy below" in mine.train("freeze", epochs=1)[0]


def test_a_label_of_html_stays_a_text(visitor: Any, tmp_path: Path) -> None:
    mine = visitor()
    rows = [(f"{text} {EVIL}", label if label == "good" else EVIL.replace('"', "'")) for text, label in moods(20)]
    view, _ = mine.upload(table(tmp_path, rows))
    mine.train("freeze", epochs=1)
    drawn, _ = mine("finetune_result", "1")
    for html in (view, *drawn.split("viz-confusion")):
        assert "<img" not in html
        assert "&lt;img" in html


# Who sees what, and for how long


def test_what_is_one_visitors_is_nobody_elses(visitor: Any) -> None:
    mine, other = visitor(), visitor()
    mine("finetune_example")
    mine.train("freeze", epochs=1)
    own = mine("finetune_use", "1")[0]["value"]

    assert "Nothing is trained yet" in other.refused("finetune_result", "1")
    assert "There are no data yet" in other.refused("finetune", **other.settings("freeze"))
    assert "takes one of its choices" in other.refused("occlude", "A fine film.", own)
    assert mine.folder != other.folder
    assert mine.folder.stat().st_mode & 0o077 == 0


def test_all_of_it_goes_when_the_visitor_goes(
    visitor: Any, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.2")  # seconds, in place of 15
    mine = visitor()
    mine.upload(table(tmp_path, [(f"{text} {time.time_ns()}", label) for text, label in moods(20)]))
    mine.train("freeze", epochs=1)
    mine("finetune_use", "1")
    mine("finetune_zip", "1")
    trainings = server.app.trainings
    kept = [mine.folder, *trainings._elsewhere[mine.name]]
    assert sorted(path.suffix for path in kept) == ["", ".csv", ".zip"]
    assert all(path.exists() for path in kept)

    mine.client.close()  # as a page that is closed: its heartbeat ends

    wait_for(lambda: not any(path.exists() for path in kept))
    wait_for(lambda: not server.app.models.own(server.app.tabs[0].demo, mine.name))


def test_two_visitors_train_one_after_the_other_and_stop_ends_the_first(visitor: Any) -> None:
    first, second = visitor(), visitor()
    for one in (first, second):
        one("finetune_example")
    long = first.client.submit(**first.settings("full", "gradual", epochs=100), api_name=f"/{TEXT}_finetune")
    wait_for(lambda: "epoch" in str(long.outputs()))

    short = second.client.submit(**second.settings("freeze", epochs=1), api_name=f"/{TEXT}_finetune")
    wait_for(lambda: "One training comes before yours" in str(short.outputs()))
    assert len(workers()) == 1
    first("finetune_stop")

    assert "Stopped after" in long.result(timeout=60)[0]
    assert list(cells(long.result()[1])) == ["1. full", "most frequent class"]
    assert "One strategy below" in short.result(timeout=60)[0]
    wait_for(lambda: workers() == [])


def test_who_waits_may_give_up_and_nobody_waits_twice(visitor: Any) -> None:
    first, second = visitor(), visitor()
    for one in (first, second):
        one("finetune_example")
    long = first.client.submit(**first.settings("full", epochs=100), api_name=f"/{TEXT}_finetune")
    wait_for(lambda: "epoch" in str(long.outputs()))
    waits = second.client.submit(**second.settings("freeze"), api_name=f"/{TEXT}_finetune")
    wait_for(lambda: "One training comes before yours" in str(waits.outputs()))

    assert "is under way already" in second.refused("finetune", **second.settings("freeze"))
    second("finetune_stop")

    with pytest.raises(AppError, match="stopped before anything was learned"):
        waits.result(timeout=30)
    assert len(workers()) == 1
    first("finetune_stop")
    assert "Stopped after" in long.result(timeout=60)[0]


def test_a_page_that_is_closed_in_mid_training_ends_it(visitor: Any, server: Server) -> None:
    session = "a page that is closed"
    assert client.call(server.url, f"{TEXT}_finetune_example", session=session)[0] == "complete"
    asked = {"data": ["sst2", ["full"], [], 100, 0, 0.8, 8], "session_hash": session}
    answer = httpx.post(f"{server.url}gradio_api/call/{TEXT}_finetune", json=asked, timeout=60)
    address = f"{server.url}gradio_api/call/{TEXT}_finetune/{answer.json()['event_id']}"
    with httpx.stream("GET", address, timeout=60) as stream:
        next(line for line in stream.iter_lines() if "epoch" in line)
        assert len(workers()) == 1

    wait_for(lambda: workers() == [], seconds=15)
    server.app.trainings.forget(session)


# To the Hub


@pytest.fixture
def my_hub(test_hub: Hub) -> Hub:
    """A Hub where whoever knows the token may write as `me`; no token is in the environment."""
    test_hub.token = TOKEN
    return test_hub


def test_publishing_puts_the_checkpoint_there_and_the_token_nowhere(
    visitor: Any, server: Server, my_hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mine = visitor()
    mine("finetune_example")
    mine.train("freeze", epochs=1)

    told = [
        mine.refused("finetune_publish", "me/cinema", "", True, "1"),
        mine.refused("finetune_publish", "me/cinema", "hf_wrong_one", True, "1"),
        mine.refused("finetune_publish", "no name", TOKEN, True, "1"),
        mine.refused("finetune_publish", "someone/else", TOKEN, True, "1"),
    ]
    line, box = mine("finetune_publish", "me/cinema", TOKEN, True, "1")
    told.append(mine.refused("finetune_publish", "me/cinema", TOKEN, True, "1"))

    assert f'href="{my_hub.url}/me/cinema"' in line
    assert box == ""
    repo = my_hub.repos["me/cinema"]
    assert repo.private
    found = {sibling: repo.files[sibling] for sibling in repo.files}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "metrics.json"} <= set(found)
    assert json.loads(found["metrics.json"])["strategy"] == "freeze"
    assert b"text_classifier/sst2" in found["README.md"]
    assert "There is no token yet" in told[0]
    assert "does not know this token (401)" in told[1]
    assert "is no repository; write USER/NAME" in told[2]
    assert "may not write to someone/else (403)" in told[3]
    assert "me/cinema is on the Hub already; choose another name" in told[4]
    session = server.app.blocks.state_holder.session_data[mine.name]
    places = [caplog.text, line, *told, repr(session.config_values), repr(session.state_data), repr(found)]
    assert not [place for place in places if TOKEN in place or "hf_wrong_one" in place]


def test_what_was_trained_and_is_gone_is_said(visitor: Any, my_hub: Hub) -> None:
    mine = visitor()
    mine("finetune_example")
    mine.train("freeze", epochs=1)
    shutil.rmtree(mine.folder)
    for action, values in (("zip", ()), ("publish", ("me/gone", TOKEN, True)), ("use", ()), ("result", ())):
        told = mine.refused(f"finetune_{action}", *values, "1")
        assert "are not here any more; train it again" in told, action
    assert "me/gone" not in my_hub.repos


# In a browser


@pytest.mark.browser
def test_a_visitor_finds_the_way_from_an_upload_to_a_model_of_their_own(
    server: Server, visit: Any, tmp_path: Path
) -> None:
    rows = [(text, label if label == "good" else EVIL.replace('"', "'")) for text, label in moods(40)]
    seen = visit(server.url, query=f"demo={TEXT}", width=390)
    page = seen.page
    page.locator("#tab-text_classifier").get_by_text("Look inside").wait_for()
    tab = page.get_by_role("tab", name="Fine-tune", exact=True).first
    if not tab.is_visible():
        page.locator("#tab-text_classifier .overflow-menu > button").first.click()
    page.get_by_role("tab", name="Fine-tune", exact=True).first.or_(
        page.get_by_role("menuitem", name="Fine-tune")
    ).first.click()

    box = page.get_by_role("tabpanel").filter(has_text="Who learns").last
    box.locator("input[type=file]").first.set_input_files(table(tmp_path, rows, head=("review", "stars")))
    expect(page.get_by_role("alert").get_by_text("no column named 'text'").first).to_be_visible()
    start = page.get_by_role("button", name="Start", exact=True)
    with page.expect_response("**/queue/join*"):
        start.click()
    expect(start).to_be_enabled()  # after an error one can start again
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    box.get_by_label("Clear").first.click()
    expect(page.get_by_text("A CSV with the columns text and label.")).to_be_visible()
    box.locator("input[type=file]").first.set_input_files(table(tmp_path, rows))
    expect(page.get_by_text("40 examples · 2 classes")).to_be_visible()
    expect(page.get_by_text("Which layers learn, and how fast")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("One strategy below")).to_be_visible()
    expect(page.get_by_text("1. layerwise").first).to_be_visible()
    page.get_by_label("Your text").fill("a wonderful film")
    page.get_by_role("button", name="Ask both").click()
    expect(page.get_by_role("heading", name="good")).to_be_visible()
    page.get_by_text("Publish to the Hub").click()
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_role("alert").get_by_text("is no repository").first).to_be_visible()
    token = page.get_by_label("Your access token")
    token.click(timeout=5000)  # nothing lies over it after the error
    expect(token).to_have_value("")
    page.get_by_role("button", name="Use it in this tab").click()
    expect(page.get_by_text("is chosen in the picker at the top")).to_be_visible()

    assert page.get_by_label("Checkpoint", exact=True).first.input_value().startswith("Fine-tuned 1. layerwise")
    assert page.evaluate("window.hacked") is None
    assert seen.overflow() == 0
    assert seen.complaints == []
