"""Pictures that visitors upload: bytes in, an upright RGB picture out, or one sentence that says what to do instead.

    picture = centre_crop(open_picture(path, at_least=256), 256, 224)

Nothing is decoded before the header has shown that the size is harmless, and no file is ever written. Imports neither
gradio nor torch.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile

from demo_app.errors import InputError
from demo_app.inputs.text import reason_of
from demo_app.inputs.turns import Turns

MAX_PIXELS = 50_000_000
"""Width x height of the largest picture that is decoded; it takes 200 MB as RGB in Pillow."""

turns = Turns(MAX_PIXELS)
"""Who decodes a large picture in this process, one after the other."""

MAX_SCANS = 50
"""Scans of one JPEG. A progressive one has ten; at 50 megapixels each can cost 50 ms and takes 75 bytes of file."""

MAX_RLE = 1_000_000
"""Bytes of a BMP that is compressed (RLE). One of 18 MB takes half a minute."""

MARGIN = 2
"""A picture is decoded at a reduced scale if each side keeps at least this many times the pixels that the caller needs.

At 2, a 12-megapixel photograph prepared for a network differs by at most 2 of 255 from one decoded in full (by 0.24 on
average); at 1 it would be 7 (0.64), and take 47 ms instead of 54."""

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .webp .bmp .dib .tif .tiff .avif".split()  # noqa: SIM905
)
"""Names that end so are those of pictures, in folders, archives and uploads."""

_FORMATS = {  # by first bytes; MPO, two pictures in one file, starts with the JPEG that it contains
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "AVIF": rb"....ftypavi[fs]",
}
_HEAD = 4096

# EXIF orientation -> the operation that makes the picture upright (CIPA DC-008, tag 0x0112)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(source: Path | str | bytes, *, at_least: int | None = None) -> Image.Image:
    """The picture in a file, or in its bytes, as RGB: upright, transparent parts white, the first frame of several.

    With `at_least`, a shorter side of that many pixels is enough: a larger picture is returned at a smaller scale, with
    at least `MARGIN` times as many. A JPEG is then much faster, because it is never decoded in full.

    Raises `InputError` if this is not a picture, is damaged, or has more than `MAX_PIXELS`.
    """
    with _opened(source) as file:
        return _decode(file, at_least)


def check_picture(source: Path | str | bytes) -> None:
    """Raise `InputError` if this is not a picture, has more than `MAX_PIXELS`, or would take long to decode.

    Nothing is decoded; damage behind the header is found only by `open_picture`.
    """
    with _opened(source) as file:
        kind = _kind(file.read(_HEAD))
        file.seek(0)
        with _in_words(kind):
            picture = _header(file, kind)
            _check_size(picture)
            _check_work(file, kind, picture)


def may_be_picture(source: Path | str | bytes) -> bool:
    """Whether Pillow would open it as a picture of any format, also of those that `open_picture` refuses."""
    with _opened(source) as file:
        if re.match(b"|".join(_FORMATS.values()), file.read(_HEAD), re.DOTALL):
            return True
        file.seek(0)
        try:
            Image.open(file)
        except Image.DecompressionBombError:
            return True
        except Exception:
            return False
        return True


def pixels_of(source: Path | str | bytes | IO[bytes]) -> int:
    """Width x height, from the header alone; 0 if this is not a picture. A file is left open, at any place."""
    try:
        file = _opened(source) if isinstance(source, Path | str | bytes) else source
    except InputError:
        return 0
    try:
        kind = _kind(file.read(_HEAD))
        file.seek(0)
        with _in_words(kind):
            width, height = _header(file, kind).size
        return int(width * height)
    except InputError:
        return 0
    finally:
        if file is not source:
            file.close()


def _opened(source: Path | str | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open(source, "rb")
    except (OSError, ValueError) as error:
        raise InputError(
            "{name} cannot be read ({error}); check the path.", name=Path(source).name, error=reason_of(error)
        ) from error


def _decode(file: IO[bytes], at_least: int | None) -> Image.Image:
    kind = _kind(file.read(_HEAD))
    file.seek(0)
    with _in_words(kind):
        picture = _header(file, kind)
        _check_size(picture)
        _check_work(file, kind, picture)
        with turns.turn(picture.width * picture.height):
            return _pixels(picture, at_least)


def _pixels(picture: ImageFile.ImageFile, at_least: int | None) -> Image.Image:
    if at_least is not None:
        picture.draft(None, (at_least * MARGIN, at_least * MARGIN))  # only of JPEG: both sides keep at least that
    picture.load()
    times = min(picture.size) // (at_least * MARGIN) if at_least is not None else 1
    if times > 1 and picture.mode in ("RGB", "L") and not picture.has_transparency_data:
        rgb = picture.reduce(times).convert("RGB")  # before the conversion, which would be another copy
    else:
        rgb = _to_rgb(picture)
        rgb = rgb.reduce(times) if times > 1 else rgb
    turn = _UPRIGHT.get(_orientation(picture))
    return rgb if turn is None else rgb.transpose(turn)


@contextmanager
def _in_words(kind: str) -> Iterator[None]:
    """Turn what Pillow raises into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # a frame is larger than the header says
        raise InputError(
            "The picture has more than {count} million pixels; make it smaller.", count=f"{MAX_PIXELS / 1e6:,.0f}"
        ) from error
    except MemoryError as error:
        raise InputError("There is not enough memory for this picture; make it smaller.") from error
    except Exception as error:  # Pillow raises a dozen kinds for damaged files, and each release adds some
        raise InputError(
            "This {kind} file is damaged or not complete; upload it again, or save it anew.", kind=kind
        ) from error


