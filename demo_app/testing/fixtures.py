"""A pytest plugin: fixtures for the tests of plugins. Active wherever demo-app is installed.

Starting pytest imports neither gradio nor torch: each fixture imports what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo_app.machine import prepare_environment

if TYPE_CHECKING:
    from demo_app.testing.hub import Hub


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache of the Hub's files; there is no token either."""
    prepare_environment()  # before the client is imported: it reads once whether to use Xet
    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))  # it read HF_HOME when it was imported
    return folder


@pytest.fixture
def test_hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub on loopback, which this process and its children fetch from and, with a token, write to.

    `test_hub.add("someone/model", {"config.json": b"{}"})` publishes; `test_hub.token = "hf_x"` with `HF_TOKEN=hf_x` in
    the environment may write.
    """
    from huggingface_hub import constants

    from demo_app.testing.hub import Hub

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield hub
