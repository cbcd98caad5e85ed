"""Where a checkpoint's files are. No network: a file that is on this disk is used, the rest is said to be away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo_app import Checkpoint, Demo
from demo_app.hub import HubError, fetch, locate
from demo_app.models import default_checkpoint, where

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache of our own."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def snapshot(cache: Path, *files: str) -> Path:
    folder = cache / "models--some--model" / "snapshots" / COMMIT
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    return folder


def far(**fields: Any) -> Checkpoint:
    return Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, **fields)


def test_a_cached_checkpoint_is_found_without_a_request(cache: Path) -> None:
    folder = snapshot(cache, "config.json", "model.safetensors", "onnx/model.onnx")
    checkpoint = far(files=("config.json", "model.safetensors", "onnx/model.onnx"))
    assert locate(checkpoint) == folder
    assert fetch(checkpoint) == folder
    assert where(checkpoint) == "on disk"


def test_half_a_checkpoint_is_none(cache: Path) -> None:
    snapshot(cache, "config.json")
    assert locate(far()) is None
    assert where(far()) == "to be fetched"


def test_what_cannot_be_fetched_says_what_to_do(cache: Path) -> None:
    with pytest.raises(HubError, match="check the network, then retry"):
        fetch(far())


def test_the_default_is_what_is_on_disk_then_what_is_embedded(cache: Path, tmp_path: Path) -> None:
    near = Checkpoint(name="near", title="Near", folder=tmp_path / "near", files=("config.json",))
    demo = Demo(name="e", title="E", summary="s", load=lambda f, d: 1, build=lambda h: None, checkpoints=(far(), near))
    assert default_checkpoint(demo) is near
    snapshot(cache, "config.json", "model.safetensors")
    assert default_checkpoint(demo) == far()
