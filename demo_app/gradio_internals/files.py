"""What comes with requests, in Gradio: what components need of the server, uploads, links, pictures that it decodes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import PIL.Image
from gradio import processing_utils, route_utils, routes
from gradio.blocks import Block
from gradio.context import LocalContext

MAX_LAYERS = 100  # of a drawing
_safehttpx = processing_utils.sh  # fetches links, but none that lead into this network


def takes_files(component: Any) -> bool:
    """Whether its value may have files, so that the page and clients upload some."""
    model = getattr(component, "data_model", None)
    return model is not None and "gradio.FileData" in str(model.model_json_schema())


def has_server_functions(component: Any) -> bool:
    """Whether its part in the browser calls Python functions of it."""
    return bool(getattr(component, "server_fns", None))


def streams(component: Any) -> bool:
    """Whether its value goes to or from the browser bit by bit."""
    return bool(getattr(component, "streaming", False))


def is_custom(component: Any) -> bool:
    """Whether its part in the browser is not Gradio's and is fetched from its package."""
    kind = type(component)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    templates = getattr(kind, "TEMPLATE_DIR", None)
    gradios = kind.__module__.partition(".")[0] == "gradio"
    return not gradios and bool(file and templates and (Path(file).parent / templates).is_dir())


def kept_files(blocks: gr.Blocks) -> list[Path]:
    """The files that visitors uploaded and handlers returned, but for those that the page was built with.

    Gradio deletes each once it is old, and has no limit for all of them.
    """
    built_with = {file for part in blocks.blocks.values() for file in getattr(part, "keep_in_cache", ())}
    return [Path(file) for files in list(blocks.temp_file_sets) for file in list(files) if file not in built_with]


def keep_file(blocks: gr.Blocks, file: str) -> None:
    """Have a file deleted as an upload is: once it is old, or when there are too many."""
    blocks.upload_file_set.add(file)


def forget_files(blocks: gr.Blocks, files: Iterable[Path]) -> None:
    """Forget files that were deleted. From the event loop alone."""
    gone = {str(file) for file in files}
    for known in blocks.temp_file_sets:
        known -= gone


_move = Block.async_move_resource_to_block_cache


async def _move_and_note(component: Any, path: str | Path | None) -> str | None:
    """Note what a handler returned as a file of the page: Gradio notes it at the component.

    Once an event has updated a component, its session has a copy of it, whose notes nobody reads.
    """
    moved: str | None = await _move(component, path)
    blocks = LocalContext.blocks.get(None)
    if moved is not None and blocks is not None:
        blocks.upload_file_set.add(moved)
    return moved


class Parser(route_utils.GradioMultiPartParser):  # type: ignore[misc]
    """The parser of uploads. Gradio's leaves the files of an upload that breaks off on the disk for ever."""

    async def parse(self) -> Any:
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                with contextlib.suppress(OSError):  # of a full disk: it tries to write the rest
                    file.close()
                Path(file.name).unlink(missing_ok=True)
            raise


def bound_files(max_bytes: int, too_large: Callable[[], Exception], seconds: float = 60) -> None:
    """From now on no upload that breaks off leaves files, returned files are kept ones, no link is over `max_bytes`.

    A value may be a link instead of an upload. Gradio reads what it leads to into memory, of any length and for any
    time; what `too_large` makes is raised instead.
    """
    Block.async_move_resource_to_block_cache = _move_and_note
    for module in (gr.components.file, gr.components.upload_button, gr.components.download_button):
        # each value that a handler is given leaves an empty file, made for a name that is then replaced
        module.tempfile = types.SimpleNamespace(NamedTemporaryFile=lambda **_: types.SimpleNamespace())
    routes.GradioMultiPartParser = route_utils.GradioMultiPartParser = Parser

    async def get(url: str, domain_whitelist: Any = None, _transport: Any = None) -> httpx.Response:
        host = httpx.URL(url).host
        if not _transport and not _safehttpx.matches_domain_whitelist(host, domain_whitelist):
            _transport = _safehttpx.AsyncSecureTransport(await _safehttpx.async_validate_url(host))
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(transport=_transport or None) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            data = bytearray()
            async for part in answer.aiter_raw():
                data += part
                if len(data) > max_bytes:
                    raise too_large()
        return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(data), request=answer.request)

    processing_utils.sh = types.SimpleNamespace(get=get)


def around_pictures(around: Callable[[Callable[[], Any], Sequence[Path | bytes]], Any]) -> None:
    """Have components that decode pictures for a handler do it inside `around(decode, pictures)`.

    Calls `around` with the decoding and with the files or bytes that it will read, which are uploads. Gradio decodes
    any number at the same time, before the handler runs.
    """
    for kind in (gr.Image, gr.ImageEditor, gr.Gallery, gr.AnnotatedImage, gr.ImageSlider):
        before = kind.__dict__.get("preprocess")
        if before is not None:
            kind.preprocess = _decoding(getattr(before, "__wrapped__", before), around)


def bound_drawings(max_bytes: int) -> None:
    """Keep at most that many bytes of the drawings that editors sent ahead; the oldest are forgotten first.

    Gradio keeps each for ever, and makes room for as many layers as a request says.
    """
    before = getattr(gr.ImageEditor.accept_blobs, "__wrapped__", gr.ImageEditor.accept_blobs)

    @functools.wraps(before)
    def accept_blobs(self: Any, data: Any) -> Any:
        if not str(data.data["index"] or "null").isdecimal() or int(data.data["index"]) >= MAX_LAYERS:
            data.data["index"] = "null"
        kept = self.blob_storage
        answer = before(self, data)
        kept[data.data["id"]] = kept.pop(data.data["id"])  # the newest is last
        sizes = {id: _bytes(drawing) for id, drawing in list(kept.items())}
        total = sum(sizes.values())
        for id, size in sizes.items():
            if total <= max_bytes:
                break
            kept.pop(id, None)
            total -= size
        return answer

    gr.ImageEditor.accept_blobs = accept_blobs


def _bytes(drawing: Any) -> int:
    parts = (drawing.background, drawing.composite, *drawing.layers)
    return 1000 + sum(len(part) for part in parts if part is not None)


def _decoding(before: Callable[..., Any], around: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(before)
    def preprocess(self: Any, payload: Any) -> Any:
        def decode() -> Any:
            value = before(self, payload)
            for picture in _pictures(value):
                picture.load()  # Pillow would read it later, in the handler
            return value

        return around(decode, list(_sources(self, payload)))

    return preprocess


def _sources(component: Any, payload: Any) -> Iterator[Path | bytes]:
    """The files and bytes of an input: of an editor that sent them ahead, those that it has kept."""
    if isinstance(payload, bytes):
        yield payload
    elif hasattr(payload, "path"):  # FileData, ImageData
        url = getattr(payload, "url", None) or ""
        if url.startswith("data:"):
            yield base64.b64decode(url.partition(",")[2])
        elif payload.path:
            yield Path(payload.path)
    elif isinstance(payload, list | tuple):
        for part in payload:
            yield from _sources(component, part)
    elif hasattr(payload, "model_fields"):
        kept = getattr(component, "blob_storage", {}).get(getattr(payload, "id", None))
        for name in type(payload).model_fields if kept is None else type(kept).model_fields:
            yield from _sources(component, getattr(payload if kept is None else kept, name))


def _pictures(value: Any) -> Iterator[PIL.Image.Image]:
    if isinstance(value, PIL.Image.Image):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _pictures(part)
