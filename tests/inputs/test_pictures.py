"""Pictures that visitors upload: odd ones come out upright and RGB, bad ones are refused with a sentence each."""

from __future__ import annotations

import io
import os
import random
import resource
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torchvision.transforms as T
from PIL import Image
from sample_pictures import BLUE, GREEN, RED, SVG, WHITE, best, chunk, flag, near, packed, png, save

from demo_app import InputError
from demo_app.inputs.crops import centre_crop
from demo_app.inputs.pictures import check_picture, open_picture

IMAGES = Path(gr.__file__).parent / "media_assets" / "images"
CHEETAH = IMAGES / "cheetah.jpg"


# Odd pictures are read


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "MPO"])
def test_every_usual_format_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "flag"
    path.write_bytes(packed(flag(), kind))
    for source in (path, str(path), path.read_bytes()):
        assert near(open_picture(source), flag())


TURNS = {  # orientation -> what the camera stored, so that turning it back gives the flag
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_with_exif_orientation_is_upright(kind: str, orientation: int) -> None:
    exif, turn = Image.Exif(), TURNS[orientation]
    exif[0x0112] = orientation
    stored = flag() if turn is None else flag().transpose(turn)
    data = packed(stored, kind, exif=exif.tobytes())
    assert near(open_picture(data), flag())
    large = packed(stored.resize((stored.width * 40, stored.height * 40), Image.Resampling.NEAREST), kind, exif=exif)
    assert near(open_picture(large, at_least=160), flag().resize((480, 320), Image.Resampling.NEAREST))


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + bytes(20)])
def test_unreadable_exif_leaves_the_picture_as_it_is(exif: bytes) -> None:
    assert near(open_picture(packed(flag(), "JPEG", exif=exif)), flag())


@pytest.mark.parametrize("value", [0, 9, 60_000])
def test_an_invalid_orientation_leaves_the_picture_as_it_is(value: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert near(open_picture(packed(flag(), "PNG", exif=exif)), flag())


def transparent(mode: str) -> Image.Image:
    picture = Image.new("RGBA", (48, 32), RED)
    picture.paste((0, 0, 0, 0), (24, 0, 48, 32))
    return picture.quantize(8) if mode == "P" else picture.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "GIF"), ("RGBA", "TIFF")],
)
def test_transparent_parts_become_white(mode: str, kind: str) -> None:
    data = packed(transparent(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    picture = open_picture(data)
    assert picture.mode == "RGB"
    assert picture.getpixel((40, 16)) == WHITE
    assert picture.getpixel((4, 16)) == (RED if mode != "LA" else (76, 76, 76))


def test_half_transparent_is_half_white() -> None:
    assert open_picture(packed(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize(("mode", "clear", "other"), [("L", 0, 90), ("RGB", (0, 0, 0), (9, 9, 9)), ("1", 0, 1)])
def test_a_transparent_colour_becomes_white(mode: str, clear: Any, other: Any) -> None:
    picture = Image.new(mode, (4, 4), clear)
    picture.putpixel((0, 0), other)
    opened = open_picture(packed(picture, transparency=clear))
    assert opened.getpixel((3, 3)) == WHITE
    assert opened.getpixel((0, 0)) == Image.new(mode, (1, 1), other).convert("RGB").getpixel((0, 0))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted(kind: str) -> None:
    assert near(open_picture(packed(flag().convert("CMYK"), kind)), flag())


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette_are_converted(mode: str) -> None:
    assert near(open_picture(packed(flag().convert(mode))), flag().convert(mode).convert("RGB"), within=0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_scaled_by_their_full_range(kind: str) -> None:
    grey = np.array([[0, 1, 257, 32_768, 65_534, 65_535]], dtype=np.uint16)
    opened = np.asarray(open_picture(packed(Image.fromarray(grey), kind)))
    assert opened[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]
    assert (opened == opened[..., :1]).all()


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.array([[0, 65_535, 32_768]], dtype=np.int32), [0, 255, 128]),
        (np.array([[-100, 20, 155]], dtype=np.int32), [0, 120, 255]),
        (np.array([[0, 400_000, 1_000_000]], dtype=np.int32), [0, 102, 255]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[np.nan, 100, 200]], dtype=np.float32), [0, 128, 255]),
        (np.array([[7, 7, 7]], dtype=np.float32), [0, 0, 0]),
    ],
)
def test_greys_of_other_ranges_are_stretched(values: np.ndarray, wanted: list[int]) -> None:
    assert np.asarray(open_picture(packed(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == wanted


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_used(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (GREEN, BLUE, RED)]
    opened = open_picture(packed(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert near(opened, frames[0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (3, 5000), (1, 700)])
@pytest.mark.parametrize("at_least", [None, 256])
def test_pictures_of_any_shape_are_read(kind: str, size: tuple[int, int], at_least: int | None) -> None:
    opened = open_picture(packed(Image.new("RGB", size, GREEN), kind), at_least=at_least)
    assert opened.size == size
    assert near(centre_crop(opened, 256, 224), Image.new("RGB", (224, 224), GREEN), within=3)


# Bad files are refused

HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(100)

REFUSED = {
    "zero bytes": (b"", "zero bytes.*upload the picture again"),
    "svg": (SVG, "drawing.*export it as PNG"),
    "svg, no prologue": (b'  <SVG width="3">', "drawing.*export it as PNG"),
    "text": (b"hello\tthere\r\n", "holds text.*use a JPEG"),
    "text cut inside a letter": (("a" * 4095 + "é").encode(), "holds text"),
    "text of Windows": ("grüß".encode("utf-16"), "holds text"),
    "html": (b"<!doctype html><title>404</title>", "holds text"),
    "heic": (HEIC, "iPhone.*save it as JPEG"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(100), "no picture of a kind"),
    "noise": (random.Random(0).randbytes(5000), "no picture of a kind"),
    "eps": (b"\xc5\xd0\xd3\xc6" + bytes(100), "no picture of a kind"),
    "psd": (b"8BPS\0\1" + bytes(100), "no picture of a kind"),
    "bomb": (png(30_000, 30_000), "30,000 x 30,000 pixels, 900 million.*limit is 50 million; make it smaller"),
    "bomb that Pillow only warns about": (png(10_000, 9_500), "95 million"),
    "bomb beyond all numbers": (png(2**31 - 1, 2**31 - 1), "make it smaller"),
    "long bomb": (png(50_000_001, 1), "make it smaller"),
    "no width": (png(0, 5), "damaged"),
    "text bomb": (png(4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))), "damaged"),
    "profile bomb": (png(4, 4, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**8)))), "PNG"),
}


