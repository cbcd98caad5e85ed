"""Getting weights from the Hub as a visitor does: size first, a bar that moves, Cancel, and a tab that works on."""

from __future__ import annotations

import html
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect
from plugins_on_disk import Plugins

from demo_app import Checkpoint
from demo_app.hub.progress import Progress
from demo_app.page.fetch_panel import meter, offer
from demo_app.serving import client
from demo_app.testing.faults import refuse, stall_body
from demo_app.testing.hub import Hub

if TYPE_CHECKING:
    from demo_app.testing.browser import Visit, Visits


COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
MB = 10**6
FILES = {"config.json": b"{}", "model.safetensors": random.Random(2).randbytes(6 * MB)}

READER = f"""
from pathlib import Path
from demo_app import Checkpoint, Demo, hookimpl

def load(folder, device):
    return len((folder / "model.safetensors").read_bytes())

def build(handle):
    import gradio as gr
    picker, size = handle.picker(label="Weights"), gr.Textbox(label="Size")

    def measure(checkpoint):
        "Bytes of the weights. Args: checkpoint: its name. Returns: their number."
        with handle.use(checkpoint) as model:
            return f"{{model}} bytes"

    gr.Button("Measure").click(measure, picker, size, api_name="measure", queue=False)

@hookimpl
def register_demos():
    files = ("config.json", "model.safetensors")
    near = Checkpoint(name="near", title="Near", folder=Path(__file__).parent / "near", files=files, license="mit")
    far = Checkpoint(name="far", title="Far & <b>away</b>", repo_id="some/model", revision="{COMMIT}", files=files,
                     size={6 * MB + 2}, license="apache-2.0")
    off = Checkpoint(name="off", title="Off", repo_id="other/model", revision="{COMMIT}", files=files,
                     size={6 * MB + 2})
    return [Demo(name="reader", title="Reader", summary="Reads weights.", load=load, build=build,
                 checkpoints=(near, far, off))]
"""


@pytest.fixture
def start(hub: Hub, plugins: Plugins, host: Callable[..., Any]) -> Callable[[], str]:
    """Start the host with two demos: `good`, and `reader` with one checkpoint embedded and two on the Hub."""
    hub.add("some/model", FILES, sha=COMMIT)
    hub.add("other/model", FILES, sha=COMMIT)
    plugins.add_good()
    plugins.add("reader", READER)
    near = next(path.parent for path in plugins.path.rglob("*.py") if "Reads weights" in path.read_text()) / "near"
    near.mkdir()
    for name in FILES:
        (near / name).write_bytes(b"{}")
    return lambda: str(host().url)


FAR = "Far & <b>away</b>"
ON_DISK = f"{FAR} (6.0 MB, apache-2.0, on disk)"


def choose(visit: Visit, label: str) -> None:
    visit.page.get_by_label("Weights").click()
    visit.page.get_by_role("option", name=label).click()


def open_far(start: Callable[[], str], visit: Visits, **look: Any) -> Visit:
    seen = visit(start(), query="demo=reader", **look)
    seen.page.get_by_label("Weights").wait_for()
    choose(seen, "Far")
    return seen


def measure(visit: Visit, expected: int) -> None:
    visit.page.get_by_role("button", name="Measure").click()
    expect(visit.page.get_by_label("Size")).to_have_value(f"{expected} bytes")


def moves(visit: Visit) -> None:
    """Wait until the bar has moved."""
    bar = visit.page.get_by_role("progressbar", name=FAR)
    expect(bar).to_be_visible()
    visit.page.wait_for_function(
        "before => document.querySelector('.demo-fetch [role=progressbar]')?.getAttribute('aria-valuenow') > before",
        arg=int(bar.get_attribute("aria-valuenow") or 0),
    )


@pytest.mark.browser
def test_size_first_then_a_bar_with_speed_while_the_rest_of_the_page_answers(
    hub: Hub, start: Callable[[], str], visit: Visits
) -> None:
    seen = open_far(start, visit)
    page = seen.page
    expect(page.get_by_text("Not on this disk yet: 6.0 MB to fetch")).to_be_visible()
    expect(page.get_by_text(f"some/model at {COMMIT[:7]}, licence apache-2.0")).to_be_visible()
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_text("press Fetch below the picker")).to_be_visible()
    assert hub.log == []
    hub.throttle = 0.5 * MB
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.get_by_text("MB/s").first).to_be_visible()
    moves(seen)
    seen.open("Good")
    page.get_by_label("Text").fill("hello")
    page.get_by_role("button", name="Shout in the queue").click()
    expect(page.get_by_label("Louder")).to_have_value("HELLO")
    seen.open("Status")
    expect(page.get_by_text("fetching")).to_be_visible()
    seen.open("Reader")
    choose(seen, "Near")
    expect(page.locator(".demo-fetch")).to_be_hidden()
    measure(seen, 2)
    choose(seen, "Far")
    moves(seen)
    hub.throttle = None
    expect(page.get_by_label("Weights")).to_have_value(ON_DISK)
    expect(page.locator(".demo-fetch")).to_be_hidden()
    measure(seen, 6 * MB)
    assert not [said for said in seen.complaints if "500" not in said], "but for the Measure that was refused"


@pytest.mark.browser
def test_cancel_stops_the_download_and_the_tab_works_on(hub: Hub, start: Callable[[], str], visit: Visits) -> None:
    stalled = threading.Event()
    hub.fault = stall_body(hub, at=MB, stalled=stalled)
    seen = open_far(start, visit)
    page = seen.page
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    assert stalled.wait(30)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".demo-fetch").get_by_role("status")).to_contain_text("was cancelled", timeout=3_000)
    choose(seen, "Near")
    measure(seen, 2)
    hub.fault = None
    choose(seen, "Far")
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.get_by_label("Weights")).to_have_value(ON_DISK)
    assert not seen.complaints


