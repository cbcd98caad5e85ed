"""Pictures that visitors bring: what is odd comes out upright and RGB, what is bad gets its own sentence, cheaply."""

from __future__ import annotations

import io
import os
import random
import resource
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
import torchvision.transforms as T
from PIL import Image

from demo_app import InputError
from demo_app.inputs import archives
from demo_app.inputs.archives import Entry, by_name, label_of, pictures_in
from demo_app.inputs.crops import centre_crop
from demo_app.inputs.pictures import check_picture, open_picture
from demo_app.inputs.uploads import uploaded

IMAGES = Path(gr.__file__).parent / "media_assets" / "images"
CHEETAH = IMAGES / "cheetah.jpg"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)


def packed(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes, data: bytes = zlib.compress(bytes(1000))) -> bytes:
    """A PNG that says it has this size, whatever there is in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flag() -> Image.Image:
    """Red left above, blue right below, green elsewhere: no turn or flip of it is like another."""
    picture = Image.new("RGB", (48, 32), GREEN)
    picture.paste(RED, (0, 0, 16, 16))
    picture.paste(BLUE, (32, 16, 48, 32))
    return picture


def near(picture: Image.Image, wanted: Image.Image, within: int = 12) -> bool:
    """Whether two pictures look the same, up to what JPEG makes of them (single pixels at edges aside)."""
    if picture.mode != "RGB" or picture.size != wanted.size:
        return False
    apart = np.abs(np.asarray(picture).astype(int) - np.asarray(wanted.convert("RGB")))
    return bool(apart.mean() <= within)


# --- what is odd is shown all the same


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
def test_a_picture_that_the_camera_stored_turned_is_shown_upright(kind: str, orientation: int) -> None:
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
def test_an_orientation_that_is_none_leaves_the_picture_as_it_is(value: Any) -> None:
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
def test_what_is_transparent_becomes_white(mode: str, kind: str) -> None:
    data = packed(transparent(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    picture = open_picture(data)
    assert picture.mode == "RGB"
    assert picture.getpixel((40, 16)) == WHITE
    assert picture.getpixel((4, 16)) == (RED if mode != "LA" else (76, 76, 76))


def test_half_transparent_is_half_white() -> None:
    assert open_picture(packed(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize(("mode", "clear", "other"), [("L", 0, 90), ("RGB", (0, 0, 0), (9, 9, 9)), ("1", 0, 1)])
def test_one_colour_that_stands_for_transparent_becomes_white(mode: str, clear: Any, other: Any) -> None:
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
def test_of_an_animation_the_first_frame_is_shown(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (GREEN, BLUE, RED)]
    opened = open_picture(packed(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert near(opened, frames[0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (3, 5000), (1, 700)])
@pytest.mark.parametrize("at_least", [None, 256])
def test_no_shape_is_too_odd(kind: str, size: tuple[int, int], at_least: int | None) -> None:
    opened = open_picture(packed(Image.new("RGB", size, GREEN), kind), at_least=at_least)
    assert opened.size == size
    assert near(centre_crop(opened, 256, 224), Image.new("RGB", (224, 224), GREEN), within=3)


# --- what is bad is refused, each with its own sentence

SVG = b'<?xml version="1.0"?>\n<!-- drawn by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>'
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
def test_what_is_no_harmless_picture_is_refused_in_words(case: str, at_least: int | None) -> None:
    data, sentence = REFUSED[case]
    if case == "profile bomb":  # Pillow leaves such a profile out; the rest is then judged on its own
        data = data.replace(b"IDAT", b"IDAX")
        sentence = "damaged"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started = time.perf_counter()
        with pytest.raises(InputError, match=f"(?s){sentence}"):
            open_picture(data, at_least=at_least)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("case", sorted(REFUSED.keys() - {"text bomb", "profile bomb"}))  # whose headers are fine
def test_a_check_of_the_header_refuses_what_is_no_harmless_picture(case: str, tmp_path: Path) -> None:
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
    """A real one, 30,000 x 30,000 that is all there: 3 MB that would be 2.7 GB; its reader may have 1 GB."""
    squeeze = zlib.compressobj()
    first = squeeze.flush(zlib.Z_FULL_FLUSH)
    rows = squeeze.compress(bytes(3 * 30_000 + 1) * 1000) + squeeze.flush(zlib.Z_FULL_FLUSH)
    data = first + 30 * rows + squeeze.flush()
    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000, data=data))
    code = f"""
