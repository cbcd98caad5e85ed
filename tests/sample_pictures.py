"""Pictures and files that the tests make."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
SVG = b'<?xml version="1.0"?>\n<!-- drawn by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>'


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


def save(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def best(work: Callable[[], object]) -> float:
    """CPU seconds of this thread that the work takes, the least of five: other work on the machine counts little."""

    def once() -> float:
        started = time.thread_time()
        work()
        return time.thread_time() - started

    return min(once() for _ in range(5))
