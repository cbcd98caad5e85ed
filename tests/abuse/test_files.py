"""What files may cost: pictures that are large when decoded, archives of them, uploads in all, and what breaks off."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image
from plugins_on_disk import ROOT, Plugins

from demo_app.errors import InputError
from demo_app.gradio_internals import files
from demo_app.inputs import archives
from demo_app.inputs.archives import pictures_in
from demo_app.inputs.pictures import open_picture
from demo_app.inputs.turns import Turns
from demo_app.serving import client
from demo_app.serving.local import free_port

MB = 2**20
SIDE = 7000  # 49 megapixels

DEMO = """
from demo_app import Demo, hookimpl

def build(handle):
    import gradio as gr
    from demo_app.inputs.archives import pictures_in
    from demo_app.inputs.pictures import open_picture
    from demo_app.inputs.uploads import uploaded

    def small(picture):
        "Read it at a smaller scale. Args: picture: any. Returns: its width."
        return open_picture(uploaded(picture), at_least=224).width

    def decoded(picture):
        "Gradio has decoded it. Args: picture: any. Returns: its width."
        return picture.width

    def count(file):
        "Count the pictures. Args: file: a ZIP. Returns: how many there are."
        with pictures_in(file, max_pictures=1000) as entries:
            return len(entries)

    number, picture = gr.Number(), gr.Image(type="pil")
    gr.Button("Small").click(small, picture, number, api_name="small", preprocess=False, queue=False)
    gr.Button("Decoded").click(decoded, picture, number, api_name="decoded", concurrency_limit=1)
    gr.Button("Drawn").click(len, gr.ImageEditor(type="pil"), number, api_name="drawn")
    gr.Button("Many").click(len, gr.Gallery(type="pil"), number, api_name="gallery")
    gr.Button("Count").click(count, gr.File(), number, api_name="count")

@hookimpl
def register_demos():
    return [Demo(name="big", title="Big", summary="Large files.", load=lambda *_: str, build=build)]
"""


@dataclass(frozen=True)
class Host:
    """A host in a process of its own."""

    url: str
    pid: int
    temporary: Path

    def memory(self, name: str) -> int:
        """VmRSS, now, or VmHWM, the most since `forget_peak`, in bytes."""
        return int(re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) * 1024  # type: ignore[index]

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def upload(self, *files: tuple[str, bytes]) -> list[str]:
        answer = httpx.post(f"{self.url}gradio_api/upload", files=[("files", file) for file in files], timeout=60)
        answer.raise_for_status()
        found: list[str] = answer.json()
        return found

    def on_disk(self) -> int:
        """Bytes of all temporary files."""
        return sum(path.stat().st_size for path in self.temporary.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("files")
    Plugins(folder / "plugins").add("big", DEMO)
    port = free_port()
    temporary = folder / "temporary"
    environ = {
        "DEMO_APP_PLUGINS_DIR": str(folder / "plugins"),
        "DEMO_APP_PORT": str(port),
        "DEMO_APP_PRELOAD": "none",
        "DEMO_APP_MAX_UPLOADS": "12M",
        "DEMO_APP_MAX_UPLOAD": "2M",
        "GRADIO_TEMP_DIR": str(temporary),
    }
    command = [sys.executable, "-m", "demo_app", "run"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        deadline = time.monotonic() + 90
        while not is_up(url):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Host(url, process.pid, temporary)
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens after the answer: files are deleted once the upload has ended."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def picture(side: int = SIDE, kind: str = "WEBP", colour: int = 7, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), (colour, 60, 90)).save(data, kind, **options)
    return data.getvalue()


@pytest.fixture(scope="module")
def large() -> bytes:
    return picture(method=0)


def value(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.webp"}


# Large pictures


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("action", "count"), [("small", 6), ("decoded", 3)])
def test_large_pictures_at_once_take_turns(host: Host, large: bytes, action: str, count: int) -> None:
    """Those that a handler decodes, and those that Gradio decodes for it: the same bound."""
    assert len(large) < 300_000
    path = host.upload(("a.webp", large))[0]
    call = client.run if action == "small" else client.call
    warm = value(host.upload(("b.webp", picture(600)))[0])
    call(host.url, f"big_{action}", warm)
    before = host.memory("VmRSS")
    host.forget_peak()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: call(host.url, f"big_{action}", value(path)), range(count)))
    grown = host.memory("VmHWM") - before
    if action == "small":
        assert [answer.json()["data"] for answer in answers] == [[467]] * 6
    else:
        assert answers == [("complete", [SIDE])] * 3
    assert grown < 1200 * MB


@pytest.mark.parametrize(
    ("kind", "action"), [("PNG", "decoded"), ("PNG", "small"), ("GIF", "small"), ("TIFF", "small"), ("BMP", "small")]
)
def test_too_many_pixels_are_refused_by_the_header(host: Host, kind: str, action: str) -> None:
    path = host.upload((f"a.{kind.lower()}", header_of(kind, 30_000, 30_000)))[0]
    outcome, answer = client.call(host.url, f"big_{action}", value(path))
    assert (outcome, "30,000 x 30,000 pixels" in answer["error"]) == ("error", True)


def header_of(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header claims that size."""
    data = bytearray(picture(64, kind))
    if kind == "PNG":
        import zlib

        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif kind == "GIF":
        data[6:10] = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    elif kind == "BMP":
        data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    else:
        for tag, side in ((256, width), (257, height)):
            at = data.index(tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0")
            data[at + 8 : at + 12] = side.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"P6 12000 12000 255 " + bytes(100), "of a kind that can be read here"),  # 144 megapixels, to Pillow alone
        (b"qoif" + (12000).to_bytes(4, "big") * 2 + b"\3\0" + bytes(100), "of a kind that can be read here"),
        (picture(64, "JPEG") + b"\xff\xda" * 100, "passes to decode"),
        (picture(64, "PNG")[:40], "damaged"),
    ],
    ids=["ppm", "qoi", "scans", "cut off"],
)
def test_what_gradio_would_decode_is_checked_as_uploads_are(host: Host, data: bytes, said: str) -> None:
    path = host.upload(("a.png", data))[0]
    outcome, answer = client.call(host.url, "big_decoded", value(path))
    assert (outcome, said in answer["error"]) == ("error", True)


