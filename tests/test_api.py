"""What a plugin returns is checked when it is made, with a sentence that says what to write instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins_on_disk import ROOT

from demo_app import Checkpoint, Comparison, Demo, DemoError, InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"repo_id": "a/b", "revision": "main"}, "40 hex digits"),
        ({"repo_id": "a/b"}, "40 hex digits"),
        ({"repo_id": "gpt2", "revision": COMMIT}, "owner/name"),
        ({}, "either repo_id and revision"),
        ({"repo_id": "a/b", "revision": COMMIT, "folder": Path("x")}, "either repo_id and revision"),
        ({"folder": Path("x"), "revision": COMMIT}, "revision belongs to a repo_id"),
        ({"folder": Path("x"), "files": ()}, "files is empty"),
        ({"folder": Path("x"), "files": ("../secret",)}, "inside the checkpoint's folder"),
        ({"folder": Path("x"), "files": ("/etc/passwd",)}, "inside the checkpoint's folder"),
        ({"folder": Path("x"), "size": -1}, "bytes to fetch"),
        ({"folder": Path("x"), "sha256": {"config.json": "abc"}}, "64 hex digits"),
        ({"folder": Path("x"), "sha256": {"other.json": "0" * 64}}, "not among files"),
        ({"folder": Path("x"), "name": "a b"}, "rename it"),
        ({"folder": Path("x"), "title": " "}, "title is empty"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Checkpoint(**({"name": "tiny", "title": "Tiny"} | fields))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Text Classifier"}, "slug"),
        ({"name": "a__b"}, "slug"),
        ({"name": "status"}, "the host's own"),
        ({"title": ""}, "title is empty"),
        ({"summary": " "}, "summary is empty"),
        ({"load": None}, "load must be a function"),
        ({"checkpoints": ("tiny",)}, "demo_app.Checkpoint"),
        ({"selfcheck": "logits"}, "selfcheck must be a function"),
    ],
)
def test_a_demo_that_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    whole = {"name": "echo", "title": "Echo", "summary": "s", "load": lambda f, d: 1, "build": lambda h: None}
    with pytest.raises((ValueError, TypeError), match=said):
        Demo(**(whole | fields))


def test_two_checkpoints_of_one_name_are_refused() -> None:
    one = Checkpoint(name="tiny", title="Tiny", folder=Path("x"))
    with pytest.raises(ValueError, match="two checkpoints are named 'tiny'"):
        Demo(name="e", title="E", summary="s", load=lambda f, d: 1, build=lambda h: None, checkpoints=(one, one))


def test_the_checkpoint_of_no_name_is_the_first() -> None:
    a, b = (Checkpoint(name=name, title=name, folder=Path(name)) for name in "ab")
    demo = Demo(name="e", title="E", summary="s", load=lambda f, d: 1, build=lambda h: None, checkpoints=(a, b))
    assert demo.checkpoint() is a
    assert demo.checkpoint("b") is b
    with pytest.raises(InputError, match="a, b"):
        demo.checkpoint("c")


def test_an_input_error_is_a_demo_error() -> None:
    assert issubclass(InputError, DemoError)


def test_importing_the_package_imports_neither_gradio_nor_torch() -> None:
    code = "import sys, demo_app; sys.exit(', '.join({'gradio', 'torch', 'numpy'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("expected", "found", "ok"),
    [
        ((1.0, 2.0), (1.0, 2.0009), True),
        ((1.0, 2.0), (1.0, 2.002), False),
        ((1.0, 2.0), (1.0,), False),
        ((1.0, 2.0), (1.0, float("nan")), False),
        ("Paris", "Paris", True),
        ("Paris", "paris", False),
    ],
)
def test_a_comparison_holds_within_its_tolerance(expected: Any, found: Any, ok: bool) -> None:
    assert Comparison(what="w", source="s", expected=expected, found=found, tolerance=1e-3).ok is ok


def test_a_checkpoint_with_hashes_can_still_be_a_key() -> None:
    one = Checkpoint(name="tiny", title="Tiny", folder=Path("x"), sha256={"config.json": "0" * 64})
    assert {one: 1}[one] == 1
