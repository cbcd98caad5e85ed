"""A real MCP client over HTTP lists every action as the API page does, and calls each."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from plugins_on_disk import ROOT, Plugins

from demo_app.testing import serve

pytest.importorskip("mcp", reason="needs the extra demo-app[mcp]")

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool

Host = Callable[..., Any]
UNKNOWN = "Something went wrong here"  # what a visitor reads of an exception that nobody foresaw
ELSEWHERE = (  # what embedded checkpoints cannot do, and what a folder must be there for
    "is not on this disk",
    "was not tuned to chat",
    "There is no folder",
)
EXAMPLES = "finetune_data"  # takes what a table of two columns and one picture are not
TABLE = "text,image\nwhat shape is the red thing?,file.png\n"

DIARY = """
    import time
    from demo_app import Demo, InputError, hookimpl

    def build(handle):
        import gradio as gr

        def note(text, seed, said):
            '''Keep a text for this session.

            Args:
                text: what to keep.
                seed: none is an answer too.
                said: kept by the session.

            Returns:
                What is kept now; the seed.
            '''
            said = [*said, text]
            return " ".join(said), said, repr(seed)

        def sizes(files):
            '''Count the bytes of files.

            Args:
                files: any.

            Returns:
                Their bytes.
            '''
            from pathlib import Path
            return " ".join(str(Path(file).stat().st_size) for file in files)

        def who(request: gr.Request):
            '''Say whether there is a session.

            Returns:
                Yes or no.
            '''
            return "a session" if request.session_hash else "none"

        def count(until):
            '''Count.

            Args:
                until: the last number.

            Returns:
                The numbers.
            '''
            if until < 1:
                raise InputError("Count from one.")
            for number in range(1, int(until) + 1):
                yield " ".join(map(str, range(1, number + 1)))

        box, seed, out, other = gr.Textbox(label="Text"), gr.Number(label="Seed"), gr.Textbox(), gr.Textbox()
        said, files = gr.State([]), gr.File(file_count="multiple", label="Files")
        gr.Button("Note").click(note, [box, seed, said], [out, said, other], api_name="note")
        gr.Button("Note at once").click(note, [box, seed, said], [out, said, other], api_name="note_now", queue=False)
        gr.Button("Sizes").click(sizes, files, out, api_name="sizes")
        gr.Button("Who").click(who, None, out, api_name="who", queue=False)
        gr.Button("Count").click(count, gr.Number(3, label="Until"), out, api_name="count")

    @hookimpl
    def register_demos():
        return [Demo(name="diary", title="Diary", summary="Keeps.", load=lambda *_: str.upper, build=build)]
