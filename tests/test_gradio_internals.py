"""Gradio's private parts: each that the product uses exists and behaves as relied upon, and one module uses them all.

A failure in the first half after an upgrade of Gradio says which part of `demo_app/gradio_internals` has to change.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import inspect
import itertools
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from plugins_on_disk import ROOT

from demo_app import gradio_internals as internals
from demo_app.gradio_internals import mcp
from demo_app.serving import client
from demo_app.serving.local import free_port


class Changed(internals.PageBlocks):
    """A page that labels its text box otherwise in its configuration, and says so in its API."""

    changes = 0

    def change_config(self, config: dict[str, Any]) -> None:
        self.changes += 1
        for component in config["components"]:
            if component["type"] == "textbox":
                component["props"]["label"] = "changed"

    def change_api(self, description: Any) -> Any:
        return description | {"changed": True}


class Page:
    """A page of Gradio alone, served in this process."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.entered, self.released = threading.Event(), threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        with Changed(analytics_enabled=False) as self.blocks:
            text, kept, out = gr.Textbox(label="Text"), gr.State(3), gr.Textbox(label="Out", visible=False)
            button = gr.Button("Shout")
            button.click(self.shout, [text, kept], [out, kept], api_name="shout", queue=False, api_description="Loud")
            button.click(self.wait, text, out, api_name="wait", concurrency_limit=1)
            button.click(self.hidden, text, out, api_visibility="private")
            button.click(None, text, out, js="x => x", api_visibility="private")
        self.blocks.queue()

    def shout(self, text: str, kept: int, request: gr.Request) -> tuple[str, int]:
        self.seen = [internals.current_request(), request]
        return text.upper(), kept

    def wait(self, text: str) -> str:
        self.entered.set()
        self.released.wait(60)
        return text

    def hidden(self, text: str) -> str:
        return text

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        self.loop = asyncio.get_running_loop()
        yield


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        page = Page()
        _, page.url, _ = page.blocks.launch(
            prevent_thread_lock=True,
            quiet=True,
            server_name="127.0.0.1",
            server_port=free_port(),
            app_kwargs={"lifespan": page.lifespan},
        )
        yield page
        page.released.set()
        page.blocks.close(verbose=False)


# Building a page


def test_open_blocks_and_the_enclosing_tab_are_known_inside_their_withs() -> None:
    assert internals.open_blocks() is None
    with gr.Blocks() as blocks, gr.Tabs():
        assert internals.open_blocks() is blocks
        assert internals.enclosing_tab() is None
        with gr.Tab("A") as tab:
            assert internals.enclosing_tab() is tab
            with gr.Row():
                assert internals.enclosing_tab() is None
    assert internals.open_blocks() is None


def test_a_failure_in_nested_blocks_is_left_behind() -> None:
    with contextlib.suppress(ZeroDivisionError), gr.Blocks(), gr.Blocks():
        _ = 1 / 0
    internals.leave_all_blocks()
    assert internals.open_blocks() is None
    with gr.Blocks() as blocks:
        gr.Textbox()
    assert any(isinstance(part, gr.Textbox) for part in internals.components(blocks).values())


def test_an_event_of_the_page_is_added_without_its_blocks() -> None:
    with gr.Blocks() as blocks:
        text = gr.Textbox()
        internals.on_page_load(lambda: "hello", None, text, api_visibility="private")
    (listener,) = internals.listeners(blocks)
    assert listener.outputs == [text]
    with pytest.raises(RuntimeError, match="only while"):
        internals.on_page_load(lambda: "hello")


def test_a_draft_has_no_configuration_and_can_be_rendered() -> None:
    with internals.Draft() as draft:
        gr.Textbox(label="Text")
    assert draft.config == {}
    with gr.Blocks() as blocks:
        draft.render()
    assert [part["props"]["label"] for part in blocks.config["components"] if part["type"] == "textbox"] == ["Text"]


def test_blocks_make_web_servers_that_can_be_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import routes

    made, create = list[Any](), routes.App.create_app
    monkeypatch.setattr(routes.App, "create_app", staticmethod(lambda *a, **k: made.append(a) or create(*a, **k)))
    with internals.no_web_servers(), gr.Blocks() as blocks:
        gr.Textbox()
    assert made == []
    blocks.queue()
    assert len(made) == 1


