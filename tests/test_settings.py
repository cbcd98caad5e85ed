"""Every DEMO_APP_ variable, and what the process may use."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from plugins_on_disk import ROOT

from demo_app import machine
from demo_app.errors import SettingsError
from demo_app.settings import Settings, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"), [("1048576", 2**20), ("500M", 500 * 2**20), ("1.5GiB", 3 * 2**29), ("2 gb", 2**31), ("8k", 8192)]
)
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1", "5X", "1e9"])
def test_a_size_that_cannot_be_read_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError, match="500M"):
        parse_bytes(text)


def test_variables_are_read_and_overrides_win() -> None:
    environ = {"DEMO_APP_MAX_TEXT": "100", "DEMO_APP_ONLY": "a, b", "DEMO_APP_STRICT": "yes", "DEMO_APP_PORT": "8000"}
    settings = Settings.from_env(environ, port=9000, device=None)
    assert (settings.max_text, settings.only, settings.strict, settings.port) == (100, ("a", "b"), True, 9000)


def test_a_variable_wins_over_a_default_and_an_override_over_both() -> None:
    defaults = {"title": "Named", "plugins_dir": Path("named"), "only": ("named",), "device": None}
    environ = {"DEMO_APP_PLUGINS_DIR": str(ROOT / "plugins"), "DEMO_APP_ONLY": "variable"}
    settings = Settings.from_env(environ, defaults=defaults, only=("option",), plugins_dir=None)
    assert (settings.title, settings.plugins_dir, settings.only) == ("Named", ROOT / "plugins", ("option",))
    assert settings.device is None


def test_a_default_that_is_no_setting_is_an_error() -> None:
    with pytest.raises(TypeError, match="plugin_dir"):
        Settings.from_env({}, defaults={"plugin_dir": Path("named")})


def test_a_program_cannot_show_a_space_as_private() -> None:
    assert Settings.from_env({"SPACE_ID": "someone/demo"}, defaults={"public": False}).public


def test_a_bad_value_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="DEMO_APP_QUEUE_SIZE: '0'"):
        Settings.from_env({"DEMO_APP_QUEUE_SIZE": "0"})


def test_a_variable_that_does_not_exist_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="DEMO_APP_MEMORY_BUDGET"):
        Settings.from_env({"DEMO_APP_MEMORY_BUDGT": "2G"})


@pytest.mark.parametrize(
    ("text", "path"), [("/demos/", "/demos"), ("/", ""), ("https://example.org/demos", "https://example.org/demos")]
)
def test_where_a_proxy_shows_the_page(text: str, path: str) -> None:
    assert Settings.from_env({"DEMO_APP_ROOT_PATH": text}).root_path == path


@pytest.mark.parametrize("text", ["demos", "/demos?x=1", "ftp://example.org/"])
def test_what_is_no_path_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError, match=r"DEMO_APP_ROOT_PATH: .* write for example /demos"):
        Settings.from_env({"DEMO_APP_ROOT_PATH": text})


def test_a_space_is_public() -> None:
    assert Settings.from_env({"SPACE_ID": "someone/demo"}).public
    assert not Settings.from_env({}).public


def test_the_docs_list_every_variable() -> None:
    text = (ROOT / "docs" / "hosting.md").read_text()
    for field in fields(Settings):
        assert f"`DEMO_APP_{field.name.upper()}`" in text


def test_the_budget_is_60_percent_of_what_the_process_may_use() -> None:
    assert Settings().budget == int(0.6 * machine.memory())
    assert Settings(memory_budget=5).budget == 5
