"""Whatever is wrong with plugins, the host starts, the healthy one answers, and each broken one is named.

More variants: `DEMO_APP_TEST_MUTANTS=2000 pytest tests/isolation`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins_on_disk import Plugins

sys.path.append(str(Path(__file__).parent))
import broken

from demo_app.registry.loading import load_plugins
from demo_app.settings import Settings

MUTANTS = int(os.environ.get("DEMO_APP_TEST_MUTANTS", "110"))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[int, str], int]]:
    """A host with a healthy plugin among broken ones, the stages at which those fail, and the first changing one."""
    from demo_app.testing import serve

    before = list(sys.path)
    plugins = Plugins(tmp_path_factory.mktemp("crowd") / "plugins")
    stages = broken.write_all(plugins.path)
    changing = len(stages)
    for n, code in enumerate(broken.CHANGES.values(), start=changing):
        broken.write(plugins.path, n, top=code)
    broken.write_mutants(plugins.path, MUTANTS, seed=19, first=changing + len(broken.CHANGES))
    plugins.add_good("a_healthy")
    with serve(plugins_dir=plugins.path) as server:
        yield server, stages, changing
    sys.path[:] = before


def test_the_healthy_demo_answers_among_the_broken(crowd: Any) -> None:
    from gradio_client import Client

    server, _, _ = crowd
    assert (
        Client(server.url, verbose=False, httpx_kwargs={"timeout": 120}).predict("hi", api_name="/a_healthy_shout")
        == "HI"
    )


def test_each_broken_plugin_is_named_with_its_stage_and_reason(crowd: Any) -> None:
    server, stages, _ = crowd
    found = {plugin.name: plugin for plugin in server.app.plugins}
    for n, stage in stages.items():
        plugin = found[f"broken_{n}"]
        assert (plugin.state, plugin.stage in stage.split()) == ("failed", True), (n, stage, plugin)
        assert len(plugin.reason) < 1000


def test_what_a_plugin_changes_for_all_is_put_back_and_named(crowd: Any) -> None:
    server, _, changing = crowd
    found = {plugin.name: plugin for plugin in server.app.plugins}
    for n, name in enumerate(broken.CHANGES, start=changing):
        plugin = found[f"broken_{n}"]
        assert plugin.state == "ok", (name, plugin.reason)
        assert all(word in plugin.reason for word in name.split()), (name, plugin.reason)
    assert found["a_healthy"].reason == ""


def test_two_plugins_with_a_helper_of_one_name_do_not_run_each_others_code(plugins: Any) -> None:
    for name in ("one", "two"):
        folder = plugins.add_good(name)
        (module,) = folder.glob("*.py")
        module.write_text("import helpers_of_ours\n" + module.read_text())
        (folder / "helpers_of_ours.py").write_text("")
    first, second = load_plugins(Settings(plugins_dir=plugins.path))
    assert first.state == "ok"
    assert second.stage == "discovery"
    assert "helpers_of_ours" in second.reason
    assert first.provider in second.reason


@pytest.mark.parametrize("where", ["src", "python", "lib/py"])
def test_modules_are_found_where_the_project_has_them(plugins: Any, where: str) -> None:
    folder = plugins.add_good("moved", title=where)
    (module,) = folder.glob("*.py")
    name = f"{module.stem}_{where.replace('/', '_')}"
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace(module.stem, name) + f'[tool.setuptools.packages.find]\nwhere = ["{where}"]\n'
    )
    (folder / where).mkdir(parents=True)
    module.rename(folder / where / f"{name}.py")
    (plugin,) = load_plugins(Settings(plugins_dir=plugins.path))
    assert (plugin.state, plugin.reason) == ("ok", "")


def test_a_flat_plugin_may_have_a_src_of_other_things(plugins: Any) -> None:
    folder = plugins.add_good("flat")
    (folder / "src").mkdir()
    (folder / "src" / "main.c").write_text("")
    (plugin,) = load_plugins(Settings(plugins_dir=plugins.path))
    assert plugin.state == "ok"


def test_launch_in_a_plugin_opens_no_server_and_slow_code_is_given_up(plugins: Any, caplog: Any) -> None:
    from demo_app.page.app import create_app

    for n, code in enumerate(["gr.Interface(str, 'text', 'text').launch(share=True)", "import time; time.sleep(600)"]):
        broken.write(plugins.path, n, build=code)
    broken.write(plugins.path, 2, top="import threading; threading.Event().wait()")
    launching, building, importing = create_app(Settings(plugins_dir=plugins.path, build_seconds=3)).plugins
    assert (launching.state, building.stage, importing.stage) == ("ok", "build", "import")
    assert "DEMO_APP_BUILD_SECONDS" in building.reason
    assert "launch() does nothing" in caplog.text
    assert "building the tab of broken_1 is slow" in caplog.text


def test_launch_at_import_opens_no_server_in_a_process_without_gradio(plugins: Any) -> None:
    code = "import gradio as gr\nwith gr.Blocks() as page: gr.Markdown()\nprint('LAUNCHED', page.launch(share=True))"
    broken.write(plugins.path, 0, top=code)
    command = [sys.executable, "-m", "demo_app", "plugins", "--plugins-dir", str(plugins.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "LAUNCHED (None, '', None)" in done.stdout
    assert done.returncode == 0


def test_events_of_values_that_are_functions_have_the_demos_name_and_guard(plugins: Any) -> None:
    from demo_app.gradio_internals import listeners
    from demo_app.page.app import create_app

    broken.write(plugins.path, 0, build="gr.Textbox(value=lambda: 'now', every=5); gr.Timer(7).tick(lambda: None)")
    app = create_app(Settings(plugins_dir=plugins.path))
    names = [str(one.api_name) for one in listeners(app.blocks) if one.handler is not None and one.public]
    assert [name for name in names if not name.startswith(("broken_0_", "status", "unload"))] == []
    assert names.count("broken_0_lambda") <= 1


CORRUPT = {
    "no_metadata": {"entry_points.txt": b"[demo_app]\nno_metadata = json\n"},
    "no_name": {"entry_points.txt": b"[demo_app]\nno_name = json\n", "METADATA": b"Version: 1\n"},
    "latin": {"entry_points.txt": b"[demo_app]\nlatin = caf\xe9\n", "METADATA": b"Name: latin\nVersion: 1\n"},
    "no_sign": {"entry_points.txt": b"[demo_app]\nno sign\n", "METADATA": b"Name: no_sign\nVersion: 1\n"},
    "others": {"entry_points.txt": b"[other]\nlatin = caf\xe9\n", "METADATA": b"Name: others\nVersion: 1\n"},
    "~eft": {"entry_points.txt": b"[demo_app]\nleft = json\n", "METADATA": b"Name: left\nVersion: 1\n"},
}
RECORDS = [
    b"{",
    b"\xef\xbb\xbf{}",
    b'{"dir_info": null}',
    b"[]",
    b'{"url": 5, "dir_info": {"editable": true}}',
    b"\xff",
]


def test_metadata_of_any_distribution_may_be_broken(tmp_path: Path, monkeypatch: Any) -> None:
    files = CORRUPT | {
        f"record{n}": {
            "entry_points.txt": f"[demo_app]\nrecord{n} = json\n".encode(),
            "METADATA": f"Name: record{n}\nVersion: 1\n".encode(),
            "direct_url.json": record,
        }
        for n, record in enumerate(RECORDS)
    }
    for name, parts in files.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        for file, content in parts.items():
            (folder / file).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plugins").mkdir()
    found = {plugin.name: plugin for plugin in load_plugins(Settings(plugins_dir=tmp_path / "plugins"))}
    for name in ("no_metadata", "no_name", "latin", "no_sign"):
        assert found[name].stage == "discovery", name
    assert not {"others", "left", "~eft"} & set(found)
    assert {f"record{n}" for n in range(len(RECORDS))} <= set(found)
