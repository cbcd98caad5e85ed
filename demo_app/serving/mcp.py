"""Every action of every demo as a tool for MCP clients, with the names, docstrings and limits of the API.

Gradio's own MCP server handles the connections. Names, arguments and calls of the tools are handled here, because in
Gradio 6.31 queued tools share one session among all callers and lose outputs beside a `gr.State`, lists of files cannot
be given, and a handler's `gr.Request` has no session. Here each call is like a visitor's click: a request to this
server, in a session of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import gradio as gr
import httpx
from gradio_client import handle_file

from demo_app.errors import InputError, SettingsError
from demo_app.gradio_internals import Listener, is_given_by_clients
from demo_app.gradio_internals import mcp as gradio_mcp
from demo_app.serving.routes import API

NO_LIMIT = httpx.Timeout(None, connect=10)  # an action may take long
FORWARDED = (
    "x-",
    "host",
    "authorization",
    "cookie",
    "user-agent",
)  # the caller and the address
HIDDEN = ("$defs", "additional_description")
FILE = "A link to a file (https://...) or the file itself as data:<type>;base64,<bytes>."


def check_installed() -> None:
    """Raise `SettingsError` unless a version of the package mcp is installed that Gradio's MCP server works with."""
    try:
        version = importlib.metadata.version("mcp")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if not version or int(version.split(".")[0]) > 1:
        found = f"and {version} is installed" if version else "which is not installed"
        raise SettingsError(
            f"MCP needs the package mcp older than 2, {found}: pip install 'demo-app[mcp]', or start without --mcp."
        )


@contextmanager
def served(max_file: int) -> Iterator[None]:
    """While inside, `launch(mcp_server=True)` serves these tools. `max_file`: the most bytes of a file argument."""
    with gradio_mcp.mcp_server(partial(Tools, max_file=max_file)):
        yield


