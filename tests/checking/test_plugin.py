"""`demo-app check` finds all that is wrong with a plugin, each with its fix. Each plugin is a real folder."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from checked_plugins import HEAD, HOOK, PIN, assert_only, problems, problems_in
from plugins_on_disk import Plugins

from demo_app.unsafe_files import UNSAFE_SUFFIXES


def test_a_correct_plugin_has_no_problems(plugins: Plugins) -> None:
    assert problems(plugins, "") == []


# The folder


def test_a_folder_without_a_pyproject(tmp_path: Path) -> None:
    assert_only(problems_in(tmp_path), "has no pyproject.toml. Write one; `demo-app new` shows how.")


def test_a_pyproject_that_cannot_be_read(plugins: Plugins) -> None:
    folder = plugins.add("wrong", HEAD + HOOK)
    (folder / "pyproject.toml").write_text("[project\n")
    assert_only(problems_in(folder), "wrong/pyproject.toml cannot be read")


@pytest.mark.parametrize(
    ("group", "hint"), [("demo-app", "but one named 'demo-app'"), ("console_scripts", "table. Add [project.entry-p")]
)
def test_no_entry_point_or_a_misspelt_group(plugins: Plugins, group: str, hint: str) -> None:
    folder = plugins.add("wrong", HEAD + HOOK)
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("entry-points.demo_app", f"entry-points.{group}"))
    assert_only(problems_in(folder), hint)


def test_metadata_that_is_missing(plugins: Plugins) -> None:
    folder = plugins.add("wrong", HEAD + HOOK, requires=("demo-app-other",))
    pyproject = folder / "pyproject.toml"
    lines = pyproject.read_text().splitlines()
    pyproject.write_text("\n".join(line for line in lines if not line.startswith(("version", "requires-p", "license"))))
    assert_only(
        problems_in(folder),
        'has no version. Add version = "0.1.0".',
        'requires-python is missing. Add requires-python = ">=3.11".',
        'demo-app is not among the dependencies. Add "demo-app>=0.1".',
        "states no license. Add license =",
        "missing requirement 'demo-app-other'. Run: pip install 'demo-app-other'.",
    )


def test_every_requirement_that_is_not_met(plugins: Plugins) -> None:
    requires = ("demo-app", "no-such-package>=2", "pluggy>=99", "not a requirement", "nor-this; python_version < '3'")
    assert_only(
        problems(plugins, "", requires=requires),
        "missing requirement 'no-such-package'. Run: pip install 'no-such-package>=2'.",
        "needs pluggy>=99, and ",
        "requirement 'not a requirement'",
    )


# The module


def test_an_import_that_fails_names_its_line(plugins: Plugins) -> None:
    found, undeclared = problems(plugins, "import nothing_of_this_name")
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in found
    assert found.endswith(".py:19). Fix that line.")
    assert "nothing_of_this_name is imported (at " in undeclared
    assert undeclared.endswith('Add "nothing-of-this-name" to dependencies in pyproject.toml.')


def test_a_heavy_import_names_the_plugins_own_line_also_when_another_module_does_it(plugins: Plugins) -> None:
    (direct,) = problems(plugins, "import torch", requires=("demo-app", "torch"))
    assert "imports torch (at " in direct
    assert ".py:19). Import it inside load or build." in direct
    code = HEAD + "import safetensors.torch\n" + HOOK.replace('"wrong"', '"indirect"')
    folder = plugins.add("indirect", code, requires=("demo-app", "safetensors"))
    (indirect,) = problems_in(folder)
    assert "imports torch (at " in indirect
    assert f"{folder.name}/demo_indirect_" in indirect


def test_a_heavy_import_is_reported_even_if_the_module_then_fails(plugins: Plugins) -> None:
    assert_only(problems(plugins, "import gradio\n1 / 0"), "imports gradio", "ZeroDivisionError")


def test_hooks_that_do_not_fit(plugins: Plugins) -> None:
    for name, hook, words in [
        ("slip", "@hookimpl\ndef register_demo(): return []", "did you mean 'register_demos'?"),
        ("none", "", "has no @demo_app.hookimpl function; write `register_demos`."),
        ("dicts", "@hookimpl\ndef register_demos(): return [{}]", "return only Demo."),
        (
            "raises",
            "@hookimpl\ndef register_demos(): return [][1]",
            "failed with IndexError: list index out of range (at",
        ),
    ]:
        assert_only(problems_in(plugins.add(name, HEAD + hook)), words)


# The demos


def test_a_demo_name_that_another_plugin_has(plugins: Plugins) -> None:
    plugins.add("first", HEAD + HOOK)
    folder = plugins.add("second", HEAD + HOOK)
    (found,) = problems_in(folder, plugins_dir=plugins.path)
    assert "the demo 'wrong' is also in demo-first 0.1.0 (folder first/). Rename it, or uninstall" in found


def test_a_branch_instead_of_a_commit_does_not_hide_what_comes_after_it(plugins: Plugins) -> None:
    code = """
    def build(handle):
        raise RuntimeError("no tab")
    """
    hook = HOOK.replace(
        "CHECKPOINTS = ()",
        f"""CHECKPOINTS = (
            Checkpoint(name="a", title="A", repo_id="some/model", revision="main", size=1, license="mit"),
            Checkpoint(name="b", title="B", {PIN}),
            Checkpoint(name="c", title="C", {PIN}, size=1, license="mit", files=("weights.pkl",)),
            Checkpoint(name="d", title="D", folder=Path("nowhere"), license="mit"),
        )""",
    )
    assert_only(
        problems_in(plugins.add("wrong", HEAD + textwrap.dedent(code) + hook)),
        "wrong/a: Checkpoint 'a': revision 'main' must be a commit of 40 hex digits",
        "wrong/b states no license. Give license=",
        "wrong/b states no size. Give the bytes to fetch.",
        "wrong/c: weights.pkl is a pickle, or may hold one, and can run code when it is loaded. Publish safetensors.",
        "wrong/d: its folder nowhere depends on where the host is started. Write folder=Path(__file__).parent / ...",
        "building the tab failed with RuntimeError: no tab (at ",
    )


def test_every_format_that_can_run_code_is_refused_but_a_published_state_dict(plugins: Plugins) -> None:
    names = [f"weights{suffix}" for suffix in (*UNSAFE_SUFFIXES, ".PTH")]
    published = ("pytorch_model.bin", "onnx/pytorch_model.bin", "config.json", "model.safetensors", "merges.txt")
    weights = plugins.path / "wrong" / "weights"
    weights.mkdir(parents=True)
    for name in (*names, "pytorch_model.bin"):
        (weights / name).write_bytes(b"x")
    hook = HOOK.replace(
        "CHECKPOINTS = ()",
        f"""CHECKPOINTS = (
            Checkpoint(name="hub", title="A", {PIN}, size=1, license="mit", files={(*names, *published)!r}),
            Checkpoint(name="embedded", title="B", folder=Path({str(weights)!r}), license="mit",
                       files={(*names, "pytorch_model.bin")!r}),
        )""",
    )
    refused = [f"wrong/hub: {name} is a pickle, or may hold one" for name in names]
    refused += [f"wrong/embedded: {name} is a pickle, or may hold one" for name in (*names, "pytorch_model.bin")]
    assert_only(problems_in(plugins.add("wrong", HEAD + hook)), *refused, "no wheel can be built: ")


def test_a_second_check_finds_the_same(plugins: Plugins) -> None:
    hook = HOOK.replace(
        "CHECKPOINTS = ()", 'CHECKPOINTS = (Checkpoint(name="a", title="", folder=Path(), license="mit"),)'
    )
    folder = plugins.add("wrong", HEAD + hook)
    assert problems_in(folder) == problems_in(folder) != []
