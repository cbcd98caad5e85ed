"""Pictures in folders and archives, read within bounds."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import re
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, TypeVar, cast

from demo_app.errors import InputError
from demo_app.inputs.pictures import SUFFIXES, pixels_of
from demo_app.inputs.text import reason_of

MAX_FILE = 50 * 2**20
"""Bytes of one picture in an archive."""

MAX_RATIO = 100
"""How many times larger than its compressed bytes a ZIP member of a megabyte or more may be. Pictures hardly shrink."""

MAX_PIXELS = 2_000_000_000
"""Pixels of all pictures of an upload; 150 photographs of a phone. To decode that many takes 5 to 15 seconds."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture in a folder or an archive, not read yet."""

    name: str
    """Its path in the folder or archive, with forward slashes."""
    read: Callable[[], bytes]
    """Returns its bytes. Raises `InputError` if it cannot be read; the other pictures still can."""
    open: Callable[[], AbstractContextManager[IO[bytes]]] | None = None
    """Opens it, to read its beginning. Raises `InputError` if it is too large to be read at all."""
    path: Path | None = None
    """The file itself; `None` in an archive."""

    @classmethod
    def in_file(cls, name: str, path: Path) -> Entry:
        return cls(name=name, read=partial(_read_file, path), open=partial(_open_file, path), path=path)

    @property
    def label(self) -> str:
        """The name of the picture's folder, as in `torchvision.datasets.ImageFolder`; "" at the top."""
        return label_of(self.name)


def label_of(name: str) -> str:
    """The name of a file's folder; "" at the top.

    >>> label_of("cifar10/train/cat/0001.jpg")
    'cat'
    """
    return PurePosixPath(name).parent.name


class _Named(Protocol):
    """An `Entry`, or anything else with a name that has forward slashes."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def by_name(pictures: Iterable[N]) -> dict[str, N]:
    """Pictures by their path, and by each shorter end of it that is unique: "a/b/1.png", "b/1.png" and "1.png"."""
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
    max_pixels: int | None = MAX_PIXELS,
    also: tuple[str, ...] = (),
) -> Iterator[list[Entry]]:
    """The pictures of a folder, a ZIP, a TAR (gzipped or not) or a list of files, to be read one by one inside `with`.

    Pictures are recognised by their suffix. Files that end in one of `also`, such as ".csv", are included too, and do
    not count as pictures. Skipped: hidden files, `__MACOSX`, archives in archives, and all other files. The pictures of
    a TAR are in its own order, in which reading is fast; all others are sorted by name.

    Raises `InputError` if there are no pictures or more than `max_pictures`, if they unpack to more than `max_bytes`,
    if their headers say that they have more than `max_pixels` in all (not counted in a folder on this computer), and
    if the archive is damaged, encrypted or a bomb, or has a link or a member whose path leads out of it.
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
            # twice the pictures, because macOS adds a hidden file for each
            entries = _in_archive(path, _Limits(members=1000 + 2 * max_pictures, size=max_bytes), also, files)
        if not entries:
            raise InputError("{name} holds no picture; use a JPEG, PNG, GIF, WebP, BMP or TIFF.", name=name)
        if (count := sum(_is_wanted(entry.name) for entry in entries)) > max_pictures:
            raise InputError(
                "{name} holds {count} pictures and the limit is {limit}; take fewer.",
                name=name,
                count=f"{count:,}",
                limit=f"{max_pictures:,}",
            )
        if max_pixels is not None and not (isinstance(source, Path | str) and Path(source).is_dir()):
            _check_pixels(name, entries, max_pixels)
        yield entries


def _check_pixels(name: str, entries: Iterable[Entry], limit: int) -> None:
    """Raise `InputError` if the pictures have more pixels in all. A damaged one counts nothing, and is found later."""
    total = 0
    for entry in entries:
        if not _is_wanted(entry.name):
            continue
        try:
            with entry.open() if entry.open is not None else io.BytesIO(entry.read()) as file:
                total += pixels_of(file)
        except Exception:  # of zipfile, tarfile, zlib: `read` says what is wrong
            continue
        if total > limit:
            raise InputError(
                "{name} holds pictures of more than {limit} million pixels in all; make them smaller, or take fewer.",
                name=name,
                limit=f"{limit / 1e6:,.0f}",
            )


@dataclass(frozen=True, kw_only=True)
class _Limits:
    members: int
    size: int  # bytes of all members when unpacked

    def check(self, archive: str, members: int, size: int) -> None:
        """Raise `InputError` if an archive of that name has more members or bytes."""
        if members > self.members:
            raise InputError("{name} has more than {count} entries; split it.", name=archive, count=f"{self.members:,}")
        if size > self.size:
            raise InputError(
                "{name} unpacks to more than {size} MB; split it.", name=archive, size=f"{self.size / 2**20:,.0f}"
            )


def _by_name(path: Path) -> str:
    return path.name


def _names_below(folder: Path, also: tuple[str, ...]) -> list[str]:
    """Paths of the pictures in a folder and its subfolders, sorted, with forward slashes."""
    names = []
    for place, _, files in os.walk(folder):
        names += [(Path(place) / file).relative_to(folder).as_posix() for file in files]
    return sorted(name for name in names if _is_wanted(name, also))


