"""Which checkpoint is the default, where its files are, and how it is labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo_app import Checkpoint, Demo
from demo_app.i18n import merged, speaking
from demo_app.i18n.zh_cn import ZH_CN
from demo_app.models.checkpoints import default_checkpoint, label_of, where

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def snapshot(cache: Path, *files: str) -> None:
    folder = cache / "models--some--model" / "snapshots" / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text("{}")


def far(**fields: Any) -> Checkpoint:
    return Checkpoint(name="far", title="Far", repo_id="some/model", revision=COMMIT, **fields)


def test_the_default_is_what_is_on_disk_then_what_is_embedded(hub_cache: Path, tmp_path: Path) -> None:
    near = Checkpoint(name="near", title="Near", folder=tmp_path / "near", files=("config.json",))
    demo = Demo(name="e", title="E", summary="s", load=lambda f, d: 1, build=lambda h: None, checkpoints=(far(), near))
    assert default_checkpoint(demo) is near
    snapshot(hub_cache, "config.json", "model.safetensors")
    assert default_checkpoint(demo) == far()


def test_where_the_files_of_a_checkpoint_are(hub_cache: Path, tmp_path: Path) -> None:
    near = Checkpoint(name="near", title="Near", folder=tmp_path, files=("config.json",))
    assert (where(far()), where(near)) == ("to be fetched", "missing")
    snapshot(hub_cache, "config.json")
    assert where(far()) == "to be fetched"
    snapshot(hub_cache, "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert (where(far()), where(near)) == ("on disk", "embedded")


@pytest.mark.parametrize(
    ("fields", "place", "english", "chinese"),
    [
        ({"size": 5_000, "license": "mit"}, "on disk", "Far (5.0 kB, mit, on disk)", "Far（5.0 kB，mit，已下载）"),
        ({"license": "mit"}, "missing", "Far (mit, missing)", "Far（mit，缺失）"),
        ({"size": 5_000}, "your own", "Far (5.0 kB, your own)", "Far（5.0 kB，你自己的）"),
        ({}, "embedded", "Far (embedded)", "Far（内置）"),
    ],
)
def test_a_label_has_what_is_known_in_the_visitors_language(
    fields: dict[str, Any], place: str, english: str, chinese: str
) -> None:
    assert label_of(far(**fields), place) == english
    with speaking(merged([{"zh-CN": ZH_CN}]), "zh-CN"):
        assert label_of(far(**fields), place) == chinese