def test_a_compressed_bmp_of_many_runs_is_refused() -> None:
    side = 800
    rows = ((b"\1\0" * side) + b"\0\0") * side + b"\0\1"
    size = 14 + 40 + 1024
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    data = b"BM" + struct.pack("<IHHI", size + len(rows), 0, 0, size) + head + bytes(1024) + rows
    with pytest.raises(InputError, match="save it as PNG"):
        open_picture(data)


def test_layers_and_galleries_are_counted_together(host: Host, large: bytes) -> None:
    paths = host.upload(*((f"{i}.webp", large) for i in range(3)))
    drawn = {"background": value(paths[0]), "layers": [value(paths[1])], "composite": value(paths[2])}
    gallery = [{"image": value(path), "caption": None} for path in paths]
    for action, given in (("drawn", drawn), ("gallery", gallery)):
        outcome, answer = client.call(host.url, f"big_{action}", given)
        assert (outcome, "147 million pixels together" in answer["error"]) == ("error", True)


def test_decodings_take_turns_and_borrow_memory() -> None:
    borrowed: list[int] = []
    turns = Turns(50_000_000, patience=0.05)
    turns.borrow = lambda size: Borrow(borrowed, size)
    with turns.turn(1_000_000), turns.turn(40_000_000):
        with turns.turn(9_000_000), turns.turn(2_000_000):  # both fit beside it, the small one waits for nobody
            assert borrowed == [640_000_000, 144_000_000]
        with pytest.raises(InputError, match="Too many large pictures"), turns.turn(20_000_000):
            pass
    with turns.turn(60_000_000):  # alone, whatever it takes
        pass
    assert borrowed == []


class Borrow:
    def __init__(self, borrowed: list[int], size: int) -> None:
        self.borrowed, self.size = borrowed, size

    def __enter__(self) -> None:
        self.borrowed.append(self.size)

    def __exit__(self, *_: object) -> None:
        self.borrowed.remove(self.size)


# Archives


def archive(count: int, data: bytes, place: Path) -> Path:
    with zipfile.ZipFile(place, "w") as packed:
        for i in range(count):
            packed.writestr(f"{i}.png", data)
    return place


