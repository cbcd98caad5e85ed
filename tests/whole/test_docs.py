"""The code and configuration of README and docs work as they are written."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins_on_disk import ROOT, Plugins

from demo_app.cli.main import parser
from demo_app.serving import client
from demo_app.settings import Settings


def code_of(path: Path, language: str, marker: str) -> str:
    """The fenced block of that language that holds `marker`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.DOTALL)
    return next(block for block in blocks if marker in block)


@pytest.mark.parametrize("page", ["README.md", "docs/plugins.md"])
def test_the_smallest_plugin_is_a_tab(page: str, plugins: Plugins, host: Any) -> None:
    folder = plugins.path / "echo"
    folder.mkdir(parents=True)
    pyproject = code_of(ROOT / "docs" / "plugins.md", "toml", "[project.entry-points.demo_app]")
    (folder / "pyproject.toml").write_text(pyproject.replace("demo_app_echo", f"demo_app_echo_{page[:4].lower()}"))
    module = code_of(ROOT / page, "python", "def register_demos")
    (folder / f"demo_app_echo_{page[:4].lower()}.py").write_text(module)
    server = host()
    assert [plugin.state for plugin in server.app.plugins] == ["ok"], server.app.plugins
    assert client.call(server.url, "echo_shout", "hello") == ("complete", ["HELLO"])


def test_the_checkpoints_of_the_docs_are_valid() -> None:
    code = code_of(ROOT / "docs" / "plugins.md", "python", "CHECKPOINTS = (")
    names: dict[str, Any] = {"__file__": __file__}
    exec(code, names)
    assert [checkpoint.on_hub for checkpoint in names["CHECKPOINTS"]] == [False, True]


def test_the_systemd_unit_starts_the_host_with_existing_settings() -> None:
    unit = configparser.RawConfigParser(strict=False)  # Environment= comes more than once, and the last one is kept
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    text = code_of(ROOT / "docs" / "hosting.md", "ini", "[Service]")
    unit.read_string(text)
    program, *options = unit["Service"]["ExecStart"].split()
    assert program.endswith("/demo-app")
    assert parser().parse_args(options).command == "run"
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, flags=re.MULTILINE))
    settings = Settings.from_env(variables)
    assert (settings.root_path, settings.public) == ("/demos", True)
    assert {name for name in variables if not name.startswith("DEMO_APP_")} == {"HF_HOME", "GRADIO_TEMP_DIR"}


def test_the_readmes_header_is_valid_for_a_space() -> None:
    header = yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])
    known = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license"}
    assert set(header) <= known | {"short_description", "models", "preload_from_hub"}
    assert header["sdk"] == "gradio"
    assert (ROOT / header["app_file"]).is_file()
    assert len(header["short_description"]) <= 60
    assert f"gradio=={header['sdk_version']}" in (ROOT / "tests" / "requirements.lock").read_text().splitlines()


def test_links_and_pictures_of_the_docs_exist() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
