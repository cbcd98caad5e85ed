"""Plugins are found, checked and registered one at a time; what is wrong with one is recorded in it."""

from __future__ import annotations

import sys
from typing import Any

from demo_app.errors import DemoError
from demo_app.i18n import merged, speaking
from demo_app.registry.loading import load_plugins
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.settings import Settings

HOOK = """
from demo_app import Demo, hookimpl
def load(folder, device): return object()
def build(handle): pass
"""


def test_missing_requirement_names_it_and_the_command_that_installs_it(plugins: Any) -> None:
    plugins.add("needy", "raise AssertionError('must not be imported')", requires=("demo-app", "no-such-thing>=2"))
    (plugin,) = load_plugins(Settings(plugins_dir=plugins.path))
    assert (plugin.state, plugin.stage) == ("failed", "discovery")
    assert "no-such-thing" in plugin.reason
    assert "pip install 'no-such-thing>=2'" in plugin.reason


def test_too_old_a_requirement_says_what_is_installed(plugins: Any) -> None:
    plugins.add("needy", "", requires=("demo-app", "pluggy>=99"))
    (plugin,) = load_plugins(Settings(plugins_dir=plugins.path))
    assert "needs pluggy>=99" in plugin.reason
    assert "is installed" in plugin.reason


def test_unreadable_pyproject_is_one_failed_plugin(plugins: Any) -> None:
    plugins.add_good("good")
    bad = plugins.path / "bad"
    bad.mkdir()
    (bad / "pyproject.toml").write_text("[project\nname=")
    states = {plugin.name: (plugin.state, plugin.stage) for plugin in load_plugins(Settings(plugins_dir=plugins.path))}
    assert states == {"bad": ("failed", "discovery"), "good": ("ok", None)}


def test_a_plugin_registers_all_its_demos_or_none(plugins: Any) -> None:
    plugins.add(
        "pair",
        HOOK
        + "@hookimpl\ndef register_demos():\n"
        + "  yield Demo(name='one', title='t', summary='s', load=load, build=build)\n"
        + "  yield 'not a demo'",
    )
    (plugin,) = load_plugins(Settings(plugins_dir=plugins.path))
    assert plugin.state == "failed"
    assert plugin.demos == ()


def test_disabled_plugins_are_not_imported(plugins: Any) -> None:
    plugins.add("noisy", "raise AssertionError('imported')")
    plugins.add_good("good")
    for settings in (
        Settings(plugins_dir=plugins.path, disable=("noisy",)),
        Settings(plugins_dir=plugins.path, only=("demo-good",)),
    ):
        states = {plugin.name: plugin.state for plugin in load_plugins(settings)}
        assert states == {"noisy": "disabled", "good": "ok"}


def test_the_plugins_folder_comes_last_on_the_path(plugins: Any) -> None:
    folder = plugins.add_good("good")
    load_plugins(Settings(plugins_dir=plugins.path))
    assert sys.path[-1] == str(folder.resolve())


def test_the_reason_of_a_failure_is_in_the_language_of_whoever_asks() -> None:
    plugin = Plugin(name="a", value="a", distribution="a", version="1", source="installed")
    german = merged([{"de": {"{module} has no hook.": "{module} hat keinen Hook."}}])
    for error in (PluginError("hook", "{module} has no hook.", module="a"), DemoError("It {is} odd.")):
        failed = plugin.failed("hook", error)
        assert failed.reason == str(error)
        with speaking(german, "de"):
            assert failed.reason == ("a hat keinen Hook." if error.values else str(error))
