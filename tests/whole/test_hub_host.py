"""A page with one demo that depends on the Hub: faults of the Hub affect no other demo."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from plugins_on_disk import Plugins

from demo_app.serving import client
from demo_app.testing.faults import refuse, stall_body
from demo_app.testing.hub import Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FAR = f"""
from demo_app import Checkpoint, Demo, hookimpl

def load(folder, device):
    return (folder / "config.json").read_text

def build(handle):
    import gradio as gr

    def read(checkpoint):
        with handle.use(checkpoint) as model:
            return model()

    gr.Button("Read").click(read, handle.picker(), gr.Textbox(), api_name="read", queue=False)

@hookimpl
def register_demos():
    files = ("config.json", "model.safetensors")
    far = Checkpoint(name="far", title="Far", repo_id="some/model", revision="{COMMIT}", files=files, size=300_012)
    return [Demo(name="far", title="Far", summary="From afar.", load=load, build=build, checkpoints=(far,))]
"""


def publish(hub: Hub) -> None:
    hub.add("some/model", {"config.json": b'{"width": 8}', "model.safetensors": bytes(300_000)}, sha=COMMIT)


@pytest.fixture
def url(hub: Hub, plugins: Plugins, host: Callable[..., Any]) -> str:
    """Two demos: `good` needs nothing, `far` reads a checkpoint that is on the Hub alone."""
    publish(hub)
    plugins.add_good()
    plugins.add("far", FAR)
    return str(host().url)


def assert_others_work(url: str) -> None:
    assert client.run(url, "good_shout", "hello").json()["data"] == ["HELLO"]
    assert client.call(url, "good_shout_queued", "hello") == ("complete", ["HELLO"])


def fetch(url: str) -> tuple[str, Any]:
    """Press Fetch and wait for the end: "complete" or "error", and what the page then shows."""
    return client.call(url, "far_fetch", "far")


def test_a_click_never_waits_for_the_network(hub: Hub, url: str) -> None:
    refused = client.run(url, "far_read", "far")
    assert refused.status_code == 500
    assert "Far: Far is not on this disk yet (300.0 kB): press Fetch below the picker" in refused.json()["error"]
    assert "demo-app download far/far" in refused.json()["error"]
    assert hub.log == []


def test_visitors_share_one_download_which_blocks_no_other_tab(hub: Hub, url: str) -> None:
    stalled = threading.Event()
    hub.fault = stall_body(hub, at=100_000, times=1, stalled=stalled)
    with ThreadPoolExecutor() as pool:
        visitors = [pool.submit(fetch, url) for _ in range(3)]
        assert stalled.wait(10)
        assert_others_work(url)
        assert not any(visitor.done() for visitor in visitors)
        assert [visitor.result()[0] for visitor in visitors] == ["complete"] * 3
    assert len(hub.bodies()) == 3, "two files, and one of them a second time after it stalled"
    assert client.run(url, "far_read", "far").json()["data"] == ['{"width": 8}']


def test_a_refusal_of_the_hub_is_reported_to_the_visitor_and_the_next_click_tries_again(hub: Hub, url: str) -> None:
    hub.fault = refuse(hub, 401)
    outcome, said = fetch(url)
    assert outcome == "error"
    assert "set HF_TOKEN" in str(said)
    assert_others_work(url)
    hub.fault = None
    assert fetch(url)[0] == "complete"
    assert client.run(url, "far_read", "far").json()["data"] == ['{"width": 8}']


def test_a_restart_finds_fetched_files_without_a_request(hub: Hub, plugins: Plugins, host: Callable[..., Any]) -> None:
    publish(hub)
    plugins.add("far", FAR)
    assert fetch(str(host().url))[0] == "complete"
    hub.log.clear()
    again = host()
    assert client.run(again.url, "far_read", "far").json()["data"] == ['{"width": 8}']
    assert "on disk" in client.text_of(again.url)
    assert hub.log == []
