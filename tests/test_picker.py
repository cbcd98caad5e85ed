"""Getting weights from the Hub as a visitor does: size first, a bar that moves, Cancel, and a tab that works on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from conftest import Plugins
from hub_server import Hub, refuse
from playwright.sync_api import expect

from demo_app import Checkpoint
from demo_app.hub import Progress
from demo_app.picker import meter, offer

if TYPE_CHECKING:
    from browser_fixtures import Visit, Visits

pytest_plugins = ["browser_fixtures"]

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
    return [Demo(name="reader", title="Reader", summary="Reads weights.", load=load, build=build,
                 checkpoints=(near, far))]
"""


@pytest.fixture
def start(hub: Hub, plugins: Plugins, host: Callable[..., Any]) -> Callable[[], str]:
    """Start the host with two demos: `good`, and `reader` with one checkpoint embedded and one on the Hub."""
    hub.add("some/model", FILES, sha=COMMIT)
    plugins.add_good()
    plugins.add("reader", READER)
    near = next(path.parent for path in plugins.path.rglob("*.py") if "Reads weights" in path.read_text()) / "near"
    near.mkdir()
    for name in FILES:
        (near / name).write_bytes(b"{}")
    return lambda: str(host().url)


def choose(visit: Visit, label: str) -> None:
    visit.page.get_by_label("Weights").click()
    visit.page.get_by_role("option", name=label).click()


def open_far(start: Callable[[], str], visit: Visits, **look: Any) -> Visit:
    seen = visit(start(), query="demo=reader", **look)
    seen.page.get_by_label("Weights").wait_for()
    choose(seen, "Far")
    return seen


@pytest.mark.browser
def test_size_first_then_a_bar_with_speed_while_the_rest_of_the_page_answers(
    hub: Hub, start: Callable[[], str], visit: Visits
) -> None:
    seen = open_far(start, visit)
    page = seen.page
    expect(page.get_by_text(f"some/model at {COMMIT[:7]}, 6.0 MB, licence apache-2.0")).to_be_visible()
    assert hub.log == []
    hub.throttle = 1.5 * MB
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    bar = page.get_by_role("progressbar", name="Far & <b>away</b>")
    expect(bar).to_be_visible()
    expect(page.get_by_text("MB/s").first).to_be_visible()
    before = int(bar.get_attribute("aria-valuenow") or 0)
    page.wait_for_function(
        "before => document.querySelector('.demo-fetch [role=progressbar]')?.getAttribute('aria-valuenow') > before",
        arg=before,
    )
    choose(seen, "Near")
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_label("Size")).to_have_value("2 bytes")
    seen.open("Good")
    page.get_by_label("text").first.fill("hello")
    hub.throttle = None
    seen.open("Reader")
    choose(seen, "Far")
    expect(page.get_by_label("Weights")).to_have_value(
        "Far & <b>away</b> (6.0 MB, apache-2.0, on disk)", timeout=30_000
    )
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_label("Size")).to_have_value(f"{6 * MB} bytes")
    expect(page.locator(".demo-fetch")).to_be_hidden()
    assert not seen.complaints


@pytest.mark.browser
def test_cancel_stops_the_download_and_the_tab_works_on(hub: Hub, start: Callable[[], str], visit: Visits) -> None:
    seen = open_far(start, visit)
    page = seen.page
    hub.throttle = 0.2 * MB
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.get_by_text("MB/s").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".demo-fetch").get_by_role("status")).to_contain_text("was cancelled", timeout=3_000)
    choose(seen, "Near")
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_label("Size")).to_have_value("2 bytes")
    hub.throttle = None
    choose(seen, "Far")
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.locator(".demo-fetch")).to_be_hidden(timeout=30_000)


@pytest.mark.browser
def test_a_failure_says_why_and_the_next_click_tries_again(hub: Hub, start: Callable[[], str], visit: Visits) -> None:
    seen = open_far(start, visit, width=390)
    page = seen.page
    hub.fault = refuse(hub, 429, Retry_After="90")
    page.get_by_role("button", name="Fetch 6.0 MB").click()
    expect(page.locator(".demo-fetch").get_by_role("alert")).to_contain_text("try again in 90 s")
    assert seen.overflow() <= 0
    hub.fault = None
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".demo-fetch")).to_be_hidden(timeout=30_000)


def test_a_visitor_who_cancels_leaves_the_download_to_the_others(hub: Hub, start: Callable[[], str]) -> None:
    from demo_app.fetches import Fetches
    from demo_app.hub import Cancelled, locate

    hub.add("some/model", FILES, sha=COMMIT)
    far = Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, files=tuple(FILES))
    fetches = Fetches()
    hub.throttle = 2 * MB
    one, other = fetches.follow(far, "one"), fetches.follow(far, "other")
    next(one), next(other)
    assert fetches.cancel(far, "one")
    with pytest.raises(Cancelled, match="others do"):
        list(one)
    hub.throttle = None
    assert list(other)[-1].done == sum(map(len, FILES.values()))
    assert locate(far) is not None
    assert len(hub.bodies()) == 2
    assert not fetches.cancel(far, "other")


def test_a_visitor_who_closes_the_page_leaves_and_the_download_goes_on(hub: Hub, hub_cache: Any) -> None:
    from demo_app.fetches import Fetches
    from demo_app.hub import locate

    hub.add("some/model", FILES, sha=COMMIT)
    far = Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, files=tuple(FILES))
    fetches = Fetches()
    hub.throttle = 3 * MB
    only = fetches.follow(far, "only")
    next(only)
    only.close()
    list(fetches.follow(far, "next"))  # joins what still runs
    assert locate(far) is not None
    assert len(hub.bodies()) == 2


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
    info = httpx.get(f"{start()}gradio_api/info").json()["named_endpoints"]
    assert {"/reader_fetch", "/reader_cancel_fetch"} <= set(info)
    assert "Hugging Face Hub" in info["/reader_fetch"]["description"]
