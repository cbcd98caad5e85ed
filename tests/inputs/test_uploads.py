"""Uploads reach a handler through Gradio undecoded, and no other file of the host does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from PIL import Image
from sample_pictures import SVG, flag, packed, png, save

from demo_app import InputError
from demo_app.inputs.pictures import open_picture
from demo_app.inputs.uploads import uploaded

IMAGES = Path(gr.__file__).parent / "media_assets" / "images"
CHEETAH = IMAGES / "cheetah.jpg"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with one picture and one event that returns what `uploaded` and `open_picture` make of it."""

    def look(value: Any) -> str:
        try:
            picture = open_picture(uploaded(value), at_least=256)
        except InputError as error:
            return str(error)
        return f"{picture.mode} {picture.width}x{picture.height}"

    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
    with gr.Blocks() as blocks:
        picture, words = gr.Image(type="filepath"), gr.Textbox()
        picture.upload(look, picture, words, api_name="look", preprocess=False, queue=False)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True)
    yield url
    blocks.close()
    patch.undo()


def ask(page: str, value: Any) -> httpx.Response:
    return httpx.post(f"{page}gradio_api/run/look", json={"data": [value]})


def upload(page: str, name: str, data: bytes) -> dict[str, Any]:
    path = httpx.post(f"{page}gradio_api/upload", files={"files": (name, data)}).json()[0]
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return packed(flag(), "JPEG", exif=exif)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("cheetah.jpg", CHEETAH.read_bytes(), "RGB"),
        ("bomb.png", png(30_000, 30_000), "900 million"),
        ("drawing.svg", SVG, "export it as PNG"),
        ("text.png", b"hello", "holds text"),
        ("empty.png", b"", "zero bytes"),
        ("cmyk.jpg", packed(flag().convert("CMYK"), "JPEG"), "RGB 48x32"),
        ("deep.png", packed(Image.new("I;16", (40, 30), 30_000)), "RGB 40x30"),
        ("turned.jpg", turned(), "RGB 32x48"),
        ("half.jpg", CHEETAH.read_bytes()[:9000], "damaged or not complete"),
    ],
)
def test_every_upload_reaches_the_handler_as_it_is(page: str, name: str, data: bytes, sentence: str) -> None:
    answer = ask(page, upload(page, name, data))
    assert answer.status_code == 200
    assert sentence in answer.json()["data"][0]


def test_no_other_file_of_the_host_can_be_read(page: str, tmp_path: Path) -> None:
    secret = save(tmp_path / "secret.png", packed(flag()))
    link = Path(os.environ["GRADIO_TEMP_DIR"], "link.png")
    link.symlink_to(secret)
    outside = Path(os.environ["GRADIO_TEMP_DIR"], "..", tmp_path.name, secret.name)
    meta = {"meta": {"_type": "gradio.FileData"}}
    for path in (
        secret,
        link,
        outside,
        CHEETAH,
        "/etc/passwd",
        "http://localhost/a.png",
        os.environ["GRADIO_TEMP_DIR"],
    ):
        for more in ({}, meta, {**meta, "is_stream": True}, {"url": "data:image/png;base64,AA"}):
            answer = ask(page, {"path": str(path), **more})
            if answer.status_code == 200:
                assert "not on this server" in answer.json()["data"][0], (path, more)


@pytest.mark.parametrize(
    "value", [None, {}, {"path": None}, {"path": 3}, "", 3, [], {"url": "data:image/png;base64,AA"}]
)
def test_an_empty_upload_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="Nothing is uploaded yet; choose a file"):
        uploaded(value)


def test_uploads_lie_where_gradio_keeps_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = save(Path(gr.utils.get_upload_folder()) / "a" / "1.png", packed(flag()))
    assert uploaded({"path": str(path)}) == path.resolve()
    assert uploaded(str(path)) == path.resolve()
