"""Pictures that visitors bring: bytes in, an upright RGB picture out, or one sentence that says what to do instead.

    picture = centre_crop(open_picture(path, at_least=256), 256, 224)

Only the header is read before the size is known to be harmless. Archives are read into memory, picture by picture; no
file is ever written. Imports neither gradio nor torch.
"""

from __future__ import annotations

import gzip
import io
import math
import mmap
import os
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, TypeVar, cast

import numpy as np
from PIL import Image, ImageFile

from demo_app.api import InputError

MAX_PIXELS = 50_000_000
"""Width x height of the largest picture that is decoded: 200 MB as RGB in Pillow."""

MAX_SCANS = 50
"""Passes over one JPEG. A progressive one has ten; of 50 megapixels, each can cost 50 ms and need 75 bytes of file."""

MARGIN = 2
"""A picture is decoded at a reduced scale where that leaves so many times the pixels a side that the caller needs.

At 2 a 12-megapixel photograph prepared for a network differs by at most 2 of 255 from one decoded in full (by 0.24 on
average); at 1 it would be 7 (0.64), for 7 ms less of 54."""

MAX_FILE = 50 * 2**20
"""Bytes of one picture in an archive."""

MAX_RATIO = 100
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
_WANTED = "use a JPEG, PNG, GIF, WebP, BMP or TIFF"
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
        raise InputError(f"{Path(source).name} cannot be read ({_reason(error)}); check the path.") from error


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
        raise InputError(f"This file holds text, whatever its name says; {_WANTED}.")
    raise InputError(f"This file is no picture of a kind that can be read here; {_WANTED}.")


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


