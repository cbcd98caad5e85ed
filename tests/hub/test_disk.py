"""Where fetched files go, and a disk that cannot take them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hub_fetches import (
    FILES,
    LONG,
    MIB,
    assert_fetched,
    failure,
    publish,
)

from demo_app.hub.errors import DiskFull, HubError, Offline
from demo_app.hub.fetch import fetch
from demo_app.hub.files import cache_folder
from demo_app.testing.hub import Hub


@pytest.fixture
def small_disk(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache on a disk of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={8 * MIB}", "tmpfs", str(folder)]
    try:
        result = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted: {error}")
    if result.returncode:
        pytest.skip(f"a small disk cannot be mounted: {result.stderr.strip()}")
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_full(error: HubError, needed: int, free: int) -> None:
    assert isinstance(error, DiskFull)
    assert error.needed == needed
    assert error.free is not None
    assert error.free <= free
    assert f"{needed / 1e6:,.1f} MB" in str(error)
    assert f"{error.free / 1e6:,.1f} MB" in str(error)


def test_a_checkpoint_that_does_not_fit_is_refused_before_a_byte_is_fetched(hub: Hub, small_disk: Path) -> None:
    checkpoint = publish(hub, LONG)
    assert_full(failure(checkpoint, DiskFull), sum(map(len, LONG.values())), 8 * MIB)
    assert hub.paths("GET") == []


def test_a_disk_that_fills_up_on_the_way_is_reported(hub: Hub, small_disk: Path) -> None:
    files = FILES | {"model.safetensors": random.Random(2).randbytes(4 * MIB)}
    checkpoint, filler = publish(hub, files), small_disk / "filler"

    def fill(handler: Any, method: str, path: str) -> bool:
        if method == "GET" and "stored" in path:
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                file.write(bytes(6 * MIB))
        return False

    hub.fault = fill
    assert_full(failure(checkpoint, DiskFull), sum(map(len, files.values())), 2 * MIB)
    hub.fault = None
    filler.unlink()
    assert_fetched(checkpoint, files)


def test_a_cache_that_is_not_a_folder_is_named(hub: Hub, hub_cache: Path) -> None:
    checkpoint = publish(hub)
    hub_cache.write_text("")
    assert str(hub_cache) in str(failure(checkpoint, HubError))


def test_offline_by_choice_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in str(failure(checkpoint, Offline))
    assert hub.log == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert_fetched(checkpoint)


@pytest.mark.parametrize(
    "variables",
    [
        {"HF_HUB_CACHE": "/a/hub"},
        {"HF_HUB_CACHE": "$HOME/hub"},
        {"HF_HUB_CACHE": "~/hub", "HF_HOME": "/b"},
        {"HUGGINGFACE_HUB_CACHE": "/c"},
        {"HF_HOME": "~/d", "XDG_CACHE_HOME": "/e"},
        {"HF_HOME": "$HOME/d"},
        {"XDG_CACHE_HOME": "/e"},
        {},
    ],
    ids=str,
)
def test_the_cache_is_where_other_tools_look_for_it(
    variables: dict[str, str], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    specification = importlib.util.find_spec(constants.__name__)
    assert specification is not None
    assert specification.loader is not None
    as_read_now = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(as_read_now)
    assert cache_folder() == Path(as_read_now.HF_HUB_CACHE)


def test_files_go_where_hf_home_says(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    monkeypatch.delenv("HF_HUB_CACHE")
    assert fetch(checkpoint).is_relative_to(tmp_path / "home" / "hub")
