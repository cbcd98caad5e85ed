"""Pictures in folders and archives, read within bounds."""

from __future__ import annotations

import gzip
import mmap
import os
import re
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, TypeVar, cast

from demo_app.errors import InputError
from demo_app.inputs.pictures import SUFFIXES, WANTED, reason_of

MAX_FILE = 50 * 2**20

MAX_RATIO = 100


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
            raise InputError(f"{name} holds no picture; {WANTED}.")
        if (count := sum(_is_wanted(entry.name) for entry in entries)) > max_pictures:
            raise InputError(f"{name} holds {count:,} pictures and the limit is {max_pictures:,}; take fewer.")
        yield entries


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
        raise InputError(f"{path.name} cannot be read ({reason_of(error)}); check its permissions.") from error


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
        raise InputError(f"{path.name} cannot be read ({reason_of(error)}); check the path.") from error
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
