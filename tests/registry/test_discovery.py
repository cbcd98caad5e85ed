"""Where plugins are looked for, and what is said of metadata that cannot be read. Nothing is imported."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from demo_app.registry import discovery
from demo_app.registry.discovery import find_plugins, is_plugin, plugins_folder, plugins_in
from demo_app.settings import Settings

PYPROJECT = """
[project]
name = "thing"
version = "1.2"
requires-python = ">=3.9"
dependencies = ["demo-app", "numpy>=1"]
[project.entry-points.demo_app]
thing = "thing_module"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plugins" / "thing"
    made.mkdir(parents=True)
    (made / "pyproject.toml").write_text(PYPROJECT)
    return made


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add a distribution to `sys.path`: its folder, and what its files have."""
    site = tmp_path / "site"
    site.mkdir()
    import urllib.request  # noqa: F401  # which the code under test imports, and is not found later

    monkeypatch.setattr("sys.path", [str(site)])
    monkeypatch.setattr(discovery, "_plugins_beside_app", lambda: None)
    monkeypatch.chdir(tmp_path)

    def add(name: str, metadata: str | None = None, entries: bytes | None = None, url: str | None = None) -> Path:
        made = site / name
        made.mkdir()
        entries = b"[demo_app]\nthing = thing_module\n" if entries is None else entries
        texts = {"METADATA": metadata, "direct_url.json": url}
        (made / "entry_points.txt").write_bytes(entries)
        for file, text in texts.items():
            if text is not None:
                (made / file).write_text(text)
        return made

    return add


METADATA = "Metadata-Version: 2.1\nName: thing\nVersion: 3.1\nRequires-Python: >=3.11\nRequires-Dist: demo-app\n"


def test_a_folder_plugin_has_all_that_its_pyproject_says(folder: Path) -> None:
    for place in (folder, folder.parent):
        (plugin,) = plugins_in(place)
        assert (plugin.name, plugin.value, plugin.distribution) == ("thing", "thing_module", "thing")
        assert (plugin.version, plugin.source, plugin.path) == ("1.2", "folder", folder.resolve())
        assert (plugin.requires, plugin.requires_python) == (("demo-app", "numpy>=1"), ">=3.9")
        assert plugin.state == "found"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"thing"\nv', "5\nv", "name must be a text in quotes, and is 5"),
        ('name = "thing"\n', "", "name is missing"),
        ('"1.2"', "1.2", "version must be a text in quotes, and is 1.2"),
        ('">=3.9"', "3.9", "requires-python must be a text in quotes, and is 3.9"),
        ('["demo-app", "numpy>=1"]', '"numpy"', "dependencies must be a list, and is 'numpy'"),
        ('["demo-app", "numpy>=1"]', "[1]", "each of dependencies must be a text in quotes, and is 1"),
        ('"thing_module"', "7", "entry-points.demo_app.thing must be a text in quotes, and is 7"),
        ("[project.entry-points.demo_app]\nthing", "[project.entry-points]\ndemo_app", "entry-points.demo_app must be"),
        ("[project]", "[project", "TOMLDecodeError"),
    ],
)
def test_a_pyproject_of_a_wrong_shape_is_a_failed_plugin(folder: Path, old: str, new: str, reason: str) -> None:
    assert old in PYPROJECT
    (folder / "pyproject.toml").write_text(PYPROJECT.replace(old, new))
    (plugin,) = plugins_in(folder.parent)
    assert (plugin.state, plugin.stage, plugin.name) == ("failed", "discovery", "thing")
    assert f"thing/pyproject.toml cannot be read ({'' if 'TOML' in reason else 'ValueError: '}{reason}" in plugin.reason
    assert plugin.reason.endswith("; fix the file.")


def test_what_is_no_plugin_is_passed_over(folder: Path, tmp_path: Path, caplog: Any) -> None:
    assert is_plugin(folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "a library"\n')
    (folder.parent / "notes").mkdir()
    assert not is_plugin(folder)
    assert not list(plugins_in(folder.parent))
    assert not list(plugins_in(tmp_path / "nothing"))
    assert "cannot be read" in caplog.text


def test_a_pyproject_may_have_a_mib_and_no_more(folder: Path) -> None:
    file, room = folder / "pyproject.toml", discovery.LARGEST - len(PYPROJECT) - 2
    file.write_text(f"{PYPROJECT}# {'x' * room}")
    assert [plugin.state for plugin in plugins_in(folder.parent)] == ["found"]
    file.write_text(f"{PYPROJECT}# {'x' * room}x")
    (plugin,) = plugins_in(folder.parent)
    assert "it is larger than 1,048,576 bytes" in plugin.reason


def test_a_pyproject_that_is_a_folder_is_a_failed_plugin(folder: Path) -> None:
    (folder / "pyproject.toml").unlink()
    (folder / "pyproject.toml").mkdir()
    (plugin,) = plugins_in(folder.parent)
    assert "it is no file" in plugin.reason


def test_the_folder_of_plugins_is_the_setting_else_that_beside_app_else_the_current_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert plugins_folder(Settings(plugins_dir=tmp_path)) == tmp_path
    root = Path(__file__).parents[2]
    assert plugins_folder(Settings()) == root / "plugins"
    monkeypatch.setattr(discovery, "_plugins_beside_app", lambda: None)
    for here, found in ((folder, folder), (folder.parent, folder.parent), (tmp_path, None)):
        monkeypatch.chdir(here)
        assert plugins_folder(Settings()) == found


def test_an_installed_plugin_has_all_that_its_metadata_say(installed: Any) -> None:
    installed("thing-3.1.dist-info", METADATA)
    installed("library-1.dist-info", METADATA.replace("thing", "library"), b"[console_scripts]\nx = y\n")
    (plugin,) = find_plugins(Settings())
    assert (plugin.name, plugin.value, plugin.distribution, plugin.version) == ("thing", "thing_module", "thing", "3.1")
    assert (plugin.source, plugin.path) == ("installed", None)
    assert (plugin.requires, plugin.requires_python) == (("demo-app",), ">=3.11")


@pytest.mark.parametrize(
    ("name", "metadata", "entries", "states"),
    [
        ("thing-3.1.dist-info", None, None, ["failed"]),
        ("thing-3.1.dist-info", "Metadata-Version: 2.1\nVersion: 1\n", None, ["failed"]),
        ("thing-3.1.dist-info", METADATA, b"[demo_app]\nthing = thing_module\nno sign\n", ["failed"]),
        ("thing-3.1.dist-info", METADATA, b"[demo_app]\nthing = th\xefng\n", ["failed"]),
        ("thing-3.1.dist-info", METADATA, b"[other]\nthing = th\xefng\n", []),
        ("thing-3.1.dist-info", METADATA, b"[demo_app_too]\nthing = thing_module\n", []),
        ("~hing-3.1.dist-info", METADATA, None, []),
    ],
)
def test_metadata_that_cannot_be_read_are_a_failed_plugin_if_they_may_be_one(
    installed: Any, name: str, metadata: str | None, entries: bytes | None, states: list[str]
) -> None:
    installed(name, metadata, entries)
    found = find_plugins(Settings())
    assert [plugin.state for plugin in found] == states
    for plugin in found:
        assert (plugin.name, plugin.stage) == ("thing", "discovery")
        assert f"the metadata in {name} cannot be read" in plugin.reason


def test_of_two_distributions_of_one_name_the_first_counts(installed: Any) -> None:
    installed("Thing-3.1.dist-info", METADATA)
    installed("thing-4.dist-info", METADATA.replace("3.1", "4"))
    assert len(find_plugins(Settings())) == 1


@pytest.mark.parametrize(
    ("url", "source", "logged"),
    [
        ('{"url": "file://%s", "dir_info": {"editable": true}}', "editable", False),
        ('\ufeff{"url": "file://%s", "dir_info": {"editable": true}}', "editable", False),
        ('{"url": "file://%s", "dir_info": {"editable": false}}', "installed", False),
        ('{"url": "https://%s", "dir_info": {"editable": true}}', "installed", False),
        ('{"url": "file://%s", "dir_info": null}', "installed", False),
        ('{"url": "file://%s"}', "installed", False),
        ('{"url": 5, "dir_info": {"editable": true}}', "installed", True),
        ('{"url": "file://', "installed", True),
    ],
)
def test_an_editable_install_has_its_folder(
    installed: Any, folder: Path, caplog: Any, url: str, source: str, logged: bool
) -> None:
    installed("thing-3.1.dist-info", METADATA, url=url.replace("%s", str(folder)))
    (plugin,) = find_plugins(Settings())
    assert (plugin.state, plugin.source) == ("found", source)
    assert plugin.path == (folder if source == "editable" else None)
    assert ("direct_url.json of thing cannot be read" in caplog.text) == logged


def test_an_installed_plugin_wins_over_the_copy_in_the_folder(installed: Any, folder: Path, caplog: Any) -> None:
    installed("thing-3.1.dist-info", METADATA)
    (plugin,) = find_plugins(Settings(plugins_dir=folder.parent))
    assert plugin.version == "3.1"
    assert "wins over the copy in folder thing/" in plugin.reason
    assert "the copy in" in caplog.text


def test_an_editable_install_of_the_folder_is_the_same_plugin(installed: Any, folder: Path, caplog: Any) -> None:
    url = f'{{"url": "file://{folder}", "dir_info": {{"editable": true}}}}'
    installed("thing-3.1.dist-info", METADATA, url=url)
    (plugin,) = find_plugins(Settings(plugins_dir=folder.parent))
    assert (plugin.source, plugin.reason) == ("editable", "")
    assert "is not used" not in caplog.text


def test_installed_plugins_come_first_then_names_in_order(installed: Any, folder: Path) -> None:
    installed("zebra-1.dist-info", METADATA.replace("thing", "zebra"), b"[demo_app]\nzebra = z\nant = a\n")
    assert [plugin.name for plugin in find_plugins(Settings(plugins_dir=folder.parent))] == ["ant", "zebra", "thing"]


@pytest.mark.parametrize(
    ("only", "disable", "states"),
    [
        ((), (), {"ant": "found", "thing": "found"}),
        (("ant",), (), {"ant": "found", "thing": "disabled"}),
        (("zebra",), (), {"ant": "found", "thing": "disabled"}),
        ((), ("thing",), {"ant": "found", "thing": "disabled"}),
        (("ant", "thing"), ("ant",), {"ant": "disabled", "thing": "found"}),
    ],
)
def test_the_settings_choose_by_entry_point_or_distribution(
    installed: Any, folder: Path, only: tuple[str, ...], disable: tuple[str, ...], states: dict[str, str]
) -> None:
    installed("zebra-1.dist-info", METADATA.replace("thing", "zebra"), b"[demo_app]\nant = a\n")
    found = find_plugins(Settings(plugins_dir=folder.parent, only=only, disable=disable))
    assert {plugin.name: plugin.state for plugin in found} == states


def test_a_name_that_no_plugin_has_is_said_with_those_that_there_are(installed: Any, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    installed("thing-3.1.dist-info", METADATA)
    find_plugins(Settings(only=("thing",), disable=("thin",)))
    assert [record.getMessage() for record in caplog.records] == ["no plugin is named thin; there are: thing"]


def test_a_failed_plugin_stays_failed_where_it_is_disabled(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project")
    found = [plugin for plugin in find_plugins(Settings(plugins_dir=folder.parent, only=("x",))) if plugin.path]
    assert [plugin.state for plugin in found if plugin.name == "thing"] == ["failed"]
