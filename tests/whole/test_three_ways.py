"""The same plugins, installed as wheels, installed editable, or as folders with nothing installed: the same page.

Each way runs in a process of its own: a virtual environment that sees the packages of this one through a .pth file,
so that nothing big is installed again, with the host and the plugins really built as wheels and installed by pip.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from installing import copied, environment, pip, wheels
from plugins_on_disk import ROOT, Plugins

BUILT_IN = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
SENTENCE = "A warm and wonderful film."

pytestmark = pytest.mark.slow

# what a process with the app says: the page without the numbers that differ between runs, the plugins, two answers
PROBE = """
import json, sys, httpx
from pathlib import Path
from demo_app.testing import serve

with serve(plugins_dir=Path(sys.argv[1])) as server:
    config = httpx.get(f"{server.url}config", timeout=60).json()

    def ask(action, *data):
        body = {"data": data, "session_hash": "probe"}
        return httpx.post(f"{server.url}gradio_api/run/{action}", json=body, timeout=120).json()["data"]

    said = {
        "components": [[c["type"], c["props"].get("label"), c["props"].get("elem_id")] for c in config["components"]],
        "events": [[e["api_name"], len(e["inputs"]), len(e["outputs"]), e["queue"]] for e in config["dependencies"]],
        "shout": ask("tiny_shout", "hello"),
        "plugins": {p.name: [p.source, p.state, p.reason, str(p.demos[0].load.__code__.co_filename) if p.demos else ""]
                    for p in server.app.plugins},
        "failed": [p.reason for p in server.app.plugins if p.state == "failed"],
    }
    if any(e["api_name"] == "text_classifier_classify" for e in config["dependencies"]):
        answer = ask("text_classifier_classify", sys.argv[2], "sst2", "gradient", "average", "average")
        said["classify"] = answer[0]
sys.stdout.write("\\n" + json.dumps(said) + "\\n")
sys.stdout.flush()
"""


@dataclass(frozen=True)
class Way:
    """A Python that has the plugins in one way, and the folder of plugins it is told."""

    python: Path
    folder: Path
    pythonpath: str = ""

    def probe(self) -> dict[str, Any]:
        environment = {"PYTHONPATH": self.pythonpath, "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [self.python, "-c", PROBE, self.folder, SENTENCE],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The host, a tiny plugin and the built-in ones, each a folder with a pyproject.toml."""
    folder = tmp_path_factory.mktemp("sources")
    tiny = Plugins(folder)
    tiny.add_good("tiny", order=50)
    module = next((folder / "tiny").glob("demo_tiny_*.py"))
    with (folder / "tiny" / "pyproject.toml").open("a") as file:
        file.write(f'\n[tool.hatch.build.targets.wheel]\nonly-include = ["{module.name}"]\n')
    found = {"host": copied(ROOT, folder / "host"), "tiny": folder / "tiny"}
    return found | {path.name: copied(path, folder / path.name) for path in BUILT_IN}


@pytest.fixture(scope="module")
def pages(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ways")
    empty = folder / "empty"
    empty.mkdir()

    installed = environment(folder / "installed")
    pip(installed, *wheels(list(sources.values()), folder / "wheels"))

    editable = environment(folder / "editable")
    for source in sources.values():
        pip(editable, "--no-build-isolation", "--editable", source)

    plain = environment(folder / "plain")
    plugins = folder / "plugins"
    for name, source in sources.items():
        if name != "host":
            shutil.copytree(source, plugins / name)
    return {
        "wheel": Way(installed, empty).probe(),
        "editable": Way(editable, empty).probe(),
        "folder": Way(plain, plugins, pythonpath=str(sources["host"])).probe(),
    }


def test_each_way_finds_the_plugins_where_they_are(pages: dict[str, dict[str, Any]], sources: dict[str, Path]) -> None:
    names = set(sources) - {"host"}
    for way, source in (("wheel", "installed"), ("editable", "editable"), ("folder", "folder")):
        found = pages[way]["plugins"]
        assert pages[way]["failed"] == []
        assert {name: found[name][0] for name in found} == dict.fromkeys(names, source)
    assert "site-packages" in pages["wheel"]["plugins"]["tiny"][3]
    assert str(sources["tiny"]) in pages["editable"]["plugins"]["tiny"][3]
    assert "plugins" in pages["folder"]["plugins"]["tiny"][3]


@pytest.mark.parametrize("way", ["editable", "folder"])
def test_the_page_and_its_answers_are_those_of_the_installed_wheel(way: str, pages: dict[str, dict[str, Any]]) -> None:
    for part in ("components", "events", "shout"):
        assert pages[way][part] == pages["wheel"][part]
    assert pages[way].get("classify") == pages["wheel"].get("classify")
    assert pages[way]["shout"] == ["HELLO"]
