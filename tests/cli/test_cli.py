"""The commands, as a shell runs them: output, exit codes, and how little they import."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins_on_disk import ROOT
from shell import demo_app

from demo_app.testing import check_demo


def test_plugins_json_has_status_source_version_import_time_demos(plugins: Any) -> None:
    plugins.add_good("good")
    plugins.add("bad", "import nothing_of_this_name")
    done = demo_app("plugins", "--json", "--plugins-dir", plugins.path)
    assert done.returncode == 1
    listed = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    good, bad = listed["good"], listed["bad"]
    assert (good["status"], good["source"], good["version"]) == ("ok", "folder", "0.1.0")
    assert good["import_ms"] > 0
    assert [demo["name"] for demo in good["demos"]] == ["good"]
    assert (bad["status"], bad["stage"]) == ("failed", "import")
    assert "nothing_of_this_name" in bad["reason"]


def test_plugins_that_all_work_exit_with_0(plugins: Any) -> None:
    plugins.add_good("good")
    done = demo_app("plugins", "--plugins-dir", plugins.path)
    assert done.returncode == 0
    assert "good  demo-good 0.1.0  folder good/  ok" in done.stdout


def test_listing_the_built_in_plugins_imports_neither_gradio_nor_torch_and_is_quick() -> None:
    code = (
        "import sys; from demo_app.cli import main; main(['plugins', '--json'])\n"
        "heavy = {'gradio', 'torch', 'numpy', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {plugin["status"] for plugin in json.loads(done.stdout)} == {"ok"}
    ours, bare = [], []
    for _ in range(5):  # CPU seconds, beside those of a program that imports a little of the standard library
        ours.append(cpu_seconds(lambda: demo_app("plugins", "--json")))
        bare.append(cpu_seconds(lambda: subprocess.run([sys.executable, "-c", LITTLE], check=True)))
    assert min(ours) < 5 * min(bare), (ours, bare)  # three times; with gradio or torch it would be forty


LITTLE = "import argparse, asyncio, email.parser, importlib.metadata"


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Of the processes that the call starts and waits for: the wall clock would also count what others do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_check_passes_a_good_plugin_and_loads_it(plugins: Any) -> None:
    folder = plugins.add_good("good")
    done = demo_app("check", folder, "--load")
    assert (done.returncode, "good: ok" in done.stdout) == (0, True), done.stdout
    assert " MB in " in done.stdout


def test_check_lists_everything_that_is_wrong_not_just_the_first(plugins: Any) -> None:
    folder = plugins.add(
        "heavy",
        """
        import torch
        from demo_app import Checkpoint, Demo, hookimpl
        from pathlib import Path
        def build(handle):
            import gradio as gr
            gr.Button().click(lambda: 1, None, gr.Number())
            gr.HTML(html_template="<b>{{value}}</b>")
        @hookimpl
        def register_demos():
            checkpoint = Checkpoint(name="a", title="a", folder=Path("/nowhere"), files=("weights.pkl",))
            return [Demo(name="heavy", title="t", summary="s", load=lambda f, d: 1, build=build,
                         checkpoints=(checkpoint,))]
        """,
    )
    done = demo_app("check", folder)
    assert done.returncode == 1
    mistakes = ("imports torch", ".py:2", "license", "weights.pkl", "pickle", "api_name", "docstring", "html_template")
    for said in mistakes:
        assert said in done.stdout, said


def test_check_of_an_unknown_plugin_lists_the_known_ones(tmp_path: Path) -> None:
    done = demo_app("check", "no_such_plugin")
    assert done.returncode == 1
    assert "text_classifier" in done.stdout


def test_the_built_in_plugins_pass_the_check() -> None:
    for pyproject in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        assert check_demo(pyproject.parent).problems == ()


def test_download_of_embedded_checkpoints_has_nothing_to_fetch() -> None:
    done = demo_app("download", "text_classifier/sst2", HF_HUB_OFFLINE="1")
    assert done.returncode == 0
    assert "embedded in" in done.stdout


def test_a_download_that_fails_exits_with_1(plugins: Any) -> None:
    plugins.add(
        "pinned",
        """
        from demo_app import Checkpoint, Demo, hookimpl
        @hookimpl
        def register_demos():
            far = Checkpoint(name="far", title="Far", repo_id="some/where", revision="0" * 40, license="mit", size=9)
            return [Demo(name="pinned", title="t", summary="s", load=lambda f, d: 1, build=lambda h: None,
                         checkpoints=(far,))]
        """,
    )
    done = demo_app("download", "--all", "--plugins-dir", plugins.path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "pinned/far: failed: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


COMMIT = "5" * 40


def add_pinned(plugins: Any) -> None:
    """A plugin whose checkpoints are on the Hub, and that says what was published of them."""
    plugins.add(
        "pinned",
        f"""
        from demo_app import Checkpoint, Comparison, Demo, hookimpl
        def far(name, repo_id):
            return Checkpoint(name=name, title=name, repo_id=repo_id, revision="{COMMIT}", license="mit", size=9)
        def selfcheck(model, checkpoint):
            yield Comparison(what="its number", source="a paper", expected=(1.5,), found=(model,), tolerance=1e-3)
        @hookimpl
        def register_demos():
            yield Demo(name="pinned", title="t", summary="s", build=lambda handle: None, selfcheck=selfcheck,
                       load=lambda folder, device: float((folder / "model.safetensors").read_text()),
                       checkpoints=(far("one", "some/one"), far("two", "some/two")))
        """,
    )


def add_repo(hub: Any, repo_id: str, number: str) -> None:
    hub.add(repo_id, {"config.json": b"{}", "model.safetensors": number.encode()}, sha=COMMIT)


def test_download_fetches_what_is_missing_and_only_that(plugins: Any, hub: Any) -> None:
    add_pinned(plugins)
    add_repo(hub, "some/one", "1.5")
    done = demo_app("download", "pinned", "--plugins-dir", plugins.path)
    assert done.returncode == 1  # the second one is not there
    assert "pinned/one: on disk in" in done.stdout
    assert "pinned/two: failed: The Hub has no repository some/two" in done.stdout
    add_repo(hub, "some/two", "2.5")
    hub.log.clear()
    done = demo_app("download", "--all", "--plugins-dir", plugins.path)
    assert done.returncode == 0, done.stdout
    assert hub.log
    assert all("/some/one/" not in path for _, path, *_ in hub.log)
    hub.log.clear()
    assert demo_app("download", "--all", "--plugins-dir", plugins.path).returncode == 0
    assert hub.log == []


def test_selfcheck_prints_published_beside_found_values_and_fails_if_they_differ(plugins: Any, hub: Any) -> None:
    add_pinned(plugins)
    add_repo(hub, "some/one", "1.5004")
    add_repo(hub, "some/two", "2.5")
    away = demo_app("selfcheck", "--plugins-dir", plugins.path)
    assert (away.returncode, away.stdout.count("not on this disk; --hub fetches it")) == (0, 2)
    assert hub.log == []
    fetched = demo_app("selfcheck", "--hub", "--plugins-dir", plugins.path)
    assert fetched.returncode == 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in fetched.stdout.splitlines()[2:]]
    assert rows[0] == ["pinned/one", "ok", "its number", "1.5", "1.5004", "4.0e-04 of 1e-03", "a paper"]
    assert rows[1][:5] == ["pinned/two", "FAILED", "its number", "1.5", "2.5"]
    assert demo_app("selfcheck", "pinned/one", "--plugins-dir", plugins.path).returncode == 0


def test_selfcheck_of_a_checkpoint_that_cannot_be_fetched_fails_with_the_reason(plugins: Any, hub: Any) -> None:
    add_pinned(plugins)
    done = demo_app("selfcheck", "pinned/one", "--hub", "--plugins-dir", plugins.path)
    assert done.returncode == 1
    assert "no repository some/one" in done.stdout


def test_a_wrong_command_line_exits_with_2(plugins: Any) -> None:
    assert demo_app("plugin").returncode == 2
    assert demo_app("download").returncode == 2
    assert demo_app("download", "no_such_demo").returncode == 2
    done = demo_app("plugins", DEMO_APP_MAX_TEXT="many")
    assert (done.returncode, "DEMO_APP_MAX_TEXT" in done.stderr) == (2, True)


def test_requirements_and_the_readmes_header_are_what_the_pyprojects_say() -> None:
    done = demo_app("space", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_space_update_rewrites_what_is_stale(tmp_path: Path, plugins: Any) -> None:
    plugins.add("one", "", requires=("demo-app", "tokenizers>=0.21", "torch>=2.9"))
    project = '[project]\nname="demo-app"\ndependencies=["torch>=2.8", "gradio>=6.31,<7"]'
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "app.py").write_text("")
    assert demo_app("space", tmp_path, "--check").returncode == 1
    assert demo_app("space", tmp_path, "--update").returncode == 0
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert lines[1:] == ["gradio>=6.31,<7", "tokenizers>=0.21", "torch>=2.9"]
    assert demo_app("space", tmp_path, "--check").returncode == 0