def test_the_configuration_is_changed_once_and_served_so(page: Page) -> None:
    assert page.blocks.changes == 1
    served = {part["type"]: part["props"].get("label") for part in client.config(page.url)["components"]}
    assert served["textbox"] == "changed"
    assert set(internals.CONFIG_PARTS) <= set(client.config(page.url))
    assert httpx.get(f"{page.url}gradio_api/info").json()["changed"]


# What a page consists of


def test_listeners_say_all_of_their_event(page: Page) -> None:
    shout, wait, hidden, script = internals.listeners(page.blocks)
    assert (shout.api_name, shout.name, shout.public, shout.queued) == ("shout", "shout", True, False)
    assert (shout.description, wait.description) == ("Loud", "")
    assert shout.handler == page.shout
    assert (wait.public, wait.queued) == (True, True)
    assert not hidden.public
    assert (script.handler, script.public) == (None, False)
    assert [listener.id for listener in (shout, wait, hidden, script)] == [0, 1, 2, 3]
    assert [type(part) for part in shout.inputs] == [gr.Textbox, gr.State]
    assert [internals.is_given_by_clients(part) for part in shout.inputs] == [True, False]
    known = internals.components(page.blocks)
    assert all(known[internals.component_id(part)] is part for part in [*shout.inputs, *shout.outputs])
    (served,) = (part for part in client.config(page.url)["components"] if part["type"] == "button")
    assert isinstance(known[served["id"]], gr.Button)


def test_a_renamed_listener_with_another_handler_is_called_so() -> None:
    with internals.Draft() as draft:
        box = gr.Textbox()
        box.submit(str.upper, box, box, api_name="shout")
    (listener,) = internals.listeners(draft)
    listener.rename("echo_shout")
    listener.replace_handler(str.lower)
    with gr.Blocks() as blocks:
        draft.render()
    (listener,) = internals.listeners(blocks)
    assert (listener.api_name, listener.handler) == ("echo_shout", str.lower)
    assert [event["api_name"] for event in blocks.config["dependencies"]] == ["echo_shout"]


def test_what_is_rendered_anew_is_numbered_over_all_demos() -> None:
    drafts, numbers = [], itertools.count(7)
    for _ in range(2):
        with internals.Draft() as draft:
            box = gr.Textbox()

            @gr.render(box)
            def show(text: str) -> None:
                gr.Markdown(text)

        internals.number_renders(draft, numbers)
        drafts.append(draft)
    assert [[part._id for part in draft.renderables] for draft in drafts] == [[7], [8]]


# Events


def test_the_request_of_an_event_is_known_outside_of_the_handler(page: Page) -> None:
    assert internals.current_request() is None
    assert client.run(page.url, "shout", "hi", None).json()["data"][0] == "HI"
    found, given = page.seen
    assert found.headers["user-agent"] == given.headers["user-agent"]
    assert found.session_hash == given.session_hash


@pytest.mark.parametrize("kind", [gr.EventData, gr.SelectData])
def test_the_data_of_an_event_are_all_of_its_fields(kind: type[gr.EventData]) -> None:
    data = {"index": 3, "value": "a"}
    event = kind(None, data)
    assert internals.event_data(event) == data
    assert internals.event_data(kind(None, internals.event_data(event))) == data


def test_a_request_can_be_made_of_its_parts() -> None:
    request = gr.Request(username="u", session_hash="s", headers={"a": "b"}, query_params={}, cookies={})
    assert (request.username, request.session_hash, request.headers["a"]) == ("u", "s", "b")


# Files


def test_a_file_that_is_added_to_the_uploads_is_served(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("text")
    added = internals.add_to_uploads(file)
    assert added.is_relative_to(internals.upload_folder())
    assert httpx.get(f"{page.url}gradio_api/file={added}").text == "text"
    (path,) = httpx.post(f"{page.url}gradio_api/upload", files={"files": ("b.txt", b"b", "text/plain")}).json()
    assert Path(path).is_relative_to(internals.upload_folder())


# Serving


def test_events_that_wait_or_run_are_counted_and_ended_with_a_sentence(page: Page) -> None:
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(client.call(page.url, "wait", "a"))) for _ in range(2)]
    threads[0].start()
    assert page.entered.wait(30)
    threads[1].start()
    until = threading.Event()
    while internals.queue_length(page.blocks) < 1:
        until.wait(0.01)

    async def end() -> None:
        internals.end_events(page.blocks, {"error": "The end.", "visible": True, "duration": 10, "title": "End"})

    assert page.loop is not None
    asyncio.run_coroutine_threadsafe(end(), page.loop).result(30)
    for thread in threads:
        thread.join(30)
    assert [(kind, said["error"]) for kind, said in answers] == [("error", "The end.")] * 2


