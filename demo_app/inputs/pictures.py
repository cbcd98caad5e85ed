"""Pictures that visitors bring: bytes in, an upright RGB picture out, or one sentence that says what to do instead.

    picture = centre_crop(open_picture(path, at_least=256), 256, 224)

Only the header is read before the size is known to be harmless. Archives are read into memory, picture by picture; no
file is ever written. Imports neither gradio nor torch.
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

MAX_PIXELS = 50_000_000
"""Width x height of the largest picture that is decoded: 200 MB as RGB in Pillow."""

MAX_SCANS = 50
"""Passes over one JPEG. A progressive one has ten; of 50 megapixels, each can cost 50 ms and need 75 bytes of file."""

MARGIN = 2
"""A picture is decoded at a reduced scale where that leaves so many times the pixels a side that the caller needs.

At 2 a 12-megapixel photograph prepared for a network differs by at most 2 of 255 from one decoded in full (by 0.24 on
average); at 1 it would be 7 (0.64), for 7 ms less of 54."""
"""Bytes of one picture in an archive."""
"""How many times larger a ZIP member of a megabyte or more may be than its compressed bytes. Pictures hardly shrink."""

SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".apng",
        ".gif",
        ".webp",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".avif",
    )
)

_FORMATS = {  # by first bytes; MPO, two pictures in one file, begins as the JPEG that it contains
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "AVIF": rb"....ftypavi[fs]",
}
WANTED = "use a JPEG, PNG, GIF, WebP, BMP or TIFF"
_HEAD = 4096

# EXIF orientation -> what makes the picture upright (CIPA DC-008, tag 0x0112)
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

    `at_least` says that a shorter side of so many pixels is enough. A larger picture then comes smaller, a JPEG much
    faster too since it is never decoded in full; it keeps `MARGIN` times what was asked.

    Raises `InputError` for whatever is no picture, is damaged or has more than `MAX_PIXELS`.
    """
    with _opened(source) as file:
        return _decode(file, at_least)


def check_picture(source: Path | str | bytes) -> None:
    """Raises `InputError` for what `open_picture` would refuse by the header, which is all that is read: no picture,
    or one of too many pixels. What is damaged further on is only found by decoding it."""
    with _opened(source) as file:
        kind = _kind(file.read(_HEAD))
        file.seek(0)
        with _in_words(kind):
            _check_size(_header(file, kind))


def _opened(source: Path | str | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open(source, "rb")
    except (OSError, ValueError) as error:
        raise InputError(f"{Path(source).name} cannot be read ({reason_of(error)}); check the path.") from error


def _decode(file: IO[bytes], at_least: int | None) -> Image.Image:
    kind = _kind(file.read(_HEAD))
    file.seek(0)
    with _in_words(kind):
        picture = _header(file, kind)
        _check_size(picture)
        if kind == "JPEG":
            _check_scans(file)
        if at_least is not None:
            picture.draft(None, (at_least * MARGIN, at_least * MARGIN))  # JPEG only: both sides keep at least that
        picture.load()
        rgb = _to_rgb(picture)
        if at_least is not None and (times := min(rgb.size) // (at_least * MARGIN)) > 1:
            rgb = rgb.reduce(times)
        turn = _UPRIGHT.get(_orientation(picture))
        return rgb if turn is None else rgb.transpose(turn)


@contextmanager
def _in_words(kind: str) -> Iterator[None]:
    """What Pillow raises, as a sentence for whoever brought the picture."""
    try:
        yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # a frame larger than the header says
        raise InputError(
            f"The picture has more than {MAX_PIXELS / 1e6:,.0f} million pixels; make it smaller."
        ) from error
    except MemoryError as error:
        raise InputError("There is not enough memory for this picture; make it smaller.") from error
    except Exception as error:  # Pillow raises a dozen kinds on damaged files, and each release adds some
        raise InputError(f"This {kind} file is damaged or not complete; upload it again, or save it anew.") from error


def _kind(head: bytes) -> str:
    """The name that Pillow has for the format. Raises `InputError` for what cannot be one of these pictures."""
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
        raise InputError(f"This file holds text, whatever its name says; {WANTED}.")
    raise InputError(f"This file is no picture of a kind that can be read here; {WANTED}.")


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # what Windows calls Unicode
        return True
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just a character that the end of `head` cut
            return False
        text = head[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)


def _header(file: IO[bytes], kind: str) -> ImageFile.ImageFile:
    """What `Image.open` does for a known format, less its warning about large pictures: `_check_size` refuses those."""
    if kind not in Image.OPEN:
        Image.init()
    if kind not in Image.OPEN:
        raise InputError(f"{kind} cannot be read by the Pillow of this host; save the picture as JPEG or PNG.")
    factory, _ = Image.OPEN[kind]
    return factory(file, "")


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"The picture has {width:,} x {height:,} pixels, {width * height / 1e6:,.0f} million, and the limit is "
            f"{MAX_PIXELS / 1e6:,.0f} million; make it smaller."
        )


def _check_scans(file: IO[bytes]) -> None:
    """In a JPEG the bytes FF DA begin a pass; inside its data FF is always followed by 00."""
    at = file.tell()
    file.seek(0)
    scans = file.read().count(b"\xff\xda")
    file.seek(at)
    if scans > MAX_SCANS:
        raise InputError(f"This JPEG takes {scans:,} passes to decode; save it anew as a plain JPEG.")


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
    """Grey of 16 or 32 bits or of floats by its full range: 65,535 (or 1.0) is white. Other ranges are stretched."""
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
    """1 (upright) to 8; 1 where the EXIF data cannot be read. Pillow turns TIFFs itself and takes the tag away."""
    try:
        value = picture.getexif().get(_ORIENTATION)
        return value if isinstance(value, int) else 1
    except Exception:
        return 1


def reason_of(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