@pytest.mark.browser
def test_two_checkpoints_are_fetched_at_once_and_each_shows_its_own(
    hub: Hub, start: Callable[[], str], visit: Visits
) -> None:
    seen = open_far(start, visit)
    page = seen.page
    hub.throttle = 0.3 * MB
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    moves(seen)
    choose(seen, "Off")
    expect(page.get_by_text("other/model")).to_be_visible()
    hub.throttle = 2 * MB
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.get_by_role("progressbar", name="Off")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".demo-fetch").get_by_role("status")).to_contain_text("other/model was cancelled")
    choose(seen, "Far")
    moves(seen)
    choose(seen, "Off")
    hub.throttle = None
    seen.page.get_by_label("Weights").click()
    expect(page.get_by_role("option", name="on disk")).to_be_visible()
    expect(page.get_by_text("other/model")).to_be_visible()


@pytest.mark.browser
def test_who_comes_later_sees_that_it_is_fetched_and_finds_it_there(
    hub: Hub, start: Callable[[], str], visit: Visits
) -> None:
    url = start()
    one, other = (visit(url, query="demo=reader") for _ in range(2))
    hub.throttle = 0.3 * MB
    choose(one, "Far")
    one.page.get_by_role("button", name="Fetch 6.0 MB").click()
    moves(one)
    choose(other, "Far")
    expect(other.page.locator(".demo-fetch").get_by_role("status")).to_contain_text("It is being fetched already")
    other.page.get_by_role("button", name="Wait for it").click()
    moves(other)
    one.page.get_by_role("button", name="Cancel").click()
    expect(one.page.locator(".demo-fetch").get_by_role("status")).to_contain_text("others do")
    one.page.close()
    hub.throttle = None
    expect(other.page.get_by_label("Weights")).to_have_value(ON_DISK)
    assert len(hub.bodies()) == 2, "each of two files once"
    late = visit(url, query="demo=reader")
    choose(late, f"{FAR} (6.0 MB, apache-2.0, on disk)")
    expect(late.page.locator(".demo-fetch")).to_be_hidden()
    measure(late, 6 * MB)


@pytest.mark.browser
def test_a_folder_of_ones_own_is_chosen_and_kept_until_the_page_is_closed(
    host: Callable[..., Any], start: Callable[[], str], visit: Visits, tmp_path: Path
) -> None:
    server = host(public=False, goodbye_seconds=1)
    one, other = (visit(server.url, query="demo=reader", width=width) for width in (1280, 390))
    page = one.page
    folder = tmp_path / "mine"
    folder.mkdir()
    choose(one, "A folder of your own …")
    path = page.get_by_label("Path of the folder")
    path.fill(str(folder))
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("alert").get_by_text("The folder mine lacks config.json").first).to_be_visible()
    expect(page.get_by_label("Weights")).to_have_value("A folder of your own …")
    for name in FILES:
        (folder / name).write_bytes(b"1234")
    path.press("Enter")
    expect(page.get_by_label("Weights")).to_have_value("mine (8 bytes, your own)")
    expect(path).to_be_hidden()
    measure(one, 4)
    choose(one, "Far")
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.get_by_label("Weights")).to_have_value(ON_DISK)
    choose(one, "mine (8 bytes, your own)")
    measure(one, 4)
    choose(other, "A folder of your own …")
    expect(other.page.get_by_label("Path of the folder")).to_be_visible()
    assert other.overflow() <= 0
    other.page.get_by_label("Weights").click()
    expect(other.page.get_by_role("option", name="your own")).to_have_count(1)
    models = server.app.models
    page.close()
    with models._changed:
        assert models._changed.wait_for(lambda: not models._own, timeout=30)
    assert not other.complaints


@pytest.mark.browser
def test_a_failure_says_why_and_the_next_click_tries_again(hub: Hub, start: Callable[[], str], visit: Visits) -> None:
    seen = open_far(start, visit, width=390)
    page = seen.page
    hub.fault = refuse(hub, 429, Retry_After="90")
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.locator(".demo-fetch").get_by_role("alert")).to_contain_text("try again in 90 s")
    assert seen.overflow() <= 0
    choose(seen, "Near")
    measure(seen, 2)
    choose(seen, "Far")
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.locator(".demo-fetch").get_by_role("alert")).to_contain_text("try again in 90 s")
    hub.fault = None
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".demo-fetch")).to_be_hidden(timeout=30_000)


def test_what_the_page_says_of_a_download_is_escaped_and_never_past_the_end() -> None:
    evil = Checkpoint(
        name="far", title="<script>", repo_id="some/model", revision=COMMIT, license="<b>mine</b>", size=100
    )
    assert "<b>mine" not in offer(evil)
    over = meter(evil, Progress(done=200, total=100, rate=1e6, note="<i>"))
    assert "<script>" not in over
    assert 'aria-valuenow="100"' in over
    assert "&lt;i&gt;" in over


def test_the_fetch_has_a_name_and_says_what_it_takes(start: Callable[[], str]) -> None:
    url = start()
    info = httpx.get(f"{url}gradio_api/info").json()["named_endpoints"]
    assert {"/reader_fetch", "/reader_cancel_fetch"} <= set(info)
    assert "Hugging Face Hub" in info["/reader_fetch"]["description"]
    assert [taken["parameter_name"] for taken in info["/reader_fetch"]["parameters"]] == ["checkpoint"]
    outcome, said = client.call(url, "reader_fetch", "far")
    assert (outcome, said[1]) == ("complete", f"<p>{html.escape(FAR)} is on this disk.</p>")
    assert client.call(url, "reader_fetch", "near")[0] == "complete"