def test_how_long_a_connection_stays_is_read_when_it_is_made(page: Page) -> None:
    internals.keep_connections(page.blocks, 0.0)
    with socket.create_connection((httpx.URL(page.url).host, httpx.URL(page.url).port), timeout=60) as connection:
        connection.sendall(b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 200")
            answer.read()  # to the end of the connection: the server does not keep it
    internals.keep_connections(page.blocks, 75.0)
    assert page.blocks.server.config.timeout_keep_alive == 75.0


def test_what_ends_with_the_server_is_there(page: Page) -> None:
    internals.close_connections_after(page.blocks, 0.3)
    assert page.blocks.server.config.timeout_graceful_shutdown == 0.3
    assert page.blocks.node_process is None  # without SSR
    internals.end_node(page.blocks)
    assert internals.mcp_problem(page.blocks) is None


def test_the_routes_that_clients_of_ours_speak_to_are_there(page: Page) -> None:
    page.released.set()
    assert client.call(page.url, "wait", "again") == ("complete", ["again"])  # /call
    body = {"data": ["queued"], "fn_index": internals.listeners(page.blocks)[1].id, "session_hash": "s"}
    assert httpx.post(f"{page.url}gradio_api/queue/join", json=body).status_code == httpx.codes.OK
    with httpx.stream("GET", f"{page.url}gradio_api/queue/data", params={"session_hash": "s"}, timeout=30) as events:
        said = [json.loads(line.removeprefix("data:")) for line in events.iter_lines() if line.startswith("data:")]
    (last,) = (message for message in said if message["msg"] == "process_completed")
    assert (last["success"], last["output"]["data"]) == (True, ["queued"])


# MCP


def test_the_mcp_server_that_ours_extends_has_the_members_that_it_uses() -> None:
    pytest.importorskip("mcp")
    server = mcp.mcp_server_class()
    with gr.Blocks() as blocks:
        box = gr.Textbox()
        box.submit(lambda text: text, box, box, api_name="shout")
    made = server(blocks)
    # `local_url` reads what is known once it is served
    assert [name for name in mcp.MCP_MEMBERS if not hasattr(type(made), name) and not hasattr(made, name)] == []
    for method in ("warn_about_state_inputs", "get_tool_to_endpoint", "create_mcp_server"):
        assert list(inspect.signature(getattr(server, method)).parameters) == ["self"]
    assert list(inspect.signature(server.get_fn_description).parameters) == ["self", "block_fn", "tool_name"]
    assert list(inspect.signature(server.get_input_schema).parameters) == ["self", "tool_name", "parameters"]
    assert made.api_info["named_endpoints"]["/shout"]["parameters"][0]["parameter_name"] == "text"
    assert internals.Listener(made.get_block_fn_from_endpoint_name("shout")).api_name == "shout"


def test_launch_makes_the_mcp_server_that_it_is_told_to() -> None:
    pytest.importorskip("mcp")
    made: list[Any] = []

    def make(blocks: Any) -> Any:
        made.append(mcp.mcp_server_class.__name__)
        raise RuntimeError("no server")

    with gr.Blocks() as blocks:
        gr.Textbox()
    with mcp.mcp_server(make):
        blocks.launch(
            prevent_thread_lock=True, quiet=True, mcp_server=True, server_name="127.0.0.1", server_port=free_port()
        )
    blocks.close(verbose=False)
    assert made
    assert "no server" in str(internals.mcp_problem(blocks))
    assert mcp.mcp_server_class().__name__ == "GradioMCPServer"


def test_a_docstring_is_read_by_its_parts() -> None:
    def shout(text: str) -> str:
        """Say it louder.

        Args:
            text: any text.

        Returns:
            The same in capitals.
        """
        return text.upper()

    assert mcp.function_description(shout) == (
        "Say it louder.",
        {"text": "any text."},
        ["The same in capitals."],
    )


def test_a_data_url_becomes_a_file(tmp_path: Path) -> None:
    blocks = gr.Blocks()
    path = mcp.save_data_url(blocks, "data:text/plain;base64," + base64.b64encode(b"hello").decode())
    assert Path(path).read_bytes() == b"hello"


def test_the_address_of_a_page_is_that_of_its_client() -> None:
    from starlette.requests import Request

    headers = [(b"host", b"demo.example"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"demo.example")]
    scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": headers, "query_string": b""}
    request = Request(scope | {"server": ("127.0.0.1", 80), "scheme": "http"})
    assert mcp.root_url(request, "/mcp", None) == "https://demo.example"


# Formats, which modules without Gradio write or read


def test_texts_of_the_page_are_marked_as_gradio_marks_them() -> None:
    from demo_app.i18n.components import Marks

    marked = Marks().marked("Text", lambda text, language: "文本", ["zh-CN"], "host")
    assert marked.startswith("__i18n__")
    theirs = str(gr.I18n(en={"k": "v"})("k"))
    ours = json.loads(marked.removeprefix("__i18n__"))
    assert theirs.startswith("__i18n__")
    assert json.loads(theirs.removeprefix("__i18n__")).keys() == ours.keys()
    assert json.loads(theirs.removeprefix("__i18n__"))["__type__"] == ours["__type__"]


def test_updates_and_files_are_marked_as_expected() -> None:
    from gradio.data_classes import FileData

    assert gr.update(label="a") == {"__type__": "update", "label": "a"}
    assert FileData(path="a").model_dump()["meta"] == {"_type": "gradio.FileData"}


def test_the_variables_that_the_host_sets_are_read() -> None:
    import gradio.queueing
    import gradio.utils

    sources = {
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": gradio.queueing,
        "GRADIO_TEMP_DIR": gradio.utils,
    }
    assert [name for name, module in sources.items() if name not in inspect.getsource(module)] == []


def test_the_pictures_that_lessons_borrow_are_in_the_package() -> None:
    folder = Path(gr.__file__).parent / "media_assets" / "images"
    assert [name for name in ("bus.png", "lion.jpg") if not (folder / name).is_file()] == []


def test_files_of_requests_go_through_these_parts() -> None:
    """What `gradio_internals.files` replaces: Gradio reaches each by that name, at every call."""
    from gradio import blocks, processing_utils, route_utils, routes

    assert "sh.get(" in inspect.getsource(processing_utils.async_ssrf_protected_get)
    assert "processing_utils.async_ssrf_protected_download(" in inspect.getsource(blocks)
    assert "GradioMultiPartParser(" in inspect.getsource(route_utils.upload_fn)
    assert "GradioMultiPartParser(" in inspect.getsource(routes)
    assert "block.preprocess, inputs_cached" in inspect.getsource(gr.Blocks.preprocess_data)
    kinds = (gr.Image, gr.ImageEditor, gr.Gallery, gr.AnnotatedImage, gr.ImageSlider)
    assert [kind for kind in kinds if "preprocess" not in vars(kind)] == []
    assert gr.ImageEditor().blob_storage == {}
    assert "_files_to_close_on_error" in inspect.getsource(route_utils.GradioMultiPartParser)
    with gr.Blocks() as page:
        gr.Image()
    assert page.upload_file_set in page.temp_file_sets


def test_a_light_session_has_all_that_gradio_s_has() -> None:
    """`gradio_internals.sessions` replaces both classes; Gradio reaches them by these names."""
    from gradio import route_utils, routes, state_holder

    from demo_app.gradio_internals.sessions import Session, Sessions

    with gr.Blocks() as page:
        kept = gr.State("before")
    assert vars(Session(page)).keys() == vars(state_holder.SessionState(page)).keys()
    page.state_session_capacity = 2
    sessions = Sessions(page, is_open=lambda session: session == "open")
    for session in ("open", "first", "second"):
        sessions[session][kept._id] = session
    assert list(sessions.session_data) == ["open", "second"]
    sessions.hand_over("second", "third")
    assert sessions["third"][kept._id] == "second"
    assert "app.state_holder[session_hash]" in inspect.getsource(route_utils)
    assert "self.state_holder = StateHolder()" in inspect.getsource(routes)
    assert page.queue()._queue.event_queue_per_concurrency_id == {}


def test_arguments_are_read_by_these_parts() -> None:
    """`PageBlocks` overrides both, and reads these fields of a listener's function."""
    assert list(inspect.signature(gr.Blocks.preprocess_data).parameters)[1:] == [
        "block_fn",
        "inputs",
        "state",
        "explicit_call",
    ]
    assert "event_data" in inspect.signature(gr.Blocks.process_api).parameters
    with gr.Blocks() as page:
        box = gr.Textbox()
        box.select(lambda text: text, box, None)
    (function,) = page.fns.values()
    assert (function.component_prop_inputs, function.collects_event_data) == ([], False)
    assert function.targets == [(box._id, "select")]
    assert function.input_parameter_names == ["text"]


# No other module touches a private part

LEAF = ROOT / "demo_app" / "gradio_internals"
PRIVATE = {  # attributes by which the parts above are reached
    "api_description",
    "api_info",
    "api_visibility",
    "default_config",
    "event_ids_to_events",
    "fns",
    "get_api_info",
    "get_config_file",
    "mcp_error",
    "mcp_server_obj",
    "node_process",
    "render_block",
    "renderables",
    "root_block",
    "skip_api",
}
MODULES = {"gradio": gr, "gr": gr}
PARTS = {"host": LEAF.parent} | {folder.parent.name: folder for folder in ROOT.glob("plugins/*/demo_app_*")}
INHERITED = {"serving/mcp.py": "self.api_info"}  # of `mcp_server_class`, among `MCP_MEMBERS`


def private_parts(source: str) -> list[str]:
    """The private parts of Gradio that a module touches, with their lines.

    Those are submodules, names that `gradio` does not list in `__all__`, attributes in `PRIVATE`, and, where Gradio is
    imported, attributes with a leading underscore of anything but `self` and `cls`.
    """
    found, tree = [], ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    uses_gradio = False
    for node in imports:
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            uses_gradio |= str(node.module).partition(".")[0] == "gradio"
            if node.module == "gradio":
                found += [f"{node.lineno}: gradio.{name}" for name in names if name not in gr.__all__]
            elif str(node.module).startswith("gradio."):
                found.append(f"{node.lineno}: {node.module}")
        else:
            uses_gradio |= "gradio" in names
            found += [f"{node.lineno}: {name}" for name in names if name.startswith("gradio.")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("find_spec", "import_module")):
            found += [f"{node.lineno}: {ast.unparse(node)}" for a in node.args if "gradio." in ast.unparse(a)]
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        underscore = node.attr.startswith("_") and not node.attr.startswith("__") and owner not in ("self", "cls")
        unlisted = uses_gradio and owner in MODULES and node.attr not in (*gr.__all__, "themes")
        if node.attr in PRIVATE or unlisted or (uses_gradio and underscore):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("part", PARTS)
def test_no_other_module_touches_a_private_part(part: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted(PARTS[part].rglob("*.py"))
        if LEAF not in file.parents
        for line in private_parts(file.read_text("utf-8"))
        if INHERITED.get(file.relative_to(PARTS[part]).as_posix(), "-") not in line
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from gradio.context import Context",
        "import gradio.mcp",
        "from gradio import routes",
        "import gradio as gr\ngr.processing_utils.save_file_to_cache('a', 'b')",
        "import gradio as gr\ndef f(blocks): return len(blocks._queue)",
        "def f(blocks): return blocks.fns",
        "import importlib.util\nimportlib.import_module('gradio.context')",
    ],
)
def test_a_private_part_would_be_found(source: str) -> None:
    assert private_parts(source)


def test_the_documented_interface_is_no_private_part() -> None:
    source = "import gradio as gr\nclass A:\n    def b(self): return self._c, gr.Blocks(theme=gr.themes.Soft()).load"
    assert private_parts(source) == []


def test_launch_need_not_ask_its_own_page() -> None:
    assert set(internals.UNCHECKED) <= set(inspect.signature(gr.Blocks.launch).parameters)
    assert inspect.getsource(gr.Blocks.launch).count("_frontend") == 2, "it does nothing else"
