"""Behind nginx, at a path of its own, with the configuration of docs/hosting.md."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import expect
from plugins_on_disk import ROOT, Plugins

from demo_app.serving.local import free_port
from demo_app.testing import serve

if TYPE_CHECKING:
    from demo_app.serving.server import Server
    from demo_app.testing.browser import Visits

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")

TAB = """
import threading
from pathlib import Path

from demo_app import Demo, hookimpl

seen = threading.Event()

def build(handle):
    import gradio as gr

    def spell(text):
        "Spell a text. Args: text: any. Returns: its letters, as they come."
        seen.clear()
        yield text[:1]
        if not seen.wait(60):
            raise RuntimeError("whoever buffers shows the first letter only once all have come")
        yield text

    def go_on():
        "Let the rest come. Returns: nothing."
        seen.set()

    def weigh(file):
        "Say how long a file is, and give it back. Args: file: any. Returns: its bytes, and the same file."
        data = Path(file).read_bytes()
        copy = Path(file).with_name("copy.bin")
        copy.write_bytes(data)
        return len(data), str(copy)

    text, spelt = gr.Textbox(label="Text"), gr.Textbox(label="Letters")
    gr.Button("Spell").click(spell, text, spelt, api_name="spell")
    gr.Button("Go on").click(go_on, None, None, api_name="go_on", queue=False)
    file, size, copy = gr.File(label="Upload"), gr.Number(label="Bytes"), gr.File(label="Copy")
    file.upload(weigh, file, [size, copy], api_name="weigh")

@hookimpl
def register_demos():
    return [Demo(name="post", title="Post", summary="Sends and gets.", load=lambda *_: str, build=build)]
