"""The pytest plugin for plugin authors, as pytest finds it: in another folder, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugins_on_disk import ROOT, Plugins
from safetensors.numpy import load_file

from demo_app.testing import scores
from demo_app.testing.hub import Hub

PLUGIN = "demo_app.testing.fixtures"


def run_pytest(folder: Path, *arguments: str, loads: str = f"-p {PLUGIN}") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *loads.split(), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_pytest_starts_without_gradio_torch_or_playwright(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\ndef test_it(): assert not {'gradio', 'torch', 'playwright', 'numpy'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_entry_point_and_a_conftest_may_both_name_it(tmp_path: Path) -> None:
    """As where demo-app is installed and a repository's own tests load the plugin from its folder."""
    info = tmp_path / "installed" / "demo_app_here-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-app-here\nVersion: 1\n")
    pyproject = (ROOT / "pyproject.toml").read_text()
    (line,) = [line for line in pyproject.splitlines() if line.startswith(f'"{PLUGIN}"')]
    (info / "entry_points.txt").write_text(f"[pytest11]\n{line.partition('  #')[0].replace(chr(34), '')}\n")
    (tmp_path / "conftest.py").write_text(f"pytest_plugins = [{PLUGIN!r}]\n")
    (tmp_path / "test_here.py").write_text("def test_here(tiny_checkpoint): assert tiny_checkpoint().is_dir()\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path / "installed")])}
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "test_here.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_stranger_gets_a_host_with_the_plugin_alone(plugins: Plugins) -> None:
    """`plugin_dir` is found above the test; `demo_settings` and `plugin_dir` can be others for a module."""
    plugins.add_good("beside")
    folder = plugins.add_good("mine")
    tests = folder / "tests" / "deep"
    tests.mkdir(parents=True)
    (tests / "test_mine.py").write_text(
        textwrap.dedent("""
        import pytest

        @pytest.fixture(scope="module")
        def demo_settings():
            return {"max_text": 8}

        def test_the_folder_is_found(plugin_dir):
            assert plugin_dir.name == "mine"

        def test_it_is_alone(demo_host):
            states = {plugin.name: plugin.state for plugin in demo_host.server.app.plugins}
            assert {name for name, state in states.items() if state == "ok"} == {"mine"}
            assert demo_host.demo.title == "Mine"

        def test_it_answers(demo_host):
            assert demo_host.call("shout", "hello") == "HELLO"
            assert demo_host.client.predict("hi", api_name="/mine_shout") == "HI"
            assert demo_host.connect() is not demo_host.client

        def test_each_test_has_a_visitor_of_its_own(demo_host, demo_client):
            assert demo_client.session_hash != demo_host.client.session_hash
            assert demo_client.predict("hi", api_name="/mine_shout") == "HI"

        def test_its_actions_are_those_of_the_plugin(demo_host):
            assert demo_host.actions == ["shout", "shout_queued"]

        def test_a_refusal_is_its_sentence(demo_host):
            assert demo_host.refusal("shout", " ") == "Write something first."
            with pytest.raises(AssertionError, match="shout answers 'HELLO'"):
                demo_host.refusal("shout", "hello")

        def test_settings_of_the_module_hold(demo_host):
            with pytest.raises(Exception, match="the limit is 8"):
                demo_host.call("shout", "hello, world")
        """)
    )
    (plugins.path / "test_beside.py").write_text(
        textwrap.dedent("""
        from pathlib import Path
        import pytest

        @pytest.fixture(scope="module")
        def plugin_dir():
            return Path(__file__).parent / "beside"

        def test_another_folder(demo_host):
            assert demo_host.demo.name == "beside"
        """)
    )
    (plugins.path / "test_nowhere.py").write_text("def test_nowhere(plugin_dir): pass\n")
    done = run_pytest(plugins.path)
    assert "8 passed, 1 error" in done.stdout, done.stdout
    assert "write a fixture plugin_dir that returns the plugin's folder" in done.stdout


def test_an_installed_copy_is_served_only_if_it_is_the_same(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demo_app.checking.probe import installed_copy
    from demo_app.registry.discovery import plugins_in
    from demo_app.registry.plugin import PluginError
    from demo_app.testing import host

    folder = plugins.add_good("twice")
    (module,) = folder.glob("*.py")
    site = tmp_path / "site"
    info = site / "demo_twice-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-twice\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[demo_app]\ntwice = {module.stem}\n")
    (site / module.name).write_text(module.read_text())
    monkeypatch.syspath_prepend(str(site))
    (plugin,) = plugins_in(folder)
    assert installed_copy(plugin) is not None
    host._check_installed_copy(plugin)  # the same
    module.write_text(module.read_text() + "# newer\n")
    with pytest.raises(PluginError, match=f"served instead of .*{module.name} is another; run: pip install -e "):
        host._check_installed_copy(plugin)


def test_a_tiny_checkpoint_is_in_the_layout_of_the_hub(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint({"width": 2}, {"a": np.arange(2.0)}, files={"vocab.txt": b"x\n", "onnx/model.onnx": b"1"})
    assert json.loads((folder / "config.json").read_text()) == {"width": 2}
    assert load_file(folder / "model.safetensors")["a"].tolist() == [0.0, 1.0]
    assert (folder / "onnx" / "model.onnx").read_bytes() == b"1"
    assert list(load_file(tiny_checkpoint(name="other") / "model.safetensors")) == ["weight"]
    with pytest.raises(FileExistsError):
        tiny_checkpoint(name="other")


def test_a_tiny_checkpoint_of_a_network_can_be_read_back(tiny_checkpoint: Callable[..., Path]) -> None:
    import torch
    from safetensors.torch import load_file as load_tensors

    network = torch.nn.Linear(3, 2)
    back = load_tensors(tiny_checkpoint({}, network) / "model.safetensors")
    assert torch.equal(back["weight"], network.weight)


def test_one_thread_holds_for_the_module_only(tmp_path: Path) -> None:
    code = "import torch\ntorch.set_num_threads(3)\ndef test_threads({}): assert torch.get_num_threads() == {}\n"
    (tmp_path / "test_1.py").write_text(code.format("one_thread", 1))
    (tmp_path / "test_2.py").write_text(code.format("", 3))
    done = run_pytest(tmp_path)
    assert "2 passed" in done.stdout, done.stdout


def test_the_writable_hub_takes_uploads_with_its_token(writable_hub: Hub) -> None:
    from huggingface_hub import HfApi

    assert (HfApi().whoami()["name"], os.environ["HF_TOKEN"]) == (writable_hub.user, writable_hub.token)


def test_scores_of_a_label() -> None:
    assert scores({"label": "a", "confidences": [{"label": "a", "confidence": 0.5}]}) == {"a": 0.5}


def test_a_folder_of_plugins_may_be_one_plugin(plugins: Plugins, tmp_path: Path) -> None:
    from demo_app.registry.discovery import plugins_in

    folder = plugins.add_good("one")
    plugins.add_good("two")
    assert [plugin.name for plugin in plugins_in(folder)] == ["one"]
    assert [plugin.name for plugin in plugins_in(plugins.path)] == ["one", "two"]


@pytest.mark.parametrize("inside", [True, False])
def test_where_there_is_no_checkout_the_plugins_are_those_of_the_current_folder(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inside: bool
) -> None:
    from demo_app.registry import discovery
    from demo_app.settings import Settings

    def of_an_installed_host(**changes: Any) -> Path | None:
        return discovery.plugins_folder(Settings.from_env({}, **changes))

    installed = tmp_path / "site-packages" / "demo_app" / "registry" / "discovery.py"
    monkeypatch.setattr(discovery, "__file__", str(installed))
    folder = plugins.add_good("one")
    monkeypatch.chdir(folder if inside else plugins.path)
    assert of_an_installed_host() == (folder if inside else plugins.path)
    assert of_an_installed_host(plugins_dir=tmp_path) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert of_an_installed_host() is None