def centre_crop(
    picture: Image.Image, resize: int, crop: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """The middle `crop` x `crop` pixels of the picture with its shorter side made `resize` long; black where it ends.

    Pixel by pixel what torchvision's `Resize(resize)` and `CenterCrop(crop)` make of a PIL picture. For ratios above
    8:1 only what the crop keeps is resized, instead of (for 5,000 x 3) 100 million pixels; one value in a thousand then
    differs by 1.
    """
    width, height = picture.size
    longer = int(resize * max(width, height) / min(width, height))
    size = (resize, longer) if width <= height else (longer, resize)
    left, top = _offset(size[0], crop), _offset(size[1], crop)
    if longer <= 8 * resize:
        resized = picture.resize(size, resample)
    else:
        x, y = _kept(width, size[0], crop), _kept(height, size[1], crop)
        needed = picture.crop((x.first, y.first, x.last, y.last))
        resized = needed.resize((x.pixels, y.pixels), resample, box=(x.start, y.start, x.end, y.end))
        left, top = min(left, 0), min(top, 0)
    return resized.crop((left, top, left + crop, top + crop))


def _offset(side: int, crop: int) -> int:
    """Where the crop begins, with torchvision's rounding: negative where the side is shorter and gets padded."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What a crop of the resized picture keeps, along one axis of the picture as it is."""

    pixels: int  # of the crop
    first: int  # pixels that go into them, up to `last`
    last: int
    start: float  # where the crop begins and ends, counted from `first`: Pillow takes it as float32, exact near 0 only
    end: float


def _kept(side: int, resized: int, crop: int) -> _Kept:
    begin = max(_offset(resized, crop), 0)
    end = min(begin + crop, resized)
    scale = side / resized
    reach = math.ceil(3 * max(scale, 1)) + 1  # of Lanczos, the widest filter
    first = max(math.floor(begin * scale) - reach, 0)
    last = min(math.ceil(end * scale) + reach, side)
    return _Kept(
        pixels=end - begin,
        first=first,
        last=last,
        start=begin * scale - first,
        end=min(end * scale - first, last - first),
    )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture of a folder or an archive that has not been read yet."""

    name: str
    """Where it lies, with forward slashes."""
    read: Callable[[], bytes]
    """Its bytes. Raises `InputError` where they cannot be had; the other pictures are none the worse."""
    path: Path | None = None
    """The file itself; None in an archive."""

    @classmethod
    def in_file(cls, name: str, path: Path) -> Entry:
        return cls(name=name, read=partial(_read_file, path), path=path)

    @property
    def label(self) -> str:
        """The folder that the picture lies in, as in `torchvision.datasets.ImageFolder`; "" at the top."""
        return label_of(self.name)


def label_of(name: str) -> str:
    """The folder that a file lies in, "" at the top.

    >>> label_of("cifar10/train/cat/0001.jpg")
    'cat'
    """
    return PurePosixPath(name).parent.name


class _Named(Protocol):
    """An entry, or whatever else has a name with forward slashes."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def by_name(pictures: Iterable[N]) -> dict[str, N]:
    """Pictures by their whole name, and by each end of it, in whole parts, that is the only one such: "a/b/1.png",
    "b/1.png" and "1.png"."""
    named: dict[str, N] = {}
    ends: dict[str, list[N]] = {}
    for picture in pictures:
        named[picture.name] = picture
        parts = PurePosixPath(picture.name).parts
        for start in range(1, len(parts)):
            ends.setdefault("/".join(parts[start:]), []).append(picture)
    return {name: found[0] for name, found in ends.items() if len(found) == 1} | named


@contextmanager
def pictures_in(
    source: Path | str | Sequence[Path | str],
    *,
    max_pictures: int,
    max_bytes: int = 2 * 2**30,
    also: tuple[str, ...] = (),
) -> Iterator[list[Entry]]:
    """The pictures of a folder, a ZIP, a TAR (gzipped or not) or a list of files, to be read one by one inside `with`.

    Pictures are told by their suffix. Passed over: hidden files, `__MACOSX`, archives in archives, and all other files,
    but for those that end in one of `also`, such as ".csv": they come too, and do not count as pictures.
    A TAR comes in its own order, the quick one to read it in; the others come by name.

    Raises `InputError` for none, more than `max_pictures`, or more than `max_bytes` when unpacked, and for an archive
    that is damaged, encrypted, a bomb, or has a member whose path climbs out of it, or a link, which could.
    """
    with ExitStack() as files:
        if not isinstance(source, Path | str):
            name = "The upload"
            paths = [Path(file) for file in source if _is_wanted(Path(file).name, also)]
            entries = [Entry.in_file(path.name, path) for path in sorted(paths, key=_by_name)]
        elif (path := Path(source)).is_dir():
            name = path.name
            entries = [Entry.in_file(name, path / name) for name in _names_below(path, also)]
        else:
            name = path.name
            # twice the pictures: macOS packs a hidden file with each
            entries = _in_archive(path, _Limits(members=1000 + 2 * max_pictures, size=max_bytes), also, files)
        if not entries:
            raise InputError(f"{name} holds no picture; {_WANTED}.")
        if (count := sum(_is_wanted(entry.name) for entry in entries)) > max_pictures:
            raise InputError(f"{name} holds {count:,} pictures and the limit is {max_pictures:,}; take fewer.")
        yield entries


def uploaded(value: Any) -> Path:
    """The file behind the value of a `gr.Image` or `gr.File` whose event has `preprocess=False`.

    With it nothing is decoded, let alone saved again, before the handler runs, and what is wrong with a picture is said
    by `open_picture`. That the file is an upload has to be checked here: Gradio 6.31 lets `{"path": "/etc/passwd"}`
    pass for a `gr.Image` where the value has no `meta`.

    Raises `InputError` for nothing, for an address instead of a file, and for a file that is no upload.
    """
    path = value.get("path") if isinstance(value, dict) else value
    if not path or not isinstance(path, str):
        raise InputError("Nothing is uploaded yet; choose a file.")
    folder = os.environ.get("GRADIO_TEMP_DIR") or os.path.join(tempfile.gettempdir(), "gradio")
    file = Path(os.path.realpath(path))
    if not file.is_relative_to(os.path.realpath(folder)) or not file.is_file():
        raise InputError("The upload is not on this server any more; upload it again.")
    return file


@dataclass(frozen=True, kw_only=True)
class _Limits:
    members: int
    size: int  # bytes of all members when unpacked

    def check(self, archive: str, members: int, size: int) -> None:
        if members > self.members:
            raise InputError(f"{archive} has more than {self.members:,} entries; split it.")
        if size > self.size:
            raise InputError(f"{archive} unpacks to more than {self.size / 2**20:,.0f} MB; split it.")


def _by_name(path: Path) -> str:
    return path.name


def _names_below(folder: Path, also: tuple[str, ...]) -> list[str]:
    """The pictures in a folder and the folders in it, by name, with forward slashes."""
    names = []
    for place, _, files in os.walk(folder):
        names += [(Path(place) / file).relative_to(folder).as_posix() for file in files]
    return sorted(name for name in names if _is_wanted(name, also))


def _is_wanted(name: str, also: tuple[str, ...] = ()) -> bool:
    """Whether it is called as a picture, or as one of the other files that are asked for."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and (path.suffix.lower() in SUFFIXES or path.name.lower().endswith(also))


def _read_file(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return _bounded(file, path.name)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({_reason(error)}); check its permissions.") from error


def _bounded(file: IO[bytes], name: str) -> bytes:
    """All of a stream, whatever was said about its length; never more than `MAX_FILE` bytes are held."""
    data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise InputError(f"{name} has more than {MAX_FILE / 2**20:.0f} MB; make the picture smaller.")
    return data


def _in_archive(path: Path, limits: _Limits, also: tuple[str, ...], files: ExitStack) -> list[Entry]:
    try:
        file: IO[bytes] = files.enter_context(open(path, "rb"))  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read ({_reason(error)}); check the path.") from error
    start = file.read(2)
    file.seek(0)
    try:
        if start == b"PK":
            return _in_zip(path.name, file, limits, also, files)
        if start == b"\x1f\x8b":
            file = cast(IO[bytes], files.enter_context(gzip.GzipFile(fileobj=file)))
        return _in_tar(path.name, file, limits, also, files)
    except InputError:
        raise
    except Exception as error:  # of zipfile, tarfile, zlib and struct, each with kinds of its own
        if start in (b"PK", b"\x1f\x8b"):
            raise InputError(f"{path.name} is damaged or not complete; upload it again, or pack it anew.") from error
        raise InputError(f"{path.name} is neither a ZIP nor a TAR; pack the pictures as ZIP.") from error


def _in_zip(archive: str, file: IO[bytes], limits: _Limits, also: tuple[str, ...], files: ExitStack) -> list[Entry]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # before zipfile makes an object of each entry
        limits.check(archive, sum(1 for _ in re.finditer(rb"PK\x01\x02", data)), 0)
    packed = files.enter_context(zipfile.ZipFile(file))
    entries, total = [], 0
    for member in packed.infolist():
        name = _inside(archive, member.filename, link=stat.S_ISLNK(member.external_attr >> 16))
        if member.is_dir() or not _is_wanted(name, also):
            continue
        if member.flag_bits & 1:
            raise InputError(f"{archive} is locked with a password; pack it without one.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile unpacks others unbounded
            raise InputError(f"{archive} is compressed in an unusual way; pack it anew as a plain ZIP.")
        if member.file_size > max(2**20, MAX_RATIO * member.compress_size):
            raise InputError(f"{archive} holds {name[:80]!r}, which unpacks to suspiciously much; leave it out.")
        total += member.file_size
        entries.append(Entry(name=name, read=partial(_read_zipped, packed, member, name)))
    limits.check(archive, 0, total)
    return sorted(entries, key=lambda entry: entry.name)


def _read_zipped(packed: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with packed.open(member) as file:  # gives at most the bytes that were declared, and then checks their sum
            return _bounded(file, name)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} is damaged inside the archive; pack it anew.") from error


def _in_tar(archive: str, file: IO[bytes], limits: _Limits, also: tuple[str, ...], files: ExitStack) -> list[Entry]:
    packed = files.enter_context(tarfile.TarFile(fileobj=cast(IO[bytes], _ShortReads(file))))
    entries, total, lock = [], 0, threading.Lock()
    for count, member in enumerate(packed, start=1):
        total += member.size  # also of what is passed over: it has to be unpacked to get past it
        limits.check(archive, count, total)
        name = _inside(archive, member.name, link=member.issym() or member.islnk())
        if member.isfile() and _is_wanted(name, also):
            entries.append(Entry(name=name, read=partial(_read_tarred, packed, member, name, lock)))
    return entries


def _read_tarred(packed: tarfile.TarFile, member: tarfile.TarInfo, name: str, lock: threading.Lock) -> bytes:
    try:
        with lock, cast(IO[bytes], packed.extractfile(member)) as file:
            return _bounded(file, name)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} is damaged inside the archive; pack it anew.") from error


class _ShortReads:
    """The stream below a tarfile, which would read a header of any length that it declares in one piece."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.close = file.seek, file.tell, file.close
        self._file = file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_FILE + 1:
            raise tarfile.ReadError(f"{size} bytes at once")
        return self._file.read(size)


def _inside(archive: str, member: str, *, link: bool) -> str:
    """The member's name, tidied. Nothing is ever unpacked to a disk: whoever packs such a name means harm."""
    name = member.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise InputError(f"{archive} holds {member[:80]!r}, whose path leads out of the archive; pack it anew.")
    if link:
        raise InputError(f"{archive} holds the link {member[:80]!r}; pack the pictures themselves.")
    return str(path)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
