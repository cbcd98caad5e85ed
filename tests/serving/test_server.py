"""What operators rely on: health, metrics, limits, warming up, and an orderly end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from plugins_on_disk import ROOT, Plugins

import demo_app
from demo_app.serving import client

SLOW = """
from demo_app import Demo, hookimpl
def load(folder, device): return object()
def build(handle):
    import time
    import gradio as gr
    def wait(seconds):
        "Wait. Args: seconds. Returns: the same."
        time.sleep(seconds)
        return seconds
    seconds, out = gr.Number(label="Seconds"), gr.Number(label="Waited")
    gr.Button("Now").click(wait, seconds, out, api_name="wait", queue=False)
    gr.Button("In the queue").click(wait, seconds, out, api_name="wait_queued", concurrency_limit=2)
@hookimpl
def register_demos(): return [Demo(name="slow", title="Slow", summary="Waits.", load=load, build=build)]
"""

READER = """
from demo_app import Demo, hookimpl
def build(handle):
    import gradio as gr
    gr.File(label="File").upload(lambda file: None, None, None, api_name="read")
@hookimpl
def register_demos(): return [Demo(name="reader", title="Reader", summary="Reads.", load=lambda *_: str, build=build)]
"""


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)


@pytest.fixture
def process(plugins: Any) -> Any:
    """Start the app as its own process, with that command and these variables; ended after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **variables: str) -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environ = os.environ | {"DEMO_APP_PLUGINS_DIR": str(plugins.path), "DEMO_APP_PORT": str(port)} | variables
        arguments = [sys.executable, *(command or ("-m", "demo_app", "run"))]
        started.append(subprocess.Popen(arguments, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL))
        url = f"http://127.0.0.1:{port}/"
        wait_for(lambda: _is_up(url), 60)
        return started[-1], url

    yield start
    for each in started:
        each.kill()
        each.wait()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_variable_overrides_the_folder_of_app_py_and_the_option_overrides_both(
    plugins: Any, process: Any, tmp_path: Path
) -> None:
    plugins.add_good("good")
    other = Plugins(tmp_path / "other")
    other.add_good("better")
    environ = {"DEMO_APP_PRELOAD": "none", "DEMO_APP_TITLE": "From the variable"}
    _, url = process("app.py", **environ)
    assert tabs_of(url) == ["good", "status"]
    assert httpx.get(f"{url}config").json()["title"] == "From the variable"
    _, url = process("-m", "demo_app", "run", "--plugins-dir", str(other.path), **environ)
    assert tabs_of(url) == ["better", "status"]


def tabs_of(url: str) -> list[str]:
    tabs = [c["props"].get("id") for c in client.config(url)["components"] if c["type"] == "tabitem"]
    return [name for name in tabs if name is not None]