def _kind(head: bytes) -> str:
    """Pillow's name of the format. Raises `InputError` if the first bytes are of no format in `_FORMATS`."""
    for kind, magic in _FORMATS.items():
        if re.match(magic, head, re.DOTALL):
            return kind
    if not head:
        raise InputError("The file is empty (zero bytes); upload the picture again.")
    if re.search(rb"<svg[\s>]", head, re.IGNORECASE):
        raise InputError("This is a drawing (SVG), not a photograph; export it as PNG and upload that.")
    if re.match(rb"....ftyp(hei|hev|mif1|msf1)", head, re.DOTALL):
        raise InputError(
            "Pictures in HEIC, the format of iPhones, cannot be read here; save it as JPEG and upload that."
        )
    if _is_text(head):
        raise InputError("This file holds text, whatever its name says; use a JPEG, PNG, GIF, WebP, BMP or TIFF.")
    raise InputError(
        "This file is no picture of a kind that can be read here; use a JPEG, PNG, GIF, WebP, BMP or TIFF."
    )


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, as Windows saves "Unicode"
        return True
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just a character cut off by the end of `head`
            return False
        text = head[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)


def _header(file: IO[bytes], kind: str) -> ImageFile.ImageFile:
    """`Image.open` for a known format, without its warning about large pictures: `_check_size` refuses those."""
    if kind not in Image.OPEN:
        Image.init()
    if kind not in Image.OPEN:
        raise InputError(
            "{kind} cannot be read by the Pillow of this host; save the picture as JPEG or PNG.", kind=kind
        )
    factory, _ = Image.OPEN[kind]
    return factory(file, "")


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            "The picture has {width} x {height} pixels, {count} million, and the limit is {limit} million; "
            "make it smaller.",
            width=f"{width:,}",
            height=f"{height:,}",
            count=f"{width * height / 1e6:,.0f}",
            limit=f"{MAX_PIXELS / 1e6:,.0f}",
        )


def _check_work(file: IO[bytes], kind: str, picture: Image.Image) -> None:
    """Refuse what is small as a file, and takes long to decode.

    A JPEG is decoded once for each of its scans. The bytes FF DA start one: inside a scan's data FF is always followed
    by 00. Pillow decodes compressed BMPs in Python.
    """
    if kind not in ("JPEG", "BMP"):
        return
    at = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(at)
    if kind == "JPEG" and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise InputError("This JPEG takes {count} passes to decode; save it anew as a plain JPEG.", count=f"{scans:,}")
    if kind == "BMP" and len(data) > MAX_RLE and picture.info.get("compression") in (1, 2):
        raise InputError("This BMP is compressed and takes long to decode; save it as PNG.")


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        return _eight_bits(picture).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, as 8 bits: 65,535 (or 1.0) is white. Values outside that are stretched."""
    values = np.nan_to_num(np.asarray(picture)) if picture.mode == "F" else np.asarray(picture)
    low, high = values.min(), values.max()
    white = 1.0 if picture.mode == "F" else 65_535
    if low < 0 or high > white:
        values, white = values.astype(np.float32) - np.float32(low), max(float(high) - float(low), 1e-30)
    elif picture.mode != "F":
        table = (np.arange(65_536) / 257).round().astype(np.uint8)
        return Image.fromarray(table[values])
    return Image.fromarray((values * np.float32(255 / white)).round().astype(np.uint8))


def _orientation(picture: Image.Image) -> int:
    """1 (upright) to 8; 1 if the EXIF data cannot be read. Pillow turns TIFFs itself and removes the tag."""
    try:
        value = picture.getexif().get(_ORIENTATION)
        return value if isinstance(value, int) else 1
    except Exception:
        return 1
