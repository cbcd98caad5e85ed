"""A page whose one demo waits for the Hub: the Hub's trouble is that demo's alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import wire
from conftest import Plugins
from hub_server import Hub, refuse, stall_body

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FAR = f"""
from demo_app import Checkpoint, Demo, hookimpl

def load(folder, device):
    return (folder / "config.json").read_text

def build(handle):
    import gradio as gr

    def read(text):
        with handle.use("far") as model:
            return model()

    gr.Button("Read").click(read, gr.Textbox(), gr.Textbox(), api_name="read", queue=False)

@hookimpl
def register_demos():
    files = ("config.json", "model.safetensors")
    far = Checkpoint(name="far", title="Far", repo_id="some/model", revision="{COMMIT}", files=files, size=300_012)
    return [Demo(name="far", title="Far", summary="From afar.", load=load, build=build, checkpoints=(far,))]
"""


@pytest.fixture
def url(hub: Hub, plugins: Plugins, host: Callable[..., Any]) -> str:
    """Two demos: `good` needs nothing, `far` reads a checkpoint that is on the Hub alone."""
    hub.add("some/model", {"config.json": b'{"width": 8}', "model.safetensors": bytes(300_000)}, sha=COMMIT)
    plugins.add_good()
    plugins.add("far", FAR)
    return str(host().url)


def assert_others_work(url: str) -> None:
    assert wire.run(url, "good_shout", "hello").json()["data"] == ["HELLO"]
    assert wire.call(url, "good_shout_queued", "hello") == ("complete", ["HELLO"])


def test_a_download_that_hangs_keeps_no_other_tab_waiting(hub: Hub, url: str) -> None:
    assert hub.log == [], "the page itself asked the Hub"
    stalled = threading.Event()
    hub.fault = stall_body(hub, at=100_000, times=1, stalled=stalled)
    with ThreadPoolExecutor() as pool:
        visitors = [pool.submit(wire.run, url, "far_read", "") for _ in range(3)]
        assert stalled.wait(10)
        assert_others_work(url)
        assert not any(visitor.done() for visitor in visitors)
        assert [visitor.result().json()["data"] for visitor in visitors] == [['{"width": 8}']] * 3
    assert len(hub.bodies()) == 3, "two files, and one of them a second time after it stalled"


def test_a_hub_that_refuses_is_told_to_who_asked_and_the_next_click_tries_again(hub: Hub, url: str) -> None:
    hub.fault = refuse(hub, 401)
    refusal = wire.run(url, "far_read", "")
    assert refusal.status_code == 500
    assert "set HF_TOKEN" in refusal.json()["error"]
    assert_others_work(url)
    hub.fault = None
    assert wire.run(url, "far_read", "").json()["data"] == ['{"width": 8}']