"""


def blocks_of_the_page() -> tuple[str, str]:
    """The `server` and the `upstream` of docs/hosting.md."""
    page = (ROOT / "docs" / "hosting.md").read_text("utf-8")
    server, upstream = re.findall(r"```nginx\n(.*?)```", page, flags=re.DOTALL)
    return server, upstream


@contextmanager
def nginx(folder: Path, blocks: str) -> Iterator[str]:
    """Where nginx shows what is at /demos/, as visitors type it."""
    port = free_port()
    assert "listen 80;" in blocks
    icon = "location = /favicon.ico { return 204; }"  # browsers ask for it outside of /demos/: it is the whole site's
    blocks = blocks.replace("listen 80;", f"listen 127.0.0.1:{port}; {icon}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{blocks}\n}}\n"
    )
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors.log")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        until_it_answers(port, process)
        yield f"http://127.0.0.1:{port}/demos/"
    finally:
        process.terminate()
        process.wait(timeout=10)


def place(server: Server) -> str:
    """Host and port."""
    return httpx.URL(server.url).netloc.decode()


@pytest.fixture(scope="module")
def plugins_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plugins = Plugins(tmp_path_factory.mktemp("post") / "plugins")
    plugins.add("post", TAB)
    return plugins.path


@pytest.fixture(scope="module")
def address(plugins_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(plugins_dir=plugins_dir, only=("post",), strict=True, root_path="/demos") as server:
        block = blocks_of_the_page()[0].replace("127.0.0.1:7860", place(server))
        with nginx(tmp_path_factory.mktemp("nginx"), block) as address:
            yield address


def until_it_answers(port: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    pytest.fail(f"nginx ended: {process.stdout.read() if process.stdout else ''}")


def test_a_program_calls_streams_and_exchanges_files(address: str, tmp_path: Path) -> None:
    client = Client(address, verbose=False)
    job = client.submit("hello", api_name="/post_spell")
    first = next(iter(job))
    client.predict(api_name="/post_go_on")
    assert (first, job.result(timeout=60)) == ("h", "hello")
    sent = tmp_path / "sent.bin"
    sent.write_bytes(bytes(range(256)) * 12_000)  # 3 MB: more than nginx takes by itself
    size, copy = client.predict(handle_file(sent), api_name="/post_weigh")
    assert size == 3_072_000
    assert Path(copy).read_bytes() == sent.read_bytes()


def test_the_page_works_in_a_browser_and_asks_for_nothing_outside_its_path(
    address: str, visit: Visits, tmp_path: Path
) -> None:
    seen = visit(address)
    refused: list[str] = []
    seen.page.on("response", lambda got: refused.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    seen.page.get_by_label("Text", exact=True).fill("hello")
    seen.page.get_by_role("button", name="Spell", exact=True).click()
    expect(seen.page.get_by_label("Letters")).to_have_value("h")
    seen.page.get_by_role("button", name="Go on").click()
    expect(seen.page.get_by_label("Letters")).to_have_value("hello")
    sent = tmp_path / "sent.txt"
    sent.write_bytes(b"x" * 2_000_000)
    seen.page.locator("input[type=file]").first.set_input_files(sent)
    expect(seen.page.get_by_label("Bytes")).to_have_value("2000000")
    link = seen.page.locator("a[download]", has_text=re.compile("MB|KB")).last
    with seen.page.expect_download() as waiting:
        link.click()
    assert Path(waiting.value.path()).read_bytes() == sent.read_bytes()
    assert (seen.complaints, refused) == ([], [])
    outside = [url for url in seen.requests if url.startswith(("http", "ws")) and not url.startswith(address)]
    assert outside == []


def test_health_and_the_list_of_actions_are_there_too_and_metrics_are_not(address: str) -> None:
    assert httpx.get(f"{address}healthz").json()["plugins"] == {"ok": 1}
    assert httpx.get(f"{address}metrics").status_code == 403
    assert httpx.get(f"{address}gradio_api/metrics").status_code == 403
    assert httpx.get(address.rstrip("/"), follow_redirects=True).url == address
    described: dict[str, Any] = httpx.get(f"{address}gradio_api/info").json()
    assert "/post_spell" in json.dumps(described)
    assert httpx.get(f"{address}config").json()["root"] == address.rstrip("/")


def test_the_name_of_the_site_is_answered_because_the_setting_names_it(
    plugins_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The recipe passes the header Host on, so the host behind it sees the name that visitors type."""
    site = {"Host": "example.org"}
    named = re.search(r"Environment=DEMO_APP_ALLOWED_HOSTS=(\S+)", (ROOT / "docs" / "hosting.md").read_text("utf-8"))
    assert named is not None
    for hosts, status in (((named[1],), 200), ((), 403)):
        chosen = {"only": ("post",), "strict": True, "root_path": "/demos", "allowed_hosts": hosts}
        with serve(plugins_dir=plugins_dir, **chosen) as server:
            block = blocks_of_the_page()[0].replace("127.0.0.1:7860", place(server))
            with nginx(tmp_path_factory.mktemp("nginx"), block) as address:
                answer = httpx.get(f"{address}healthz", headers=site)
                assert answer.status_code == status
                sent = {"files": ("a.txt", b"x")}
                origin = site | {"Origin": "http://example.org"}
                assert httpx.post(f"{address}gradio_api/upload", files=sent, headers=origin).status_code == status
    assert "DEMO_APP_ALLOWED_HOSTS" in answer.text


def test_a_visitor_stays_with_one_of_several_processes(plugins_dir: Path, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"plugins_dir": plugins_dir, "only": ("post",), "strict": True, "root_path": "/demos"}
    with serve(**chosen) as one, serve(**chosen) as other:
        server, upstream = blocks_of_the_page()
        upstream = upstream.replace("127.0.0.1:7860", place(one)).replace("127.0.0.1:7861", place(other))
        server = server.replace("http://127.0.0.1:7860/", "http://demos/")
        with nginx(tmp_path, upstream + server) as address:
            for _ in range(4):
                client = Client(address, verbose=False)
                client.predict(api_name="/post_go_on")
                job = client.submit("hello", api_name="/post_spell")
                next(iter(job))
                client.predict(api_name="/post_go_on")
                assert job.result(timeout=60) == "hello"