@pytest.mark.parametrize("keyword", ["plugins_dir", "only"])
def test_a_variable_overrides_a_keyword_of_create_app(
    keyword: str, plugins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.add_good("good")
    plugins.add_good("better")
    named = {"plugins_dir": plugins.path, "only": ("good",), keyword: ("none",) if keyword == "only" else ROOT / "docs"}
    monkeypatch.setenv(f"DEMO_APP_{keyword.upper()}", "good" if keyword == "only" else str(plugins.path))
    tabs = demo_app.create_app(**named).tabs
    assert [tab.name for tab in tabs] == ["good"]


def test_idle_connections_outlive_those_that_a_proxy_keeps(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    assert host().app.blocks.server.config.timeout_keep_alive > 60  # of nginx


@pytest.mark.parametrize("path", ["healthz", "gradio_api/healthz"])
def test_healthz_counts_plugins_by_state(path: str, plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    plugins.add("bad", "import nothing_of_this_name")
    answer = httpx.get(f"{host().url}{path}")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "plugins": {"failed": 1, "ok": 1}}


def test_metrics_report_requests_latencies_errors_models_and_queue(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    server = host()
    for text in ("hello", "boom", " "):
        client.run(server.url, "good_shout", text)
    lines = httpx.get(f"{server.url}metrics").text.splitlines()
    for outcome in ("ok", "error", "refused"):
        assert f'demo_app_requests_total{{action="shout",demo="good",outcome="{outcome}"}} 1.0' in lines
    assert 'demo_app_request_seconds_count{action="shout",demo="good"} 3.0' in lines
    assert "demo_app_models_loaded 1.0" in lines
    assert "demo_app_model_evictions_total 0.0" in lines
    assert "demo_app_queue_length 0.0" in lines
    assert any(line.startswith("demo_app_model_bytes ") for line in lines)


def test_gradios_own_monitoring_and_history_are_closed(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    url = host().url
    assert httpx.get(f"{url}monitoring/summary").status_code in (403, 404)
    assert not client.config(url).get("run_history")


def test_too_long_a_text_is_refused_with_both_numbers(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    server = host(max_text=100)
    assert client.run(server.url, "good_shout", "x" * 100).status_code == 200
    assert "101 characters and the limit is 100" in client.run(server.url, "good_shout", "x" * 101).json()["error"]
    assert "1,048,576" in client.run(server.url, "good_shout", "x" * 2**20).json()["error"]


def test_too_large_an_upload_is_refused(plugins: Any, host: Any) -> None:
    plugins.add("reader", READER)
    server = host(max_upload=1000)
    send = lambda n: httpx.post(f"{server.url}gradio_api/upload", files={"files": ("a.csv", b"x" * n)})  # noqa: E731
    assert send(500).status_code == 200
    refused = send(5000)
    assert refused.status_code == 413
    assert "maximum allowed size" in refused.text


def test_a_full_queue_refuses_the_next_visitor(plugins: Any, host: Any) -> None:
    plugins.add("slow", SLOW)
    server = host(queue_size=1)
    url = f"{server.url}gradio_api/queue/join"
    fn = next(d["id"] for d in client.config(server.url)["dependencies"] if d["api_name"] == "slow_wait_queued")
    bodies = [{"data": [3.0], "fn_index": fn, "session_hash": f"visitor{i}"} for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda body: httpx.post(url, json=body, timeout=30), bodies))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert {answer.status_code for answer in refused} == {503}
    assert all("try again in a minute" in answer.json()["detail"] for answer in refused)


def test_strangers_get_no_unload_button(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    alone, public = host(), host(public=True)
    assert "unload" in {d["api_name"] for d in client.config(alone.url)["dependencies"]}
    assert "unload" not in {d["api_name"] for d in client.config(public.url)["dependencies"]}
    assert '"Unload"' not in client.text_of(public.url)


def test_unload_gives_a_models_memory_back(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    server = host()
    client.run(server.url, "good_shout", "hello")
    assert "ready" in client.run(server.url, "status").json()["data"][0]
    assert "ready" not in client.run(server.url, "unload", "good").json()["data"][0]


def test_the_status_page_shows_plugins_checkpoints_and_memory(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    plugins.add("bad", "import nothing_of_this_name")
    report = client.run(host().url, "status").json()["data"][0]
    for text in ("good", "0.1.0", "folder good/", "nothing_of_this_name", "absent", "0 bytes of", "CPUs"):
        assert text in report


def test_the_first_model_is_warm_once_the_page_was_opened(plugins: Any, process: Any) -> None:
    plugins.add_good("good")
    _, url = process(DEMO_APP_PRELOAD="first")
    load = next(d["id"] for d in client.config(url)["dependencies"] if ["load"] in [t[1:] for t in d["targets"]])
    httpx.post(f"{url}gradio_api/run/predict", json={"fn_index": load, "data": [], "session_hash": "visitor"})
    wait_for(lambda: "demo_app_models_loaded 1.0" in httpx.get(f"{url}metrics").text.splitlines())


def test_torch_is_not_imported_before_a_model_that_needs_it_is_used(plugins: Any, process: Any) -> None:
    folder = plugins.add_good("good")
    (module,) = folder.glob("*.py")
    module.write_text(module.read_text().replace("    return str.upper", "    import torch\n    return str.upper"))
    server, url = process(DEMO_APP_PRELOAD="none")
    httpx.get(url)
    assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()
    client.run(url, "good_shout", "hello")
    assert "libtorch" in Path(f"/proc/{server.pid}/maps").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_ends_in_time_and_refuses_the_rest(number: int, plugins: Any, process: Any) -> None:
    plugins.add("slow", SLOW)
    server, url = process(DEMO_APP_PRELOAD="none")
    with ThreadPoolExecutor(4) as pool:
        soon = pool.submit(client.run, url, "slow_wait", 2)
        soon_queued = pool.submit(client.call, url, "slow_wait_queued", 2)
        never = pool.submit(client.run, url, "slow_wait", 60)
        never_queued = pool.submit(client.call, url, "slow_wait_queued", 60)
        wait_for(lambda: "demo_app_running 4.0" in httpx.get(f"{url}metrics").text.splitlines())
        stopped = time.monotonic()
        server.send_signal(number)
        assert server.wait(10) == 0
        assert time.monotonic() - stopped < 5
        assert soon.result().json()["data"] == [2]
        assert soon_queued.result() == ("complete", [2])
        assert never.result().status_code == 503
        assert "restarting" in never.result().json()["error"]
        assert "restarting" in never_queued.result()[1]["error"]


def test_a_page_left_open_does_not_delay_the_end(plugins: Any, process: Any) -> None:
    plugins.add_good("good")
    server, url = process(DEMO_APP_PRELOAD="none")
    with httpx.stream("GET", f"{url}gradio_api/heartbeat/visitor", timeout=30) as heartbeat:
        next(heartbeat.iter_raw())
        stopped = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        assert time.monotonic() - stopped < 5