def test_an_archive_of_large_pictures_is_refused_before_one_is_decoded(host: Host, tmp_path: Path) -> None:
    data = archive(130, header_of("PNG", 7000, 7000), tmp_path / "many.zip").read_bytes()
    path = host.upload(("many.zip", data))[0]
    started = time.monotonic()
    outcome, answer = client.call(host.url, "big_count", value(path) | {"orig_name": "many.zip"})
    assert (outcome, "more than 2,000 million pixels in all" in answer["error"]) == ("error", True)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("kind", ["zip", "tar", "files"])
def test_pixels_are_counted_in_every_kind_of_upload(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 100_000)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.png").write_bytes(picture(100, "PNG", colour=i))
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "huge.webp").write_bytes(b"RIFF....WEBP" + bytes(200_000))  # not even opened
    source: Any = sorted(folder.iterdir())
    if kind != "files":
        import shutil

        source = Path(shutil.make_archive(str(tmp_path / "packed"), kind, folder))
    with pictures_in(source, max_pictures=10, max_pixels=40_000) as entries:
        assert len(entries) == 6
    with (
        pytest.raises(InputError, match="pixels in all"),
        pictures_in(source, max_pictures=10, max_pixels=39_999),
    ):
        pass


# Uploads in all


def test_all_uploads_together_have_a_bound_and_the_oldest_go_first(host: Host) -> None:
    paths = [host.upload((f"{i}.bin", bytes([i]) * MB))[0] for i in range(20)]
    until(lambda: host.on_disk() <= 12 * MB + 65536)
    assert [Path(path).exists() for path in (paths[0], paths[-1])] == [False, True]
    outcome, answer = client.call(host.url, "big_count", value(paths[0]))
    assert outcome == "error"
    assert answer["error"]


def test_one_upload_has_a_bound(host: Host) -> None:
    sent = [("files", (f"{i}.bin", bytes(MB))) for i in range(5)]
    refused = httpx.post(f"{host.url}gradio_api/upload", files=sent, timeout=30)
    assert (refused.status_code, "3 MB" in refused.text) == (413, True)


def test_an_upload_that_breaks_off_leaves_nothing(host: Host) -> None:
    before = host.on_disk()
    place = httpx.URL(host.url)
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {place.host}\r\nContent-Length: 2000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    )
    for _ in range(3):
        with socket.create_connection((place.host, place.port), timeout=20) as connection:
            connection.sendall(head.encode() + bytes(MB))
    until(lambda: host.on_disk() <= before)


def test_drawings_that_were_sent_ahead_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr

    monkeypatch.setattr(gr.ImageEditor, "accept_blobs", gr.ImageEditor.accept_blobs)
    files.bound_drawings(10_000)
    editor = gr.ImageEditor()
    for i in range(20):
        send(editor, f"drawing {i}", "composite", "null", bytes(1000))
    send(editor, "drawing 19", "layer", str(10**9), bytes(1000))  # as many places as the number says
    kept = editor.blob_storage
    assert len(kept) < 10
    assert "drawing 19" in kept
    assert len(kept["drawing 19"].layers) <= files.MAX_LAYERS


def send(editor: Any, name: str, kind: str, index: str, data: bytes) -> None:
    given = {"type": kind, "index": index, "id": name}
    editor.accept_blobs(SimpleNamespace(data=given, files=[("a.png", data)]))


# Links


class _Link(httpx.AsyncBaseTransport):
    """A site that sends a megabyte after the other, for ever."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=_Endless())


class _Endless(httpx.AsyncByteStream):
    sent = 0

    async def __aiter__(self) -> Any:
        while True:
            type(self).sent += MB
            yield bytes(MB)


def test_a_link_brings_no_more_than_an_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from gradio import processing_utils, route_utils, routes

    monkeypatch.setattr(processing_utils, "sh", processing_utils.sh)
    for module in (routes, route_utils):
        monkeypatch.setattr(module, "GradioMultiPartParser", module.GradioMultiPartParser)
    files.bound_files(3 * MB, lambda: InputError("too large"))
    monkeypatch.setattr(processing_utils, "async_transport", _Link())
    with pytest.raises(InputError, match="too large"):
        asyncio.run(processing_utils.async_ssrf_protected_get("https://example.org/a.bin"))
    assert _Endless.sent <= 5 * MB
