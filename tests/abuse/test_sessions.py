"""What a visitor can cost by coming, leaving and queueing; and that a short break is not a goodbye."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from plugins_on_disk import Plugins

from demo_app.serving import client
from demo_app.testing import serve

KEEPS = """
import threading
from pathlib import Path
from demo_app import Demo, hookimpl
from demo_app.page.visitors import uploaded_by, visitor
import gradio as gr

go = threading.Event()

def build(handle):
    box, out, kept = gr.Textbox(label="Text"), gr.Textbox(label="Out"), gr.State("nothing")
    picture = gr.Image(Path(__file__).with_name("example.png"), label="Picture", type="filepath")
    gr.Button("keep").click(lambda text: text, box, kept, api_name="keep")
    gr.Button("kept").click(lambda kept: kept, kept, out, api_name="kept", queue=False)
    gr.Button("wait").click(lambda: go.wait(60) and "went", None, out, api_name="wait", concurrency_limit=1)

    def mine(request: gr.Request): return visitor(request)
    def owns(path, request: gr.Request): return str(uploaded_by(request, Path(path)))
    gr.Button("mine").click(mine, None, out, api_name="mine", queue=False)
    gr.Button("owns").click(owns, box, out, api_name="owns", queue=False)

@hookimpl
def register_demos():
    return [Demo(name="keeps", title="Keeps", summary="s", load=lambda folder, device: 1, build=build)]
"""
GOODBYE = 2  # seconds


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from PIL import Image

    plugins = Plugins(tmp_path_factory.mktemp("keeps"))
    Image.new("RGB", (8, 8), "red").save(plugins.add("keeps", KEEPS) / "example.png")
    plugins.add_good("good")
    with serve(plugins_dir=plugins.path, goodbye_seconds=GOODBYE, sessions=10, queue_size=40) as server:
        yield server


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true value; fails if there is none in time."""
    end, waited = time.monotonic() + seconds, threading.Event()
    while not (value := true()):
        assert time.monotonic() < end, "it did not happen"
        waited.wait(0.02)
    return value


class Browser:
    """A page that is open: its heartbeat, its cookie and its session, through any address."""

    def __init__(self, url: str, session: str, cookie: str = "") -> None:
        self.url, self.session = url, session
        self.http = httpx.Client(timeout=client.SECONDS)
        if cookie:
            self.http.cookies.set("demo_app_visitor", cookie)
        self.http.get(f"{url}config")
        self.beat = self.http.stream("GET", f"{url}gradio_api/heartbeat/{session}")
        self.beats = self.beat.__enter__().iter_text()  # whose end would close the connection
        next(self.beats)

    @property
    def cookie(self) -> str:
        return str(self.http.cookies.get("demo_app_visitor"))

    def run(self, action: str, *data: Any) -> Any:
        body = {"data": list(data), "session_hash": self.session}
        return self.http.post(f"{self.url}gradio_api/run/{action}", json=body).json()

    def open_tab(self, page: Any) -> None:
        """What the browser sends when the page is there."""
        from demo_app.gradio_internals import listeners

        loads = next(one for one in listeners(page.app.blocks) if one.name == "open_tab")
        body = {"data": [], "fn_index": loads.id, "session_hash": self.session}
        self.http.post(f"{self.url}gradio_api/run/predict", json=body).raise_for_status()

    def cut(self) -> None:
        self.beat.__exit__(None, None, None)


def test_pages_that_close_at_once_cost_the_others_nothing(page: Any) -> None:
    with httpx.Client(timeout=client.SECONDS, limits=httpx.Limits(max_connections=None)) as http:
        beats = [http.stream("GET", f"{page.url}gradio_api/heartbeat/closing{n}") for n in range(60)]
        heard = [beat.__enter__().iter_text() for beat in beats]
        for beating in heard:
            next(beating)
        for beat in beats:
            beat.__exit__(None, None, None)
        started = time.perf_counter()
        assert http.get(f"{page.url}healthz").json()["status"] == "ok"
        assert time.perf_counter() - started < 5  # milliseconds on a machine that does nothing else
    assert not any(f"closing{n}" in page.app.visits.sessions for n in range(60))  # made for nobody who did nothing