class Tools(gradio_mcp.mcp_server_class()):  # type: ignore[misc]  # mypy does not read Gradio
    """The tools of a running page, for Gradio to serve."""

    def __init__(self, blocks: Any, *, max_file: int) -> None:
        self.max_file = max_file
        super().__init__(blocks)

    def warn_about_state_inputs(self) -> None:
        """Gives no warning: the docs say that each call has a session of its own."""

    def get_tool_to_endpoint(self) -> dict[str, str]:
        """Tool names are API names, on a Space too."""
        return {endpoint.lstrip("/"): endpoint for endpoint in self.api_info["named_endpoints"]}

    def get_fn_description(self, block_fn: Any, tool_name: str) -> tuple[str, dict[str, str]]:
        """The docstring's description of the action, and of each parameter."""
        description, parameters, returns = gradio_mcp.function_description(block_fn.fn)
        text = self.api_info["named_endpoints"][f"/{tool_name}"].get("description") or description
        return f"{text} Returns: {' '.join(returns)}" if returns else text, parameters

    def get_input_schema(
        self, tool_name: str, parameters: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], list[list[str | int]]]:
        """JSON schema of the arguments, with files as texts; and an empty list, which Gradio expects."""
        properties: dict[str, Any] = {}
        required = []
        for given in self._parameters(tool_name):
            name = given["parameter_name"]
            schema = plain(given["type"], given["type"].get("$defs", {}))
            texts = [(parameters or {}).get(name, ""), FILE if _has_file(schema) else ""]
            schema["description"] = " ".join(filter(None, texts)) or given["label"]
            if given["parameter_has_default"]:
                if not _has_file(schema) and given["parameter_default"] is not None:
                    schema["default"] = given["parameter_default"]
            elif given["component"] == gr.Number.__name__:  # the field may be empty, as for a seed
                schema |= {"type": [schema["type"], "null"], "default": None}
            else:
                required.append(name)
            properties[name] = schema
        return {"type": "object", "properties": properties, "required": required}, []

    def create_mcp_server(self) -> Any:
        server = self.Server(str(self.blocks.title))

        @server.list_tools()  # type: ignore[untyped-decorator]
        async def list_tools() -> list[Any]:
            chosen = self.get_selected_tools_from_request()
            return [self._tool(name) for name in self.tool_to_endpoint if chosen is None or name in chosen]

        @server.call_tool()  # type: ignore[untyped-decorator]
        async def call_tool(name: str, arguments: dict[str, Any]) -> list[Any]:
            if name not in self.tool_to_endpoint:
                raise InputError("There is no tool {name}; list the tools to see what there is.", name=name)
            fn = Listener(self.get_block_fn_from_endpoint_name(name))
            context = server.request_context
            call = self._queued if fn.queued else self._unqueued
            data = await call(fn, self._data(name, fn, arguments), context)
            shown = [
                value for value, component in zip(data, fn.outputs, strict=True) if not isinstance(component, gr.State)
            ]
            route = self.get_route_path(context.request)
            root = gradio_mcp.root_url(context.request, route, self.root_path)
            return [part for value in shown for part in self._content(value, root)]

        return server

    def _tool(self, name: str) -> Any:
        description, parameters = self.get_fn_description(self.get_block_fn_from_endpoint_name(name), name)
        schema, _ = self.get_input_schema(name, parameters)
        return self.types.Tool(name=name, description=description, inputSchema=schema)

    def _parameters(self, name: str) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = self.api_info["named_endpoints"][f"/{name}"]["parameters"]
        return parameters

    def _data(self, name: str, fn: Listener, arguments: Mapping[str, Any]) -> list[Any]:
        """A value for each of the handler's inputs; `None` for a `gr.State`, which the session has."""
        schema, _ = self.get_input_schema(name)
        values = []
        for given in self._parameters(name):
            parameter = given["parameter_name"]
            value = arguments.get(parameter, given["parameter_default"])
            if parameter in arguments and _has_file(schema["properties"][parameter]):
                value = self._with_files(value)
            values.append(value)
        rest = iter(values)
        return [next(rest) if is_given_by_clients(component) else None for component in fn.inputs]

    def _with_files(self, value: Any) -> Any:
        """The value with each link and each `data:` text as a file here. Raises `InputError` for other texts."""
        if isinstance(value, dict):
            return {key: self._with_files(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._with_files(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if value.startswith(("https://", "http://")):
            return handle_file(value)
        if not value.startswith("data:") or ";base64," not in value:
            raise InputError("{text} is no file. Give: {file}", text=repr(value[:40]), file=FILE)
        if len(value) * 3 // 4 > self.max_file:
            raise InputError(
                "The file is larger than {limit} bytes, which is the limit; give a smaller one.",
                limit=f"{self.max_file:,}",
            )
        return handle_file(gradio_mcp.save_data_url(self.blocks, value))

    def _content(self, value: Any, root: str) -> list[Any]:
        """An output for a client: a text, its pictures, links. Empty for an update that only changes the page."""
        if isinstance(value, dict) and value.get("__type__") == "update":
            value = value.get("value")
        if value is None or value == "":
            return []
        files = list(_files(value))
        content: list[Any] = self.postprocess_output_data(files, root)
        if files != [value]:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            content.insert(0, self.types.TextContent(type="text", text=text))
        return content

    async def _unqueued(self, fn: Listener, data: list[Any], context: Any) -> list[Any]:
        """What the action returns. Raises `RuntimeError` with the sentence of its error."""
        async with self._client(context) as client:
            request = {"data": data, "session_hash": secrets.token_hex(8), "fn_index": fn.id}
            answer = await client.post(f"{API}/run/{fn.api_name}", json=request)
        body = answer.json()
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(body.get("error") or body.get("detail") or f"HTTP {answer.status_code}")
        values: list[Any] = body["data"]
        return values

    async def _queued(self, fn: Listener, data: list[Any], context: Any) -> list[Any]:
        """What the action yields last, after progress for the client. Raises `RuntimeError` if the action fails."""
        token = context.meta.progressToken if context.meta is not None else None
        async with self._client(context) as client:
            step = 0
            async for message in _messages(client, {"data": data, "fn_index": fn.id}):
                if message["msg"] == "process_completed":
                    output = message["output"]
                    if not message["success"]:
                        raise RuntimeError(output.get("error") or "The action failed; the host's log says why.")
                    values: list[Any] = output["data"]
                    return values
                if token is not None and (text := _progress(message)):
                    step += 1
                    await context.session.send_progress_notification(
                        token, step, message=text, related_request_id=str(context.request_id)
                    )
        raise RuntimeError("The server ended before the answer came; please try again.")

    def _client(self, context: Any) -> httpx.AsyncClient:
        """A client of this server, with the headers of the caller."""
        headers = {name: value for name, value in context.request.headers.items() if name.startswith(FORWARDED)}
        return httpx.AsyncClient(base_url=self.local_url or "", headers=headers, timeout=NO_LIMIT, verify=False)


async def _messages(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The queue's messages about one event, in a session of its own. Raises `RuntimeError` if it is not accepted."""
    session = secrets.token_hex(8)
    joined = await client.post(f"{API}/queue/join", json=body | {"session_hash": session})
    if joined.status_code != httpx.codes.OK:
        refusal = joined.json()
        raise RuntimeError(refusal.get("error") or refusal.get("detail") or f"HTTP {joined.status_code}")
    async with client.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


def _progress(message: dict[str, Any]) -> str:
    """A message of the queue in words, for clients that want progress; "" if it says nothing new."""
    if message["msg"] == "estimation":
        return f"{message['rank']} before this one"
    return {"process_starts": "started", "process_generating": "under way"}.get(message["msg"], "")


def plain(schema: Any, defs: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """The schema without references. A file becomes a text; a recursive reference one that allows anything.

    >>> plain({"items": {"$ref": "#/$defs/Size"}, "type": "array"}, {"Size": {"type": "integer"}})
    {'items': {'type': 'integer'}, 'type': 'array'}
    """
    if isinstance(schema, list):
        return [plain(inner, defs, inside) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return plain(defs[name], defs, (*inside, name)) if name not in inside else {}
    shown = {key: plain(inner, defs, inside) for key, inner in schema.items() if key not in HIDDEN}
    if "gradio.FileData" in json.dumps(shown.get("properties", {}).get("meta", {})):
        return {"type": "string", "format": "uri"}
    return shown


def _files(value: Any) -> Iterator[dict[str, Any]]:
    """The files in an output, as Gradio describes them."""
    if isinstance(value, dict) and "gradio.FileData" in str(value.get("meta")):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _files(inner)


def _has_file(schema: Any) -> bool:
    return '"format": "uri"' in json.dumps(schema)