"""


def talk(url: str, conversation: Callable[[ClientSession], Awaitable[Any]]) -> Any:
    """The result of a conversation with the server."""

    async def run() -> Any:
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as mcp,
        ):
            await mcp.initialize()
            return await conversation(mcp)

    return asyncio.run(run())


def tools_of(url: str) -> dict[str, Tool]:
    async def listed(mcp: ClientSession) -> list[Tool]:
        return (await mcp.list_tools()).tools

    return {tool.name: tool for tool in talk(url, listed)}


def call(url: str, name: str, **arguments: Any) -> CallToolResult:
    return talk(url, lambda mcp: mcp.call_tool(name, arguments))


def texts(result: CallToolResult) -> list[str]:
    return [part.text for part in result.content if part.type == "text"]


def link(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 96), "red").save(buffer, "PNG")
    return link(buffer.getvalue(), "image/png")


@pytest.fixture(scope="module")
def everything() -> Iterator[Any]:
    """The host with all plugins of this checkout."""
    with serve(plugins_dir=ROOT / "plugins", mcp=True) as server:
        yield server


def documented(server: Any) -> dict[str, Any]:
    return httpx.get(f"{server.url}gradio_api/info", timeout=60).json()["named_endpoints"]


def test_every_public_action_is_a_tool_of_the_same_name(everything: Any) -> None:
    assert [f"/{name}" for name in tools_of(everything.url)] == list(documented(everything))
    demos = {tab.name for tab in everything.app.tabs}
    assert {name for name in demos if any(tool.startswith(f"{name}_") for tool in tools_of(everything.url))} == demos


def test_tools_and_their_parameters_are_described_as_in_the_api(everything: Any) -> None:
    endpoints = documented(everything)
    for name, tool in tools_of(everything.url).items():
        endpoint = endpoints[f"/{name}"]
        assert tool.description.startswith(endpoint["description"]), name
        properties = tool.inputSchema["properties"]
        assert list(properties) == [given["parameter_name"] for given in endpoint["parameters"]], name
        assert all(schema["description"] for schema in properties.values()), name
        for given in endpoint["parameters"]:
            if given["parameter_has_default"]:
                assert given["parameter_name"] not in tool.inputSchema["required"], name


def test_parameters_are_described_by_their_docstrings(everything: Any) -> None:
    schema = tools_of(everything.url)["text_classifier_classify"].inputSchema["properties"]

    assert schema["head"]["description"] == "average, or the head's number from 1."
    assert schema["checkpoint"]["default"] in schema["checkpoint"]["enum"]


@pytest.mark.slow
def test_every_action_answers_or_refuses_with_a_reason(everything: Any) -> None:
    """Only actions that continue a session may refuse, and those that no embedded checkpoint supports."""
    fns = {fn.api_name: fn for fn in everything.app.blocks.fns.values()}

    async def call_all(mcp: ClientSession) -> dict[str, CallToolResult]:
        tools = (await mcp.list_tools()).tools
        return {tool.name: await mcp.call_tool(tool.name, arguments(tool, fns[tool.name])) for tool in tools}

    results = talk(everything.url, call_all)

    refusals = {name: " ".join(texts(result)) for name, result in results.items() if result.isError}
    assert not {name: said for name, said in refusals.items() if UNKNOWN in said}
    assert all(handled(everything, name) for name in results)  # each was the handler's own word
    sessions = {name for name, fn in fns.items() if any(type(block).__name__ == "State" for block in fn.inputs)}
    explained = sessions | {name for name, said in refusals.items() if any(reason in said for reason in ELSEWHERE)}
    explained |= {name for name in refusals if name.endswith(EXAMPLES)}
    assert refusals.keys() <= explained, refusals
    for tab in everything.app.tabs:
        assert any(name.startswith(f"{tab.name}_") and results[name].content for name in results.keys() - refusals)


def arguments(tool: Tool, fn: Any) -> dict[str, Any]:
    """Sensible values for required arguments; the others have defaults."""
    inputs = dict(zip(tool.inputSchema["properties"], (c for c in fn.inputs if not c.skip_api), strict=True))
    return {name: _argument(inputs[name]) for name in tool.inputSchema["required"]}


def _argument(component: Any) -> Any:
    kind = type(component).__name__
    if kind == "File":
        file = link(TABLE.encode(), "text/csv") if ".csv" in (component.file_types or ()) else picture()
        return file if component.file_count == "single" else [file]
    if kind in ("Radio", "Dropdown"):
        return component.choices[0][1] if component.choices else "1"
    if kind == "ImageEditor":
        return {"background": picture(), "layers": [], "composite": picture()}
    return {"Dataset": 0, "Number": 1, "Textbox": "Hello!", "Image": picture()}[kind]


def handled(server: Any, tool: str) -> float:
    """How often the handler of a tool ended, with whatever outcome."""
    fn = next(fn for fn in server.app.blocks.fns.values() if fn.api_name == tool)
    labels = [
        (sample.labels["demo"], sample.labels["action"], sample.value)
        for metric in server.app.registry.collect()
        if metric.name == "demo_app_requests"
        for sample in metric.samples
        if sample.name.endswith("_total")
    ]
    return sum(count for demo, action, count in labels if fn.api_name in (f"{demo}_{action}", action))


def test_a_text_that_is_written_token_by_token_arrives_whole(everything: Any) -> None:
    result = call(everything.url, "decoder_generator_generate", prompt="ROMEO:", max_tokens=40, seed=1)

    assert texts(result)[0].startswith("ROMEO:")
    assert len(texts(result)[0]) == len("ROMEO:") + 40


def test_a_picture_is_answered_with_pictures(everything: Any) -> None:
    result = call(everything.url, "separable_conv_attend", across=0.2, down=0.2)

    image = next(part for part in result.content if part.type == "image")
    assert Image.open(io.BytesIO(base64.b64decode(image.data))).size[0] > 50


@pytest.fixture
def diary(plugins: Plugins, host: Host) -> Any:
    plugins.add("diary", DIARY)
    return host(mcp=True, max_upload=1000)


def test_the_hosts_own_actions_are_named_as_in_the_api(diary: Any) -> None:
    assert "status" in tools_of(diary.url)


def test_each_call_has_a_session_of_its_own(diary: Any) -> None:
    for action in ("diary_note", "diary_note_now"):
        assert texts(call(diary.url, action, text="a secret"))[0] == "a secret"
        assert texts(call(diary.url, action, text="mine"))[0] == "mine"
    assert texts(call(diary.url, "diary_who")) == ["a session"]


def test_what_is_returned_beside_a_state_arrives(diary: Any) -> None:
    assert texts(call(diary.url, "diary_note", text="a", seed=7)) == ["a", "7"]


def test_a_number_may_be_left_empty_as_on_the_page(diary: Any) -> None:
    assert texts(call(diary.url, "diary_note", text="a")) == ["a", "None"]
    assert texts(call(diary.url, "diary_note", text="a", seed=None)) == ["a", "None"]


def test_several_files_can_be_given(diary: Any) -> None:
    files = [link(b"12345", "text/plain"), link(b"123", "text/plain")]

    assert texts(call(diary.url, "diary_sizes", files=files)) == ["5 3"]


def test_a_file_above_the_hosts_limit_is_refused(diary: Any) -> None:
    result = call(diary.url, "diary_sizes", files=[link(bytes(2000), "text/plain")])

    assert result.isError
    assert "larger than 1,000 bytes" in texts(result)[0]


def test_a_path_on_the_server_is_not_accepted_as_a_file(diary: Any) -> None:
    result = call(diary.url, "diary_sizes", files=["/etc/hostname"])

    assert result.isError
    assert "is no file" in texts(result)[0]


def test_what_an_action_yields_before_its_answer_is_progress(diary: Any) -> None:
    told: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    result = talk(diary.url, lambda mcp: mcp.call_tool("diary_count", {"until": 3}, progress_callback=listen))

    assert texts(result) == ["1 2 3"]
    assert "started" in told


def test_an_error_is_the_sentence_that_a_visitor_reads(diary: Any) -> None:
    result = call(diary.url, "diary_count", until=0)

    assert result.isError
    assert texts(result) == ["Count from one."]


def test_without_the_option_there_is_no_mcp(plugins: Plugins, host: Host) -> None:
    plugins.add_good()
    server = host()

    assert httpx.post(f"{server.url}gradio_api/mcp/", json={}, timeout=60).status_code in (404, 405)


def test_a_version_that_gradio_cannot_use_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    metadata = tmp_path / "mcp-2.3.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: mcp\nVersion: 2.3.0\n")
    done = subprocess.run(
        [sys.executable, "-m", "demo_app", "run", "--mcp", "--plugins-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 2
    assert "pip install 'demo-app[mcp]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
