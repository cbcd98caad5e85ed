"""The private parts of Gradio's MCP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio import processing_utils, route_utils, utils

from demo_app.gradio_internals.files import keep_file


def mcp_server_class() -> Any:
    """Gradio's MCP server, the class that `demo_app.serving.mcp.Tools` extends.

    That overrides `warn_about_state_inputs`, `get_tool_to_endpoint`, `get_fn_description`, `get_input_schema` and
    `create_mcp_server`, and uses `MCP_MEMBERS`.
    """
    import gradio.mcp

    return gradio.mcp.GradioMCPServer


MCP_MEMBERS = (
    "Server",
    "api_info",
    "blocks",
    "get_block_fn_from_endpoint_name",
    "get_route_path",
    "get_selected_tools_from_request",
    "local_url",
    "postprocess_output_data",
    "root_path",
    "tool_to_endpoint",
    "types",
)


@contextmanager
def mcp_server(make: Callable[[Any], Any]) -> Iterator[None]:
    """Inside, `launch(mcp_server=True)` makes its MCP server with that function of the blocks."""
    import gradio.mcp

    before = gradio.mcp.GradioMCPServer
    gradio.mcp.GradioMCPServer = make
    try:
        yield
    finally:
        gradio.mcp.GradioMCPServer = before


def function_description(fn: Callable[..., Any]) -> tuple[str, dict[str, str], list[str]]:
    """What Gradio reads in a docstring: the text, a text for each parameter, texts of the returned values."""
    description, parameters, returns = utils.get_function_description(fn)
    return description, parameters, returns


def root_url(request: Any, route_path: str, root_path: str | None) -> str:
    """The page's address as the client of a request sees it, behind proxies too."""
    return str(route_utils.get_root_url(request=request, route_path=route_path, root_path=root_path))


def save_data_url(blocks: gr.Blocks, text: str) -> str:
    """The file that a `data:` URL holds, written where the MCP server may read it. Returns its path."""
    import gradio.mcp

    file = str(processing_utils.save_base64_to_cache(text, gradio.mcp.DEFAULT_TEMP_DIR))
    keep_file(blocks, file)
    return file
