"""A handler may raise what it likes: the visitor is answered, the failure is counted, and the page goes on."""

from __future__ import annotations

import errno
import re
import threading
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from plugins_on_disk import Plugins

from demo_app.gradio_internals import files, upload_folder
from demo_app.serving import client
from demo_app.testing import serve

RAISING = """
import asyncio, concurrent.futures, errno, sys, tempfile
from pathlib import Path
from demo_app import Demo, DemoError, hookimpl
import gradio as gr

class Panic(BaseException): "as Rust's panics are"
class Unspeakable(Exception):
    def __str__(self): raise ValueError("no")
class Half(DemoError):
    def __init__(self): pass  # without the sentence

RAISED = {
    "exit": lambda: sys.exit(3),
    "os_exit": lambda: SystemExit("bye"),
    "cancelled": asyncio.CancelledError,
    "generator_exit": GeneratorExit,
    "panic": Panic,
    "group": lambda: BaseExceptionGroup("all", [Panic()]),
    "full_disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "stop": StopIteration,
    "async_stop": StopAsyncIteration,
    "unspeakable": Unspeakable,
    "half": Half,
    "template": lambda: DemoError("{missing}", other=1),
    "error": lambda: gr.Error({"not": object()}),
    "value": lambda: ValueError("hf_aSecretOfTheVisitor"),
}

def fail(what):
    raise RAISED[what]()

def makes(what):
    "An update of the component first, which gives the session one of its own."
    yield gr.skip()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "made.txt").write_text(what)
        yield str(Path(folder) / "made.txt")
def function(what): fail(what)
async def coroutine(what): fail(what)
def generator(what):
    yield "first"
    fail(what)
async def async_generator(what):
    yield "first"
    fail(what)
def ends_badly(what):
    try:
        yield "first"
        yield "second"
    finally:
        fail(what)

def build(handle):
    box, out = gr.Textbox(label="What"), gr.Textbox(label="Out")
    for fn in (function, coroutine, generator, async_generator, ends_badly):
        gr.Button(fn.__name__).click(fn, box, out, api_name=fn.__name__)
    gr.Button("makes").click(makes, box, gr.File(), api_name="makes")
    gr.Button("file").click(lambda file: None, gr.File(), None, api_name="file")  # so that files can be sent
    @gr.render()
    def draw():
        gr.Button("drawn").click(function, box, out, api_name="drawn", queue=False)
        gr.Button("drawn_queued").click(function, box, out, api_name="drawn_queued")
    gr.Button("wrong").click(lambda: 1, None, [box, out], api_name="wrong_count")

@hookimpl
def register_demos():
    return [Demo(name="raising", title="Raising", summary="s", load=lambda folder, device: 1, build=build)]
"""
KINDS = ["function", "coroutine", "generator", "async_generator"]
RAISED = re.findall(r'^    "(\w+)":', RAISING, re.MULTILINE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    plugins = Plugins(tmp_path_factory.mktemp("raising"))
    plugins.add("raising", RAISING)
    plugins.add_good("good")
    with serve(plugins_dir=plugins.path) as server:
        yield server


def counted(page: Any, action: str) -> dict[str, float]:
    """Events of an action so far, by outcome."""
    found = {}
    for metric in page.app.registry.collect():
        for sample in metric.samples:
            if sample.name == "demo_app_requests_total" and sample.labels["action"] == action:
                found[sample.labels["outcome"]] = sample.value
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_handler_raises_is_answered_and_counted(page: Any, kind: str, caplog: Any) -> None:
    for what in RAISED:
        before = counted(page, kind)
        state, said = client.call(page.url, f"raising_{kind}", what)
        assert (state, bool(said.get("error"))) == ("error", True), what
        assert "aSecret" not in str(said)
        now = counted(page, kind)
        outcome = "refused" if what == "error" else "error"
        assert now.get(outcome, 0) == before.get(outcome, 0) + 1, what
        assert now.get("ok", 0) == before.get("ok", 0), what
        assert httpx.get(f"{page.url}healthz", timeout=client.SECONDS).json()["status"] == "ok"
    assert client.call(page.url, "good_shout_queued", "still here") == ("complete", ["STILL HERE"])
    assert client.run(page.url, "good_shout", "still here").json()["data"] == ["STILL HERE"]


def test_what_is_raised_past_the_queue_is_answered_too(page: Any) -> None:
    for kind in ("function", "coroutine"):
        for what in RAISED:
            assert client.run(page.url, f"raising_{kind}", what).json()["error"], (kind, what)
    assert httpx.get(f"{page.url}healthz", timeout=client.SECONDS).json()["status"] == "ok"


@pytest.mark.browser
def test_what_render_draws_is_guarded_too(visit: Any, page: Any) -> None:
    at = visit(page.url, query="demo=raising").page
    at.get_by_label("What").fill("panic")
    with at.expect_response("**/run/predict*") as answer:
        at.get_by_role("button", name="drawn", exact=True).click()
    assert "under error" in answer.value.json()["error"]
    at.get_by_role("button", name="drawn_queued", exact=True).click()
    expect(at.locator(".toast-body", has_text="under error")).to_be_visible()
    assert (counted(page, "drawn"), counted(page, "drawn_queued")) == ({"error": 1}, {"error": 1})
    assert client.run(page.url, "good_shout", "still here").json()["data"] == ["STILL HERE"]


def test_a_visitor_who_leaves_ends_the_handler_and_is_counted_as_cancelled(page: Any) -> None:
    body = {"data": ["panic"], "session_hash": "leaves"}
    event = httpx.post(f"{page.url}gradio_api/call/raising_ends_badly", json=body, timeout=client.SECONDS).json()
    with httpx.stream("GET", f"{page.url}gradio_api/call/raising_ends_badly/{event['event_id']}") as stream:
        next(stream.iter_lines())  # and leave
    ended = threading.Event()
    for _ in range(200):
        if sum(counted(page, "ends_badly").values()):
            break
        ended.wait(0.1)
    assert sum(counted(page, "ends_badly").values()) == 1
    assert client.run(page.url, "good_shout", "still here").json()["data"] == ["STILL HERE"]


def test_fewer_values_than_outputs_are_an_error_with_a_number(page: Any) -> None:
    state, said = client.call(page.url, "raising_wrong_count")
    assert state == "error"
    assert "Something went wrong here" in said["error"]


def test_a_full_disk_is_said(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "disk is full; try again" in client.call(page.url, "raising_function", "full_disk")[1]["error"]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gradio.route_utils.NamedTemporaryFile", full)
    refused = httpx.post(f"{page.url}gradio_api/upload", files={"files": ("a.txt", b"a")}, timeout=client.SECONDS)
    assert refused.status_code == 507
    assert "disk is full; try again" in refused.text


def test_files_that_handlers_return_are_deleted_with_the_uploads(page: Any) -> None:
    made = client.call(page.url, "raising_makes", "unlike any other")[1][0]["path"]
    assert made in map(str, files.kept_files(page.app.blocks))
    before = set(upload_folder().iterdir())
    value = {"path": made, "orig_name": "made.txt", "meta": {"_type": "gradio.FileData"}}
    assert client.call(page.url, "raising_file", value)[0] == "complete"
    assert set(upload_folder().iterdir()) == before, "a file that is given leaves nothing behind"
