"""`demo-app new` writes plugins that work: they pass the checker and their own tests."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from plugins_on_disk import ROOT
from safetensors.numpy import save

from demo_app.errors import DemoError, SettingsError
from demo_app.scaffold.plugin import create

if TYPE_CHECKING:
    from demo_app.testing.hub import Hub

CARD = b"---\nlicense: mit\n---\n# Small\n"
WEIGHTS = save({"encoder.weight": np.ones((4, 2), np.float32)})


@pytest.fixture
def small(hub: Hub) -> str:
    """The commit of a repository on the Hub."""
    return hub.add("some/small-model", {"README.md": CARD, "config.json": b"{}", "model.safetensors": WEIGHTS}).sha


def test_the_smallest_plugin_needs_at_most_twelve_lines_of_python(tmp_path: Path) -> None:
    create(tmp_path / "shout")
    (module,) = (tmp_path / "shout").glob("*.py")
    assert len([line for line in module.read_text().splitlines() if line.strip()]) <= 12


@pytest.mark.slow
def test_every_kind_passes_the_checker_and_its_own_tests_uninstalled(tmp_path: Path, small: str) -> None:
    create(tmp_path / "shout")
    create(tmp_path / "which-language", torch=True)
    create(tmp_path / "inside", hub="some/small-model")
    create(tmp_path / "inside_torch", hub=f"some/small-model@{small}", torch=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "demo_app.testing.fixtures", "-p", "no:cacheprovider", "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 passed" in done.stdout


def test_weights_on_the_hub_are_pinned_with_size_hash_and_license(tmp_path: Path, small: str) -> None:
    create(tmp_path / "inside", hub="some/small-model")
    text = (tmp_path / "inside" / "demo_app_inside.py").read_text()
    tree = ast.parse(text)
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Checkpoint"]
    said = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert said["revision"] == small
    assert said["files"] == ("config.json", "model.safetensors")
    assert said["size"] == len(WEIGHTS) + 2
    assert list(said["sha256"]) == ["model.safetensors"]
    assert said["license"] == "mit"


def test_the_wheel_of_a_plugin_has_its_weights(tmp_path: Path) -> None:
    import zipfile

    create(tmp_path / "which", torch=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, tmp_path / "which"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("demo_app_which-0.1.0-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"demo_app_which/__init__.py", "demo_app_which/weights/tiny/model.safetensors"} <= names
    assert not any(name.startswith("tests") for name in names)


@pytest.mark.parametrize("name", ["Shout", "1st", "two words", "a--b", "status", "été", "a.b"])
def test_an_invalid_name_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="name; take small letters"):
        create(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shout").mkdir()
    with pytest.raises(SettingsError, match=r"shout is there already; choose another"):
        create(tmp_path / "shout")
    with pytest.raises(SettingsError, match="no folder"):
        create(tmp_path / "nowhere" / "shout")


def test_if_the_hub_lacks_it_that_is_reported_and_nothing_is_written(tmp_path: Path, hub: Hub, small: str) -> None:
    hub.add("some/pickles", {"pytorch_model.bin": b"1"})
    hub.add("some/gated", {"model.safetensors": WEIGHTS}, gated=True)
    for asked, said in {
        "some/nothing": "no repository some/nothing",
        "some/small-model@v9": "no revision v9",
        "some/pickles": r"no \.safetensors file",
        "some/gated": "accept its terms",
    }.items():
        with pytest.raises(DemoError, match=said):
            create(tmp_path / "inside", hub=asked)
    with pytest.raises(SettingsError, match="OWNER/NAME"):
        create(tmp_path / "inside", hub="gpt2")
    hub.close()
    with pytest.raises(DemoError, match="check the network, or try again without --hub"):
        create(tmp_path / "inside", hub="some/small-model")
    assert not (tmp_path / "inside").exists()


def test_the_command_says_what_it_wrote_and_what_is_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo_app", "new", "shout"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "wrote shout/pyproject.toml" in done.stdout
    assert "demo-app check shout" in done.stdout
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert again.returncode == 2
    assert again.stderr.splitlines() == ["demo-app: shout is there already; choose another name, or remove it."]
