"""The app on a Hugging Face Space, simulated: see `simulate_space.py`. Run with `pytest -m space`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import simulate_space
from simulate_space import ROOT, Running, Space

from demo_app.serving import client

pytestmark = [
    pytest.mark.space,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a Space is a Linux machine"),
]
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="space-") as folder:  # not pytest's, which keeps three: 6 GB each
        space = simulate_space.build(Path(folder))
        log.warning("the Space was built: %s", {step: round(took) for step, took in space.seconds.items()})
        yield space


@pytest.fixture(scope="module")
def started() -> float:
    return time.time()


@pytest.fixture(scope="module")
def running(space: Space, started: float) -> Iterator[Running]:
    with simulate_space.run(space) as running:
        yield running


@pytest.fixture(scope="module")
def of_two(space: Space) -> Space:
    """What `demo-app space` makes of two plugins, in the same image: building one takes minutes."""
    return simulate_space.beside(space, "of_two", "text_classifier", "separable_conv")


@pytest.fixture(scope="module")
def running_two(of_two: Space) -> Iterator[Running]:
    with simulate_space.run(of_two) as running:
        yield running


def test_the_builder_installs_the_versions_that_the_app_needs(space: Space) -> None:
    versions = dict(line.split("==") for line in space.packages.splitlines() if "==" in line)

    assert versions["gradio"] == space.header["sdk_version"]
    assert int(versions["huggingface_hub"].split(".")[0]) >= 2
    assert tuple(map(int, versions["torch"].split("+")[0].split(".")[:2])) >= (2, 8)


def test_nothing_that_the_app_uses_conflicts(space: Space) -> None:
    mine = [line for line in space.conflicts if not line.startswith("datasets ")]  # the builder's own, older hub

    assert mine == []


def test_health_is_json_behind_the_rendering_server(running: Running) -> None:
    answer = httpx.get(f"{running.url}gradio_api/healthz", timeout=30)

    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["status"] == "ok"
    assert "failed" not in answer.json()["plugins"]


def test_a_visitor_gets_an_answer(running: Running) -> None:
    assert simulate_space.classify(running.url, "A warm and wonderful film.").lower() == "positive"


def test_strangers_cannot_unload_models(running: Running) -> None:
    events = httpx.get(f"{running.url}config", timeout=30).json()["dependencies"]

    assert "unload" not in {event["api_name"] for event in events}


def test_nothing_is_written_outside_home_and_the_temporary_folder(
    space: Space, running: Running, started: float
) -> None:
    httpx.get(running.url, timeout=30)

    assert simulate_space.written(space, started) == []


def test_a_space_of_two_plugins_installs_and_contains_no_more_than_it_needs(of_two: Space) -> None:
    assert of_two.packages == ""  # pip had nothing to install
    assert {path.name for path in (of_two.app / "plugins").iterdir()} == {"text_classifier", "separable_conv"}
    assert of_two.header["sdk_version"]


def test_a_space_of_two_plugins_has_two_tabs_and_both_answer(running_two: Running) -> None:
    tabs = [c["props"].get("id") for c in client.config(running_two.url)["components"] if c["type"] == "tabitem"]
    assert [name for name in tabs if name is not None] == ["text_classifier", "separable_conv", "status"]
    assert simulate_space.classify(running_two.url, "A warm and wonderful film.").lower() == "positive"
    picture = ROOT / "plugins" / "separable_conv" / "demo_app_separable_conv" / "assets" / "horse.png"
    assert simulate_space.name_picture(running_two.url, picture) == "horse"