def _is_wanted(name: str, also: tuple[str, ...] = ()) -> bool:
    """Whether the name is that of a picture, or ends in one of `also`."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and (path.suffix.lower() in SUFFIXES or path.name.lower().endswith(also))


def _read_file(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return _bounded(file, path.name)
    except OSError as error:
        raise InputError(
            "{name} cannot be read ({error}); check its permissions.", name=path.name, error=reason_of(error)
        ) from error


def _open_file(path: Path) -> IO[bytes]:
    _check_length(path.name, path.stat().st_size)
    return path.open("rb")


def _bounded(file: IO[bytes], name: str) -> bytes:
    """The whole stream, whatever length the archive claims. Reads at most `MAX_FILE` bytes and one."""
    data = file.read(MAX_FILE + 1)
    _check_length(name, len(data))
    return data


def _check_length(name: str, size: int) -> None:
    if size > MAX_FILE:
        raise InputError(
            "{name} has more than {size} MB; make the picture smaller.", name=name, size=f"{MAX_FILE / 2**20:.0f}"
        )


def _in_archive(path: Path, limits: _Limits, also: tuple[str, ...], files: ExitStack) -> list[Entry]:
    try:
        file: IO[bytes] = files.enter_context(open(path, "rb"))  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise InputError(
            "{name} cannot be read ({error}); check the path.", name=path.name, error=reason_of(error)
        ) from error
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
    except Exception as error:  # zipfile, tarfile, zlib and struct each raise several kinds
        if start in (b"PK", b"\x1f\x8b"):
            raise InputError(
                "{name} is damaged or not complete; upload it again, or pack it anew.", name=path.name
            ) from error
        raise InputError("{name} is neither a ZIP nor a TAR; pack the pictures as ZIP.", name=path.name) from error


def _in_zip(archive: str, file: IO[bytes], limits: _Limits, also: tuple[str, ...], files: ExitStack) -> list[Entry]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # before zipfile creates an object for each
        limits.check(archive, sum(1 for _ in re.finditer(rb"PK\x01\x02", data)), 0)
    packed = files.enter_context(zipfile.ZipFile(file))
    entries, total = [], 0
    for member in packed.infolist():
        name = _inside(archive, member.filename, link=stat.S_ISLNK(member.external_attr >> 16))
        if member.is_dir() or not _is_wanted(name, also):
            continue
        if member.flag_bits & 1:
            raise InputError("{name} is locked with a password; pack it without one.", name=archive)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile does not bound the others
            raise InputError("{name} is compressed in an unusual way; pack it anew as a plain ZIP.", name=archive)
        if member.file_size > max(2**20, MAX_RATIO * member.compress_size):
            raise InputError(
                "{name} holds {member}, which unpacks to suspiciously much; leave it out.",
                name=archive,
                member=repr(name[:80]),
            )
        total += member.file_size
        read, opened = partial(_read_zipped, packed, member, name), partial(_open_zipped, packed, member)
        entries.append(Entry(name=name, read=read, open=opened))
    limits.check(archive, 0, total)
    return sorted(entries, key=lambda entry: entry.name)


def _open_zipped(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    _check_length(member.filename, member.file_size)
    return packed.open(member)


def _read_zipped(packed: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with packed.open(member) as file:  # gives at most the declared bytes, and then checks their sum
            return _bounded(file, name)
    except InputError:
        raise
    except Exception as error:
        raise InputError("{name} is damaged inside the archive; pack it anew.", name=name) from error


def _in_tar(archive: str, file: IO[bytes], limits: _Limits, also: tuple[str, ...], files: ExitStack) -> list[Entry]:
    packed = files.enter_context(tarfile.TarFile(fileobj=cast(IO[bytes], _ShortReads(file))))
    entries, total, lock = [], 0, threading.Lock()
    for count, member in enumerate(packed, start=1):
        total += member.size  # skipped members count too: they have to be unpacked to get past them
        limits.check(archive, count, total)
        name = _inside(archive, member.name, link=member.issym() or member.islnk())
        if member.isfile() and _is_wanted(name, also):
            read, opened = (
                partial(_read_tarred, packed, member, name, lock),
                partial(_open_tarred, packed, member, lock),
            )
            entries.append(Entry(name=name, read=read, open=opened))
    return entries


def _read_tarred(packed: tarfile.TarFile, member: tarfile.TarInfo, name: str, lock: threading.Lock) -> bytes:
    try:
        with lock, cast(IO[bytes], packed.extractfile(member)) as file:
            return _bounded(file, name)
    except InputError:
        raise
    except Exception as error:
        raise InputError("{name} is damaged inside the archive; pack it anew.", name=name) from error


@contextmanager
def _open_tarred(packed: tarfile.TarFile, member: tarfile.TarInfo, lock: threading.Lock) -> Iterator[IO[bytes]]:
    _check_length(member.name, member.size)
    with lock, cast(IO[bytes], packed.extractfile(member)) as file:
        yield file


class _ShortReads:
    """The stream below a tarfile. Refuses long reads, because tarfile reads a header of any declared length at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.close, self.seekable = file.seek, file.tell, file.close, file.seekable
        self._file = file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_FILE + 1:
            raise tarfile.ReadError(f"{size} bytes at once")
        return self._file.read(size)


def _inside(archive: str, member: str, *, link: bool) -> str:
    """The member's path with forward slashes. Raises `InputError` for a link, or a path that leads out of the archive.

    Nothing is ever unpacked to a disk; an archive with such a member is an attack.
    """
    name = member.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise InputError(
            "{name} holds {member}, whose path leads out of the archive; pack it anew.",
            name=archive,
            member=repr(member[:80]),
        )
    if link:
        raise InputError(
            "{name} holds the link {member}; pack the pictures themselves.", name=archive, member=repr(member[:80])
        )
    return str(path)
