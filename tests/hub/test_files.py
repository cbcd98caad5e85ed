"""Where a checkpoint's files are on this disk, and that finding them makes no request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo_app import Checkpoint
from demo_app.hub.errors import HubError
from demo_app.hub.fetch import fetch
from demo_app.hub.files import locate
from demo_app.testing.hub import Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def snapshot(cache: Path, *files: str) -> Path:
    folder = cache / "models--some--model" / "snapshots" / COMMIT
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    return folder


def far(**fields: Any) -> Checkpoint:
    return Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, **fields)


def test_a_cached_checkpoint_is_found_without_a_request(hub_cache: Path) -> None:
    folder = snapshot(hub_cache, "config.json", "model.safetensors", "onnx/model.onnx")
    checkpoint = far(files=("config.json", "model.safetensors", "onnx/model.onnx"))
    assert locate(checkpoint) == folder
    assert fetch(checkpoint) == folder


def test_a_checkpoint_that_lacks_a_file_is_not_located(hub_cache: Path) -> None:
    snapshot(hub_cache, "config.json")
    assert locate(far()) is None


def test_a_link_to_a_file_that_was_removed_counts_as_missing(hub_cache: Path) -> None:
    folder = snapshot(hub_cache, "config.json")
    (folder / "model.safetensors").symlink_to("../../blobs/gone")
    assert locate(far()) is None


def test_an_embedded_checkpoint_that_lacks_a_file_says_which(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    near = Checkpoint(name="near", title="Near", folder=tmp_path)
    assert locate(near) is None
    with pytest.raises(HubError, match=r"near lacks model\.safetensors; reinstall the plugin\."):
        fetch(near)


def test_a_file_is_read_once_and_again_when_it_changes(hub: Hub) -> None:
    hub.add("some/model", {"model.safetensors": b"published"}, sha=COMMIT)
    checkpoint = far(files=("model.safetensors",))
    file = fetch(checkpoint) / "model.safetensors"
    before = file.stat()
    file.write_bytes(b"scribbled")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch(checkpoint) == file.parent
    assert file.read_bytes() == b"scribbled", "a file with the time and size of the checked one was read again"
    os.utime(file)
    assert fetch(checkpoint) == file.parent
    assert file.read_bytes() == b"published"


def test_looking_for_a_checkpoint_loads_no_client(hub_cache: Path) -> None:
    """huggingface_hub takes a third of a second to import; a start with all weights on disk does without."""
    folder = snapshot(hub_cache, "config.json")
    code = (
        "import sys; from demo_app.hub.files import locate; from demo_app.api import Checkpoint; "
        f"c = Checkpoint(name='far', title='Far', repo_id='some/model', revision='{COMMIT}', files=('config.json',)); "
        "print(locate(c), 'huggingface_hub' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == [str(folder), "False"]
