"""What the tests of `demo_app.hub` share: a published checkpoint, checks of its fetch, a process that fetches it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import demo_app.hub.download  # noqa: F401  # now: importing huggingface_hub is no part of the time that a fetch takes
from demo_app import Checkpoint
from demo_app.hub.errors import HubError
from demo_app.hub.fetch import fetch
from demo_app.hub.files import cache_folder, locate
from demo_app.testing.hub import Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MIB = 2**20
FILES = {"config.json": b'{"width": 8}', "model.safetensors": random.Random(0).randbytes(300_000)}
LONG = FILES | {"model.safetensors": random.Random(1).randbytes(12 * MIB)}
TOKEN = "hf_averysecrettokenindeed"
SOON = 2.0  # seconds that need no waiting; generous, for a machine that is busy


def publish(hub: Hub, files: dict[str, bytes] = FILES, **access: bool) -> Checkpoint:
    """A checkpoint of these files, without sha256 of its own: what the Hub names the files by is all that is known."""
    hub.add("some/model", files, sha=COMMIT, **access)
    return Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, files=tuple(files))


def with_sha256(checkpoint: Checkpoint, files: dict[str, bytes] = FILES) -> Checkpoint:
    return dataclasses.replace(
        checkpoint, sha256={name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    )


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - start
        assert took < seconds, f"took {took:.1f} s, more than {seconds} s"


def failure(checkpoint: Checkpoint, kind: type[HubError], *, seconds: float = SOON, **arguments: Any) -> HubError:
    """The error of a fetch that fails as it should: in time, in one sentence, and with no damaged file left behind."""
    with pytest.raises(HubError) as caught, within(seconds):
        fetch(checkpoint, **arguments)
    error = caught.value
    assert type(error) is kind, repr(error)
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text.rstrip(".")
    assert any(remedy in text for remedy in ("try again", "set HF_", "check ", "update the plugin", "tell ", "again"))
    assert locate(checkpoint) is None
    assert damaged_blobs() == []
    return error


def damaged_blobs() -> list[str]:
    """Files in the cache that carry the name of a hash that is not theirs."""

    def whole(path: Path) -> bool:
        data = path.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data)
        return path.name in (hashlib.sha256(data).hexdigest(), git.hexdigest())

    return [path.name for path in cache_folder().glob("*/blobs/*") if path.suffix != ".incomplete" and not whole(path)]


def assert_fetched(checkpoint: Checkpoint, files: dict[str, bytes] = FILES, *, seconds: float = 3.0) -> None:
    with within(seconds):
        folder = fetch(checkpoint)
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert locate(checkpoint) == folder


CHILD = """
import json, sys
from demo_app.api import Checkpoint
from demo_app.hub.fetch import fetch
fields = json.loads(sys.argv[1])
checkpoint = Checkpoint(**fields | {"files": tuple(fields["files"])})
print(fetch(checkpoint, lambda progress: progress.done and print("on its way", flush=True)))
"""


def start_child(checkpoint: Checkpoint, first: str = "") -> subprocess.Popen[str]:
    """Another process that fetches the checkpoint; it prints "on its way" at each tick, and the folder at the end."""
    names = ("name", "title", "repo_id", "revision", "files", "sha256")
    fields = json.dumps({name: getattr(checkpoint, name) for name in names})
    return subprocess.Popen([sys.executable, "-c", first + CHILD, fields], stdout=subprocess.PIPE, text=True)


def folder_of(child: subprocess.Popen[str]) -> Path:
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    return Path(output.splitlines()[-1])
