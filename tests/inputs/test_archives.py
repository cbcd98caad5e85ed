"""Pictures in folders and archives are found at any depth; bombs, links and paths that climb out are refused."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sample_pictures import BLUE, GREEN, RED, packed, save

from demo_app import InputError
from demo_app.inputs import archives
from demo_app.inputs.archives import Entry, by_name, label_of, pictures_in
from demo_app.inputs.pictures import open_picture

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
def test_other_files_are_included_on_request(kind: str, tmp_path: Path) -> None:
    with pictures_in(MAKERS[kind](tmp_path), max_pictures=5, also=(".txt", ".csv")) as entries:
        assert sorted(entry.name for entry in entries) == sorted([*NAMES, "a/cat/notes.txt"])
        assert all((entry.path is not None) == (kind == "folder") for entry in entries)
        assert {entry.name: entry.read() for entry in entries}["a/cat/notes.txt"] == b"passed over"


def test_a_picture_is_found_by_a_unique_end_of_its_name(tmp_path: Path) -> None:
    names = ["a/cat/1.png", "a/dog/1.png", "a/dog/2.png", "2.png"]
    found = by_name([Entry(name=name, read=bytes) for name in names])
    assert {name: entry.name for name, entry in found.items()} == {name: name for name in names} | {
        "cat/1.png": "a/cat/1.png",
        "dog/1.png": "a/dog/1.png",
        "dog/2.png": "a/dog/2.png",
        "2.png": "2.png",
    }


def test_one_broken_picture_does_not_end_the_batch(tmp_path: Path) -> None:
    outcomes = {}
    with pictures_in(as_zip(tmp_path), max_pictures=100) as entries:
        for entry in entries:
            try:
                outcomes[entry.name] = open_picture(entry.read()).size
            except InputError as error:
                outcomes[entry.name] = str(error)
    assert "holds text" in outcomes.pop("a/cat/broken.png")
    assert set(outcomes.values()) == {(3, 2)}


def test_a_list_of_uploaded_files_is_accepted_too(tmp_path: Path) -> None:
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


def test_a_device_in_a_tar_is_skipped(tmp_path: Path) -> None:
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


def test_a_zip_that_unpacks_to_too_much_in_total_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.png", bytes(2**20))
    refused(tmp_path / "a.zip", "unpacks to more than 4 MB; split it", max_bytes=4 * 2**20)
    with pictures_in(tmp_path / "a.zip", max_pictures=5, max_bytes=5 * 2**20) as entries:
        assert len(entries) == 5


def test_a_zip_that_lies_about_its_sizes_unpacks_to_no_more_than_declared(tmp_path: Path) -> None:
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
    """The ZIP with the flag of encryption on every entry."""
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
def test_files_that_are_no_archives_are_refused(spoil: Callable[[bytes], bytes], sentence: str, tmp_path: Path) -> None:
    refused(save(tmp_path / "x.zip", spoil(as_zip(tmp_path).read_bytes())), f"x.zip .*{sentence}")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_compression_is_refused(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("1.png", PICTURE)
    refused(tmp_path / "a.zip", "unusual way; pack it anew as a plain ZIP")


def test_a_truncated_tar_is_refused(tmp_path: Path) -> None:
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


def test_a_missing_or_empty_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none", r"none cannot be read \(No such file")
    refused(tmp_path, "holds no picture; use a JPEG")
