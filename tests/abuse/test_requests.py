"""What a request may cost and who may send it, on one running host, also when it is not the page that asks."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr
import httpx
import pytest
from plugins_on_disk import Plugins
from starlette.datastructures import Headers

from demo_app.errors import SettingsError
from demo_app.gradio_internals import no_web_servers
from demo_app.serving import bounds, client, routes
from demo_app.serving.bounds import Names
from demo_app.settings import Settings
from demo_app.testing import serve

if TYPE_CHECKING:
    from demo_app.serving.server import Server

TEXTS = """
from demo_app import Demo, hookimpl

def build(handle):
    import gradio as gr

    def shout(text):
        "Say it louder. Args: text: any. Returns: the same in capitals."
        return text.upper()

    def weigh(file):
        "Weigh a file. Args: file: any. Returns: its bytes."
        import os
        return os.path.getsize(file)

    box, out = gr.Textbox(label="Text"), gr.Textbox(label="Louder")
    gr.Button("Shout").click(shout, box, out, api_name="shout", queue=False)
    gr.Button("In the queue").click(shout, box, out, api_name="queued")
    WITH_FILES

@hookimpl
def register_demos():
    return [Demo(name="NAME", title="NAME", summary="Of texts.", load=lambda *_: str, build=build)]
"""
FILES = 'file, size = gr.File(label="File"), gr.Number(); file.upload(weigh, file, size, api_name="weigh")'
MB = 2**20
TOKEN = "a-token-of-16-characters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Plugins:
    plugins = Plugins(tmp_path_factory.mktemp("requests") / "plugins")
    plugins.add("texts", TEXTS.replace("NAME", "texts").replace("WITH_FILES", "pass"))
    plugins.add("files", TEXTS.replace("NAME", "files").replace("WITH_FILES", FILES))
    return plugins


@pytest.fixture(scope="module")
def server(folder: Plugins) -> Iterator[Server]:
    chosen = {"max_request": MB, "max_upload": MB, "max_uploads": 8 * MB, "metrics": TOKEN}
    with serve(plugins_dir=folder.path, allowed_hosts=("demos.example.org",), mcp=True, **chosen) as server:
        yield server


@pytest.fixture(scope="module")
def without_files(folder: Plugins) -> Iterator[Server]:
    with serve(plugins_dir=folder.path, only=("texts",)) as server:
        yield server


# Bytes and time

POSTED = (
    "queue/join",
    "queue/join/",
    "run/texts_shout",
    "api/texts_shout",
    "call/texts_queued",
    "call/v2/texts_queued",
    "cancel",
    "reset",
    "mcp",
    "mcp/",
    "mcp/messages/",
    "upload",
)


@pytest.mark.parametrize("path", [*POSTED, "nothing/of/the/kind"])
def test_a_large_body_is_refused_before_it_is_read(server: Server, path: str) -> None:
    """A body of 300 MB is announced, and its first kilobyte sent."""
    connection = http.client.HTTPConnection(httpx.URL(server.url).host, httpx.URL(server.url).port, timeout=20)
    connection.putrequest("POST", f"/gradio_api/{path}")
    connection.putheader("Content-Length", str(300 * MB))
    connection.putheader("Content-Type", "application/json")
    connection.endheaders(b'{"data": ["' + b"x" * 1000)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    assert (answer.status, "which is the limit" in said) == (413, True)


@pytest.mark.parametrize("path", ["queue/join", "run/texts_shout", "call/texts_queued", "mcp/"])
def test_a_body_without_a_length_is_counted_while_it_comes(server: Server, path: str) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(300):
            sent += MB
            yield b"x" * MB

    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    url = f"{server.url}gradio_api/{path}"
    try:
        answer = httpx.post(url, content=body(), headers=headers, timeout=20)
    except httpx.TransportError:  # the connection was closed while the client still wrote
        assert sent < 300 * MB
    else:
        assert (answer.status_code, "which is the limit" in answer.text) == (413, True)


def test_a_whole_large_body_gets_its_answer_and_costs_no_memory(server: Server) -> None:
    before = resident()
    answer = httpx.post(f"{server.url}gradio_api/run/texts_shout", content=bytes(60 * MB), timeout=30)
    assert (answer.status_code, "1 MB" in answer.json()["error"]) == (413, True)
    assert resident() - before < 150 * MB  # 60 of them are this test's own


def resident() -> int:
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024  # type: ignore[index]


def test_a_body_that_never_ends_is_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "IDLE", 0.2)
    place = httpx.URL(server.url)
    with socket.create_connection((place.host, place.port), timeout=20) as connection:
        head = f"POST /gradio_api/run/texts_shout HTTP/1.1\r\nHost: {place.host}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"{")
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 408")
    assert b"took too long" in said


def test_what_is_small_is_answered(server: Server) -> None:
    assert client.run(server.url, "texts_shout", "hello").json()["data"] == ["HELLO"]
    assert client.call(server.url, "texts_queued", "hello") == ("complete", ["HELLO"])


def test_the_refusal_is_in_the_visitors_language(server: Server) -> None:
    headers = {"Accept-Language": "zh-CN"}
    answer = httpx.post(f"{server.url}gradio_api/cancel", content=bytes(2 * MB), headers=headers)
    assert re.search("[\u4e00-\u9fff]", answer.json()["error"])


# Which names, which sites


def get(server: Server, path: str = "healthz", **headers: str) -> httpx.Response:
    return httpx.get(f"{server.url}{path}", headers=headers)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:7860", "[::1]:80", "app.localhost", "Demos.example.org:443"])
def test_names_of_this_host_are_answered(server: Server, name: str) -> None:
    assert get(server, Host=name).status_code == 200


@pytest.mark.parametrize(
    "name", ["attacker.example", "127.0.0.1.nip.io", "localhost.attacker.example", "192.168.0.1", "example.org"]
)
@pytest.mark.parametrize("path", ["healthz", "", "gradio_api/run/texts_shout", "gradio_api/mcp/"])
def test_other_names_are_refused_with_the_setting_that_allows_them(server: Server, name: str, path: str) -> None:
    refused = get(server, path, Host=name)
    assert (refused.status_code, "DEMO_APP_ALLOWED_HOSTS" in refused.json()["error"]) == (403, True)


@pytest.mark.parametrize(
    ("chosen", "environ", "name", "answered"),
    [
        ({"root_path": "https://example.org/demos"}, {}, "example.org", True),
        ({"root_path": "/demos"}, {}, "example.org", False),
        ({"allowed_hosts": ("*",)}, {}, "anything.example", True),
        ({"host": "0.0.0.0"}, {}, "anything.example", True),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, "anything.example", True),
        ({}, {"GRADIO_SERVER_NAME": "localhost"}, "anything.example", False),
        ({}, {"SPACE_ID": "me/x", "SPACE_HOST": "me-x.hf.space"}, "me-x.hf.space", True),
        ({"host": "::1"}, {}, "anything.example", False),
        ({"host": "0.0.0.0", "allowed_hosts": ("example.org",)}, {}, "anything.example", False),
        ({"host": "0.0.0.0", "allowed_hosts": ("example.org",)}, {}, "10.1.2.3:7860", True),  # a probe of Kubernetes
        ({}, {}, "", True),
    ],
)
def test_which_names_are_answered_depends_on_the_address(
    chosen: dict[str, Any], environ: dict[str, str], name: str, answered: bool
) -> None:
    assert Names(Settings(**chosen), environ).answers(Headers({"host": name})) == answered


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://page.example"}, True),  # behind a proxy that hides Host
        ({"origin": "http://demos:7860"}, True),
        ({"origin": "http://demos:7860", "sec-fetch-site": "same-site"}, False),
        ({"origin": "http://demos:3000"}, False),
        ({"origin": "https://attacker.example"}, False),
        ({"origin": "https://attacker.example", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://allowed.example", "sec-fetch-site": "cross-site"}, True),
    ],
)
def test_uploads_of_other_sites_are_refused(headers: dict[str, str], accepted: bool) -> None:
    names = Names(Settings(allowed_hosts=("allowed.example",)), {})
    assert names.from_here(Headers({"host": "demos:7860"} | headers)) == accepted


def test_an_upload_from_another_site_is_refused_in_a_sentence(server: Server) -> None:
    sent = {"files": ("a.txt", b"x")}
    headers = {"Origin": "https://attacker.example", "Sec-Fetch-Site": "cross-site"}
    refused = httpx.post(f"{server.url}gradio_api/upload", files=sent, headers=headers)
    assert (refused.status_code, "another site" in refused.text) == (403, True)
    assert httpx.post(f"{server.url}gradio_api/upload", files=sent).status_code == 200


@pytest.mark.parametrize("text", ["https://example.org", "example.org:80", "a b", "example.org/x"])
def test_an_allowed_host_is_a_name_alone(text: str) -> None:
    with pytest.raises(SettingsError, match="DEMO_APP_ALLOWED_HOSTS"):
        Settings.from_env({"DEMO_APP_ALLOWED_HOSTS": text})


# Routes


def routes_of(router: Any, prefix: str = "") -> Iterator[str]:
    """The templates of all routes, of included routers too."""
    for route in router.routes:
        if inner := getattr(route, "original_router", None):
            yield from routes_of(inner, prefix)
        elif path := getattr(route, "path", None):
            yield prefix + path


def test_every_route_of_gradio_is_listed(server: Server) -> None:
    with no_web_servers(), gr.Blocks() as blocks:
        gr.Textbox()
    found = {*routes_of(gr.routes.App.create_app(blocks)), *routes_of(server.app.blocks.app)}
    assert len(found) > 80
    assert {path for path in found if not routes.is_known(path)} == set()


@pytest.mark.parametrize(
    "path",
    [re.sub(r"{[^}]*}", "x", template) for template in (*routes.CLOSED, *routes.NEEDED_BY)],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_route_that_no_demo_needs_is_closed(without_files: Server, path: str, method: str) -> None:
    for written in (path, f"{path}/"):
        answer = httpx.request(method, f"{without_files.url.rstrip('/')}{written}")
        assert answer.status_code == 404


def test_no_link_is_fetched_for_whoever_asks(server: Server) -> None:
    answer = get(server, "gradio_api/file=https://example.org/a.bin")
    assert (answer.status_code, "nothing here" in answer.json()["error"]) == (404, True)


def test_a_route_that_a_demo_needs_is_open(server: Server) -> None:
    sent = httpx.post(f"{server.url}gradio_api/upload", files={"files": ("a.txt", b"abc")}).json()
    file = {"path": sent[0], "meta": {"_type": "gradio.FileData"}}
    assert client.call(server.url, "files_weigh", file) == ("complete", [3])


# Headers, metrics


def test_answers_may_not_be_guessed_cached_or_told_to_others(server: Server) -> None:
    for path in ("", "config", "gradio_api/info", "healthz"):
        headers = get(server, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "x-frame-options" not in headers  # a Space shows the page in a frame of another site
    script = re.search(r'(?:src|href)="[^"]*(assets/[^"]+\.js)"', get(server, "").text)
    assert script is not None
    assert "no-store" not in get(server, script[1]).headers.get("cache-control", "")


def test_metrics_want_the_token(server: Server) -> None:
    for path in ("metrics", "gradio_api/metrics"):
        assert get(server, path).status_code == 401
        assert get(server, path, Authorization="Bearer another-token-of-16").status_code == 401
        assert "demo_app_requests" in get(server, path, Authorization=f"Bearer {TOKEN}").text


@pytest.mark.parametrize(("text", "read"), [("1", "open"), ("Closed", "closed"), ("no", "closed"), (TOKEN, TOKEN)])
def test_metrics_are_open_closed_or_have_a_token(text: str, read: str) -> None:
    assert Settings.from_env({"DEMO_APP_METRICS": text}).metrics == read


@pytest.mark.parametrize("text", ["clsoed", "short", "a token of several words"])
def test_a_slip_does_not_become_a_token(text: str) -> None:
    with pytest.raises(SettingsError, match="DEMO_APP_METRICS"):
        Settings.from_env({"DEMO_APP_METRICS": text})


# MCP


def tool(server: Server, name: str, **arguments: Any) -> dict[str, Any]:
    headers = {"Accept": "application/json, text/event-stream"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    answer = httpx.post(f"{server.url}gradio_api/mcp/", json=call, headers=headers, timeout=30)
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    found: dict[str, Any] = json.loads(data[-1] if data else answer.text)
    return found.get("result", found)


def test_arguments_of_tools_are_bounded_too(server: Server) -> None:
    assert tool(server, "texts_shout", text="hello")["content"][0]["text"] == "HELLO"
    assert "limit" in json.dumps(tool(server, "texts_shout", text="x" * 1_500_000))
    large = "data:text/plain;base64," + "QUFB" * (MB // 2)
    assert "limit" in json.dumps(tool(server, "files_weigh", file=large))
    assert "limit" in json.dumps(tool(server, "texts_shout", text="x" * 3 * MB))


def test_all_of_this_is_quick(server: Server) -> None:
    """A refusal takes no turn in the queue and no thread: a hundred of them, one after the other."""
    started = time.monotonic()
    with httpx.Client() as quick:
        for _ in range(100):
            assert quick.get(f"{server.url}gradio_api/process_recording").status_code == 404
    assert time.monotonic() - started < 10