def test_a_session_makes_no_configuration_of_the_page(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio.blocks import BlocksConfig

    made = []
    before = BlocksConfig.config_for_block
    monkeypatch.setattr(BlocksConfig, "config_for_block", lambda *args: made.append(args) or before(*args))
    assert client.run(page.url, "keeps_kept", None, session="new").json()["data"] == ["nothing"]
    assert len(made) < 10


def test_made_up_sessions_throw_away_nobody_who_is_here(page: Any) -> None:
    here = Browser(page.url, "here")
    here.run("keeps_keep", "precious")
    for number in range(2 * page.app.settings.sessions):
        client.run(page.url, "keeps_kept", None, session=f"made up {number}")
    assert here.run("keeps_kept", None)["data"] == ["precious"]
    assert len(page.app.visits.sessions.session_data) <= page.app.settings.sessions
    here.cut()


def test_one_client_takes_a_quarter_of_the_queue_at_most(page: Any) -> None:
    ids = {d["api_name"]: d["id"] for d in client.config(page.url)["dependencies"]}
    most = page.app.settings.queue_size // 4

    def join(session: str, action: str, cookie: str) -> httpx.Response:
        body = {"data": [] if action == "keeps_wait" else ["hi"], "fn_index": ids[action], "session_hash": session}
        headers = {"cookie": f"demo_app_visitor={cookie}"}
        return httpx.post(f"{page.url}gradio_api/queue/join", json=body, headers=headers, timeout=client.SECONDS)

    answers = [join(f"rude {n}", "keeps_wait", f"cookie{n}") for n in range(3 * most)]
    taken = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert most <= len(taken) <= most + 2  # one or two run
    assert len(taken) + len(refused) == len(answers)
    assert "of your requests are waiting already" in refused[0].json()["detail"]
    next(tab.demo for tab in page.app.tabs if tab.name == "keeps").load.__globals__["go"].set()


def test_a_short_break_is_no_goodbye(page: Any) -> None:
    proxy = Proxy(page.url)
    mine = Browser(proxy.url, "breaks")
    mine.run("keeps_keep", "precious")
    proxy.cut()
    until(lambda: not page.app.visits.is_open("breaks"))
    again = Browser(proxy.url, "breaks", mine.cookie)  # as the page connects anew
    threading.Event().wait(GOODBYE + 1)
    assert again.run("keeps_kept", None)["data"] == ["precious"]
    again.cut()
    until(lambda: "breaks" not in page.app.visits.sessions)  # that was a goodbye


@pytest.mark.browser
def test_a_page_that_is_cut_off_connects_again_by_itself(page: Any, visit: Any) -> None:
    proxy, visits = Proxy(page.url), page.app.visits
    before = set(visits.sessions)
    at = visit(proxy.url, query="demo=keeps").page
    at.locator("#tab-keeps").get_by_label("Text").fill("precious")
    with at.expect_response("**/queue/data*"):
        at.get_by_role("button", name="keep", exact=True).click()
    (session,) = until(lambda: [one for one in visits.sessions if one not in before and visits.is_open(one)])
    proxy.cut()
    until(lambda: not visits.is_open(session))
    until(lambda: visits.is_open(session))
    threading.Event().wait(GOODBYE + 1)
    at.get_by_role("button", name="kept", exact=True).click()
    expect(at.locator("#tab-keeps").get_by_label("Out")).to_have_value("precious")


def test_a_request_puts_the_goodbye_off(page: Any) -> None:
    mine = Browser(page.url, "asks")
    mine.run("keeps_keep", "precious")
    mine.cut()
    until(lambda: not page.app.visits.is_open("asks"))
    end = time.monotonic() + 2 * GOODBYE
    while time.monotonic() < end:
        assert mine.run("keeps_kept", None)["data"] == ["precious"]
        threading.Event().wait(GOODBYE / 8)


def test_a_reload_goes_on_with_what_the_page_had(page: Any) -> None:
    first = Browser(page.url, "first")
    first.run("keeps_keep", "precious")
    name = first.run("keeps_mine")["data"]
    first.cut()
    until(lambda: not page.app.visits.is_open("first"))
    second, stranger = Browser(page.url, "second", first.cookie), Browser(page.url, "stranger")
    stranger.open_tab(page)
    second.open_tab(page)
    assert second.run("keeps_kept", None)["data"] == ["precious"]
    assert second.run("keeps_mine")["data"] == name
    assert stranger.run("keeps_kept", None)["data"] == ["nothing"]
    second.cut()
    stranger.cut()


def test_only_who_uploaded_a_file_alone_owns_it(page: Any) -> None:
    from PIL import Image

    mine, other = Browser(page.url, "uploads"), Browser(page.url, "takes")

    def upload(browser: Browser, data: bytes, name: str) -> str:
        answer = browser.http.post(f"{page.url}gradio_api/upload", files={"files": (name, data)})
        return str(answer.json()[0])

    def owns(browser: Browser, path: str) -> bool:
        return bool(browser.run("keeps_owns", path)["data"] == ["True"])

    path = upload(mine, b"only mine", "mine.txt")
    assert owns(mine, path)
    assert not owns(other, path)
    assert upload(other, b"only mine", "mine.txt") == path
    assert not owns(mine, path)
    shown = next(c for c in client.config(page.url)["components"] if c["props"].get("label") == "Picture")
    example = Path(shown["props"]["value"]["path"])
    assert Image.open(example).size == (8, 8)
    assert upload(mine, example.read_bytes(), example.name) == str(example)
    assert not owns(mine, str(example))
    mine.cut()
    other.cut()


class Proxy:
    """A TCP proxy in front of a page, that can cut all connections."""

    def __init__(self, url: str) -> None:
        self._target = (httpx.URL(url).host, httpx.URL(url).port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            here, _ = self._server.accept()
            there = socket.create_connection(self._target)
            self._sockets += [here, there]
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()