@pytest.mark.parametrize("at_least", [None, 256])
@pytest.mark.parametrize("case", REFUSED)
def test_every_bad_file_is_refused_with_its_own_sentence(case: str, at_least: int | None) -> None:
    data, sentence = REFUSED[case]
    if case == "profile bomb":  # Pillow leaves such a profile out; the rest is then judged on its own
        data = data.replace(b"IDAT", b"IDAX")
        sentence = "damaged"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started = time.thread_time()
        with pytest.raises(InputError, match=f"(?s){sentence}"):
            open_picture(data, at_least=at_least)
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("case", sorted(REFUSED.keys() - {"text bomb", "profile bomb"}))  # whose headers are fine
def test_a_check_of_the_header_refuses_bad_files(case: str, tmp_path: Path) -> None:
    data, sentence = REFUSED[case]
    for source in (data, save(tmp_path / "picture", data)):
        with pytest.raises(InputError, match=f"(?s){sentence}"):
            check_picture(source)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "MPO"])
def test_a_check_of_the_header_lets_pictures_pass(kind: str, tmp_path: Path) -> None:
    (tmp_path / "flag").write_bytes(packed(flag(), kind))
    check_picture(tmp_path / "flag")
    check_picture(packed(flag(), kind))


def test_a_bomb_is_refused_from_its_header_alone(tmp_path: Path) -> None:
    """A complete picture of 30,000 x 30,000 pixels in 3 MB, which would be 2.7 GB; the process may use 1 GB."""
    squeeze = zlib.compressobj()
    first = squeeze.flush(zlib.Z_FULL_FLUSH)
    rows = squeeze.compress(bytes(3 * 30_000 + 1) * 1000) + squeeze.flush(zlib.Z_FULL_FLUSH)
    data = first + 30 * rows + squeeze.flush()
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000, data=data))
    code = f"""
import resource, time
from demo_app import InputError
from demo_app.inputs import pictures
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
for source in ({str(tmp_path / "bomb.png")!r}, open({str(tmp_path / "bomb.png")!r}, "rb").read()):
    try:
        pictures.open_picture(source, at_least=256)
    except InputError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, time.thread_time() - started)
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limit, env=environ
    )
    first, second, costs = ran.stdout.splitlines()
    assert "900 million" in first
    assert first == second
    megabytes, seconds = map(float, costs.split())
    assert megabytes < 20
    assert seconds < 0.5
    assert not ran.stderr


def test_a_large_picture_within_the_limit_is_read() -> None:
    opened = open_picture(packed(Image.new("L", (10_000, 5_000), 77)), at_least=256)
    assert opened.getpixel((3, 3)) == (77, 77, 77)


def test_the_first_frame_of_an_animation_may_not_outgrow_its_header() -> None:
    for side in (8_000, 60_000):
        data = bytearray(packed(Image.new("P", (16, 16)), "GIF"))
        frame = data.index(b",\0\0\0\0")
        data[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
        with pytest.raises(InputError, match=r"50 million.*; make it smaller"):
            open_picture(bytes(data))


def test_a_jpeg_with_too_many_scans_is_refused() -> None:
    data = packed(Image.new("L", (7_000, 7_000), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 20_000 + data[-2:]  # 1.5 MB that would take a quarter of an hour
    started = time.thread_time()
    with pytest.raises(InputError, match=r"20,0\d\d passes.*save it anew"):
        open_picture(bomb, at_least=256)
    assert time.thread_time() - started < 1
    assert open_picture(data, at_least=256).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    whole = packed(Image.open(CHEETAH).convert("RGB"), kind)
    with pytest.raises(InputError, match=f"This {kind} file is damaged or not complete; upload it again"):
        open_picture(whole[: max(16, int(share * len(whole)))])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_damage_anywhere_gives_a_picture_or_an_input_error(kind: str) -> None:
    """Hundreds of broken files: never another exception, never a warning about a bomb."""
    whole = packed(flag(), kind)
    chance = random.Random(kind)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                assert open_picture(bytes(data), at_least=16).mode == "RGB"
            except InputError:
                refused += 1
    assert 0 < refused < 300


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.png cannot be read \(No such file.*check the path"):
        open_picture(tmp_path / "no.png")
    with pytest.raises(InputError, match="check the path"):
        open_picture(tmp_path)
    with pytest.raises(InputError, match="check the path"):
        open_picture("a\0b")


def test_formats_are_recognised_by_their_bytes_not_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "flag.gif").write_bytes(packed(flag(), "JPEG"))
    assert near(open_picture(tmp_path / "flag.gif"), flag())


def test_neither_gradio_nor_torch_is_imported() -> None:
    names = ("archives", "crops", "pictures", "tables", "uploads")
    modules = ", ".join(f"demo_app.inputs.{name}" for name in names)
    code = f"import sys, {modules}; print({{'gradio', 'torch', 'torchvision'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# Speed


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """12 megapixels as from a camera: a picture enlarged, with a sensor's noise."""
    large = np.asarray(Image.open(CHEETAH).convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS))
    noise = np.random.default_rng(0).normal(0, 6, (3000, 4000, 3))
    return packed(Image.fromarray((large + noise).clip(0, 255).astype(np.uint8)), "JPEG", quality=90)


def plain(data: bytes) -> Image.Image:
    return T.CenterCrop(224)(
        T.Resize(256, T.InterpolationMode.BICUBIC)(Image.open(io.BytesIO(data)).convert("RGB"))
    )  # fmt: skip


def test_a_photograph_is_prepared_twice_as_fast_and_looks_the_same(photograph: bytes) -> None:
    def quick() -> Image.Image:
        return centre_crop(open_picture(photograph, at_least=256), 256, 224)

    apart = np.abs(np.asarray(quick()).astype(int) - np.asarray(plain(photograph)))
    assert apart.max() <= 4
    assert apart.mean() < 0.5
    assert best(lambda: plain(photograph)) > 2 * best(quick)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(4000, 3000), (2048, 512), (512, 2048), (1023, 800), (511, 511), (5000, 200)])
def test_a_reduced_picture_keeps_twice_the_requested_pixels(kind: str, size: tuple[int, int]) -> None:
    whole = packed(Image.new("RGB", size, GREEN), kind)
    opened = open_picture(whole, at_least=256)
    assert min(opened.size) >= min(512, *size)
    assert opened.width / opened.height == pytest.approx(size[0] / size[1], rel=0.01)
    assert min(opened.size) < 4 * 512
    assert open_picture(whole).size == size