import resource, time
from demo_app import InputError, pictures
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
for source in ({str(tmp_path / "bomb.png")!r}, open({str(tmp_path / "bomb.png")!r}, "rb").read()):
    try:
        pictures.open_picture(source, at_least=256)
    except InputError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, time.perf_counter() - started)
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


def test_a_large_picture_within_the_limit_is_shown() -> None:
    opened = open_picture(packed(Image.new("L", (10_000, 5_000), 77)), at_least=256)
    assert opened.getpixel((3, 3)) == (77, 77, 77)


def test_the_first_frame_of_an_animation_may_not_outgrow_its_header() -> None:
    for side in (8_000, 60_000):
        data = bytearray(packed(Image.new("P", (16, 16)), "GIF"))
        frame = data.index(b",\0\0\0\0")
        data[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
        with pytest.raises(InputError, match=r"50 million.*; make it smaller"):
            open_picture(bytes(data))


def test_a_jpeg_of_endless_passes_is_refused() -> None:
    data = packed(Image.new("L", (7_000, 7_000), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 20_000 + data[-2:]  # 1.5 MB that would take a quarter of an hour
    started = time.perf_counter()
    with pytest.raises(InputError, match=r"20,0\d\d passes.*save it anew"):
        open_picture(bomb, at_least=256)
    assert time.perf_counter() - started < 1
    assert open_picture(data, at_least=256).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    whole = packed(Image.open(CHEETAH).convert("RGB"), kind)
    with pytest.raises(InputError, match=f"This {kind} file is damaged or not complete; upload it again"):
        open_picture(whole[: max(16, int(share * len(whole)))])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_damage_anywhere_gives_a_picture_or_the_sentence(kind: str) -> None:
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


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.png cannot be read \(No such file.*check the path"):
        open_picture(tmp_path / "no.png")
    with pytest.raises(InputError, match="check the path"):
        open_picture(tmp_path)
    with pytest.raises(InputError, match="check the path"):
        open_picture("a\0b")


def test_formats_are_told_by_their_bytes_not_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "flag.gif").write_bytes(packed(flag(), "JPEG"))
    assert near(open_picture(tmp_path / "flag.gif"), flag())


def test_neither_gradio_nor_torch_is_imported() -> None:
    code = "import sys, demo_app.pictures; print({'gradio', 'torch', 'torchvision'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# --- quickly


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


def best(work: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return min(once() for _ in range(5))


def test_a_photograph_is_prepared_twice_as_fast_and_looks_the_same(photograph: bytes) -> None:
    def quick() -> Image.Image:
        return centre_crop(open_picture(photograph, at_least=256), 256, 224)

    apart = np.abs(np.asarray(quick()).astype(int) - np.asarray(plain(photograph)))
    assert apart.max() <= 4
    assert apart.mean() < 0.5
    assert best(lambda: plain(photograph)) > 2 * best(quick)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(4000, 3000), (2048, 512), (512, 2048), (1023, 800), (511, 511), (5000, 200)])
def test_a_smaller_copy_keeps_twice_what_was_asked_for(kind: str, size: tuple[int, int]) -> None:
    whole = packed(Image.new("RGB", size, GREEN), kind)
    opened = open_picture(whole, at_least=256)
    assert min(opened.size) >= min(512, *size)
    assert opened.width / opened.height == pytest.approx(size[0] / size[1], rel=0.01)
    assert min(opened.size) < 4 * 512
    assert open_picture(whole).size == size


# --- the middle of it, as torchvision cuts it


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


SHAPES = [(1, 1), (1, 2), (2, 1), (31, 33), (224, 224), (256, 256), (255, 257), (500, 375), (375, 500), (641, 427)]
SHAPES += [(800, 100), (100, 800), (57, 391), (7, 5), (640, 361), (333, 334), (1200, 300)]


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (235, 224), (224, 224), (32, 32), (40, 33), (20, 33)])
@pytest.mark.parametrize("resample", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
def test_the_crop_is_torchvisions_pixel_by_pixel(resize: int, crop: int, resample: Image.Resampling) -> None:
    mode = {
        Image.Resampling.BICUBIC: T.InterpolationMode.BICUBIC,
        Image.Resampling.BILINEAR: T.InterpolationMode.BILINEAR,
    }
    theirs = T.Compose([T.Resize(resize, mode[resample]), T.CenterCrop(crop)])
    for size in SHAPES:
        picture = noise(*size)
        assert np.array_equal(centre_crop(picture, resize, crop, resample), theirs(picture)), size


@pytest.mark.parametrize("size", [(5000, 3), (3, 5000), (900, 100), (100, 1700), (610, 11)])
def test_a_ribbon_is_cropped_as_torchvision_does_to_a_rounding(size: tuple[int, int]) -> None:
    for resize, crop in [(64, 56), (32, 32), (20, 33)]:
        picture = noise(*size)
        theirs = T.CenterCrop(crop)(T.Resize(resize, T.InterpolationMode.BICUBIC)(picture))
        apart = np.abs(np.asarray(centre_crop(picture, resize, crop)).astype(int) - np.asarray(theirs))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.005


def test_a_ribbon_is_not_blown_up() -> None:
    """torchvision would make 256 x 426,667 pixels of it."""
    assert best(lambda: centre_crop(Image.new("RGB", (5000, 3)), 256, 224)) < 0.05
    assert centre_crop(Image.new("RGB", (50_000_000, 1), RED), 256, 224).getcolors() == [(224 * 224, RED)]


# --- folders and archives


def save(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


FILES = {
    "a/cat/2.png": packed(Image.new("RGB", (3, 2), GREEN)),
    "a/cat/10.JPG": packed(Image.new("RGB", (3, 2), RED), "JPEG"),
    "a/dog/1.webp": packed(Image.new("RGB", (3, 2), BLUE), "WEBP"),
    "top.bmp": packed(Image.new("RGB", (3, 2)), "BMP"),
    "a/cat/broken.png": b"not a picture",
    "a/cat/notes.txt": b"passed over",
    "a/.hidden/1.png": b"passed over",
    "a/cat/.2.png": b"passed over",
    "__MACOSX/a/cat/2.png": b"passed over",
    "Thumbs.db": b"passed over",
    "nested.zip": b"PK\3\4 passed over",
}
NAMES = ["a/cat/10.JPG", "a/cat/2.png", "a/cat/broken.png", "a/dog/1.webp", "top.bmp"]


def as_folder(path: Path) -> Path:
    for name, data in FILES.items():
        save(path / "folder" / name, data)
    return path / "folder"


def as_zip(path: Path) -> Path:
    with zipfile.ZipFile(path / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/", b"")
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path / "some.zip"


def as_tar(path: Path, name: str = "some.tar", mode: Any = "w", prefix: str = "") -> Path:
    with tarfile.open(path / name, mode) as archive:
        archive.add(as_folder(path) / "a", f"{prefix}a", recursive=False)
        for name_, data in sorted(FILES.items()):
            member = tarfile.TarInfo(prefix + name_)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path / name


MAKERS: dict[str, Callable[[Path], Path]] = {
    "folder": as_folder,
    "zip": as_zip,
    "tar": as_tar,
    "tar.gz": lambda path: as_tar(path, "some.tgz", "w:gz"),
    "tar of .": lambda path: as_tar(path, prefix="./"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_pictures_of_a_folder_or_an_archive_are_found_at_any_depth(kind: str, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path)
    for given in (source, str(source)):
        with pictures_in(given, max_pictures=5) as entries:
            assert [entry.name for entry in entries] == NAMES
            assert [entry.label for entry in entries] == ["cat", "cat", "cat", "dog", ""]
            for entry in reversed(entries):  # in any order, and more than once
                assert entry.read() == FILES[entry.name]
            assert entries[1].read() == FILES["a/cat/2.png"]


@pytest.mark.parametrize("kind", MAKERS)
def test_other_files_come_too_where_they_are_asked_for(kind: str, tmp_path: Path) -> None:
    with pictures_in(MAKERS[kind](tmp_path), max_pictures=5, also=(".txt", ".csv")) as entries:
        assert sorted(entry.name for entry in entries) == sorted([*NAMES, "a/cat/notes.txt"])
        assert all((entry.path is not None) == (kind == "folder") for entry in entries)
        assert {entry.name: entry.read() for entry in entries}["a/cat/notes.txt"] == b"passed over"


def test_a_picture_is_found_by_the_end_of_its_name_where_one_alone_ends_so(tmp_path: Path) -> None:
    names = ["a/cat/1.png", "a/dog/1.png", "a/dog/2.png", "2.png"]
    found = by_name([Entry(name=name, read=bytes) for name in names])
    assert {name: entry.name for name, entry in found.items()} == {name: name for name in names} | {
        "cat/1.png": "a/cat/1.png",
        "dog/1.png": "a/dog/1.png",
        "dog/2.png": "a/dog/2.png",
        "2.png": "2.png",
    }


def test_one_broken_picture_is_not_the_end_of_the_batch(tmp_path: Path) -> None:
    outcomes = {}
    with pictures_in(as_zip(tmp_path), max_pictures=100) as entries:
        for entry in entries:
            try:
                outcomes[entry.name] = open_picture(entry.read()).size
            except InputError as error:
                outcomes[entry.name] = str(error)
    assert "holds text" in outcomes.pop("a/cat/broken.png")
    assert set(outcomes.values()) == {(3, 2)}


def test_a_list_of_uploaded_files_is_taken_too(tmp_path: Path) -> None:
    paths = [save(tmp_path / name, name.encode()) for name in ("x/b.png", "y/a.png", "z/b.png", "notes.txt")]
    with pictures_in(paths, max_pictures=3) as entries:
        assert [entry.name for entry in entries] == ["a.png", "b.png", "b.png"]
        assert {entry.read() for entry in entries} == {b"x/b.png", b"y/a.png", b"z/b.png"}


def test_the_label_is_the_folder() -> None:
    assert [label_of(name) for name in ("x/train/cat/1.png", "cat/1.png", "1.png")] == ["cat", "cat", ""]


def test_the_callers_own_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), pictures_in(as_zip(tmp_path), max_pictures=100):
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", MAKERS)
def test_too_many_pictures_are_refused(kind: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="5 pictures and the limit is 4; take fewer"),
        pictures_in(MAKERS[kind](tmp_path), max_pictures=4),
    ):
        pass


def refused(path: Path, sentence: str, **limits: int) -> None:
    with pytest.raises(InputError, match=f"(?s){sentence}"), pictures_in(path, **{"max_pictures": 100, **limits}):
        pass


PICTURE = FILES["a/cat/2.png"]
CLIMBING = [
    "../up.png",
    "a/../../up.png",
    "/etc/up.png",
    "C:\\up.png",
    "c:up.png",
    "..\\..\\up.png",
    "\\up.png",
    "../up.txt",
]


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_climbs_out_is_refused_and_nothing_is_written(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("fine.png", PICTURE)
            archive.writestr(zipfile.ZipInfo(name), PICTURE)
    else:
        with tarfile.open(path, "w") as archive_:
            for each in ("fine.png", name):
                member = tarfile.TarInfo(each)
                member.size = len(PICTURE)
                archive_.addfile(member, io.BytesIO(PICTURE))
    refused(path, r"up\.\w+', whose path leads out of the archive")
    assert sorted(each.name for each in tmp_path.rglob("*")) == [f"a.{kind}", "here"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    refused(tmp_path / "a.tar", "the link 'cat/1.png'; pack the pictures themselves")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("cat/1.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    refused(tmp_path / "a.zip", "the link 'cat/1.png'")


def test_a_device_in_a_tar_is_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.type = tarfile.CHRTYPE
        archive.addfile(member)
    refused(tmp_path / "a.tar", "holds no picture")


def zeros(path: Path, megabytes: int, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            with archive.open(name, "w") as member:
                for _ in range(megabytes):
                    member.write(bytes(2**20))
    return path


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    refused(zeros(tmp_path / "a.zip", 40, "zeros.png"), "'zeros.png', which unpacks to suspiciously much")


def test_a_zip_that_unpacks_to_too_much_in_all_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.png", bytes(2**20))
    refused(tmp_path / "a.zip", "unpacks to more than 4 MB; split it", max_bytes=4 * 2**20)
    with pictures_in(tmp_path / "a.zip", max_pictures=5, max_bytes=5 * 2**20) as entries:
        assert len(entries) == 5


def test_a_zip_that_lies_about_its_sizes_unpacks_to_no_more_than_it_said(tmp_path: Path) -> None:
    data = zeros(tmp_path / "a.zip", 40, "1.png").read_bytes()
    at = data.index(b"PK\1\2") + 24  # the uncompressed size, in the directory that is believed
    (tmp_path / "a.zip").write_bytes(data[:at] + struct.pack("<I", 1000) + data[at + 4 :])
    with (
        pictures_in(tmp_path / "a.zip", max_pictures=1) as entries,
        pytest.raises(InputError, match=r"1\.png is damaged"),
    ):
        entries[0].read()


def test_a_picture_too_large_in_a_good_archive_is_a_row_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 2**20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("large.png", bytes(2**20 + 1))
        archive.writestr("small.png", PICTURE)
    with pictures_in(tmp_path / "a.zip", max_pictures=2) as (large, small):
        with pytest.raises(InputError, match=r"large\.png has more than 1 MB"):
            large.read()
        assert small.read() == PICTURE


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_endless_entries_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(1003):
                archive.writestr(f"{number}.txt", b"")
    else:
        with tarfile.open(path, "w") as archive_:
            for number in range(1003):
                archive_.addfile(tarfile.TarInfo(f"{number}.txt"))
    refused(path, "more than 1,002 entries", max_pictures=1)
    refused(path, "holds no picture", max_pictures=2)


def test_a_tar_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("zeros.txt")  # to be unpacked to get to what follows it
        member.size = 200 * 2**20
        archive.addfile(member, open("/dev/zero", "rb"))  # noqa: SIM115
    refused(tmp_path / "a.tgz", "unpacks to more than 100 MB", max_bytes=100 * 2**20)


def test_a_tar_whose_header_is_a_bomb_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 10 * 2**30
    save(tmp_path / "a.tar", member.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    refused(tmp_path / "a.tar", "neither a ZIP nor a TAR")


def encrypted(data: bytes) -> bytes:
    """With the flag for it on every entry of the directory."""
    head, *entries = data.split(b"PK\1\2")
    return b"PK\1\2".join([head, *(entry[:4] + b"\1" + entry[5:] for entry in entries)])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda data: data[: len(data) // 2], "damaged or not complete"),
        (lambda data: b"PK" + bytes(100), "damaged or not complete"),
        (encrypted, "locked with a password"),
        (lambda data: b"Rar!\x1a\7\0" + data[7:], "neither a ZIP nor a TAR; pack the pictures as ZIP"),
        (lambda data: b"", "neither a ZIP nor a TAR"),
        (lambda data: b"\x1f\x8b" + data[2:], "damaged or not complete"),
        (lambda data: PICTURE, "neither a ZIP nor a TAR"),
        (lambda data: bytes(10_240), "holds no picture"),
    ],
)
def test_what_is_no_archive_is_said(spoil: Callable[[bytes], bytes], sentence: str, tmp_path: Path) -> None:
    refused(save(tmp_path / "x.zip", spoil(as_zip(tmp_path).read_bytes())), f"x.zip .*{sentence}")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_compression_is_refused(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("1.png", PICTURE)
    refused(tmp_path / "a.zip", "unusual way; pack it anew as a plain ZIP")


def test_a_truncated_tar_is_said(tmp_path: Path) -> None:
    data = MAKERS["tar.gz"](tmp_path).read_bytes()
    refused(save(tmp_path / "x.tgz", data[: len(data) // 2]), "damaged or not complete")


def test_a_damaged_member_is_a_row_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", PICTURE)
        archive.writestr("2.png", PICTURE)
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDAX", 1))
    with pictures_in(path, max_pictures=2) as (first, second):
        with pytest.raises(InputError, match=r"1\.png is damaged inside the archive"):
            first.read()
        assert second.read() == PICTURE


def test_threads_read_one_tar_without_mixing_its_pictures_up(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(200):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = 5000 + number
            archive.addfile(member, io.BytesIO(bytes([number]) * member.size))
    with pictures_in(tmp_path / "a.tar", max_pictures=200) as entries:
        wrong: list[str] = []

        def read(part: list[archives.Entry]) -> None:
            for entry in part:
                number = int(entry.name[:-4])
                if entry.read() != bytes([number]) * (5000 + number):
                    wrong.append(entry.name)

        threads = [threading.Thread(target=read, args=(entries[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_folder_that_is_not_there_or_empty_is_said(tmp_path: Path) -> None:
    refused(tmp_path / "none", r"none cannot be read \(No such file")
    refused(tmp_path, "holds no picture; use a JPEG")


# --- through Gradio


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with one picture and one event that says what `uploaded` and `open_picture` make of it."""

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


def test_no_file_of_the_host_can_be_asked_for(page: str, tmp_path: Path) -> None:
    secret = save(tmp_path / "secret.png", PICTURE)
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
def test_no_upload_is_said(value: Any) -> None:
    with pytest.raises(InputError, match="Nothing is uploaded yet; choose a file"):
        uploaded(value)


def test_uploads_lie_where_gradio_keeps_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = save(Path(gr.utils.get_upload_folder()) / "a" / "1.png", PICTURE)
    assert uploaded({"path": str(path)}) == path.resolve()
    assert uploaded(str(path)) == path.resolve()
