"""Each row of the design's table "Rules that keep one plugin from breaking another", with a real plugin on disk."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from plugins_on_disk import ROOT

from demo_app.registry.loading import load_plugins
from demo_app.registry.plugin import PluginError
from demo_app.serving import client
from demo_app.settings import Settings

HOOK = """
from demo_app import Demo, hookimpl
def load(folder, device): return object()
def build(handle): pass
"""

BROKEN: dict[str, tuple[str, str, str]] = {
    # what breaks: (code, the stage that says so, what the reason names)
    "import": ("import a_module_that_nobody_has", "import", "a_module_that_nobody_has"),
    "syntax": ("def register_demos(:", "import", "SyntaxError"),
    "exit": ("import sys; sys.exit('no')", "import", "SystemExit"),
    "signature": (HOOK + "@hookimpl\ndef register_demos(app): return []", "hook", "def register_demos():"),
    "misspelt": (HOOK + "@hookimpl\ndef register_demo(): return []", "hook", "'register_demos'"),
    "no_hook": (HOOK + "def register_demos(): return []", "hook", "hookimpl"),
    "not_a_demo": (HOOK + "@hookimpl\ndef register_demos(): return [{'name': 'x'}]", "hook", "dict"),
    "no_list": (HOOK + "@hookimpl\ndef register_demos(): return None", "hook", "NoneType"),
    "hook_raises": (HOOK + "@hookimpl\ndef register_demos(): raise KeyError('weights')", "hook", "KeyError"),
    "bad_demo": (
        HOOK
        + "@hookimpl\ndef register_demos():\n"
        + "  yield Demo(name='A B', title='t', summary='s', load=load, build=build)",
        "hook",
        "slug",
    ),
    "build_raises": (
        HOOK
        + "def build(handle):\n  import gradio as gr\n  gr.Textbox(label='half built')\n  1 / 0\n"
        + "@hookimpl\ndef register_demos():\n"
        + "  return [Demo(name='build_raises', title='Raises', summary='s', load=load, build=build)]",
        "build",
        "ZeroDivisionError",
    ),
    "nested_build_raises": (
        HOOK
        + "def build(handle):\n  import gradio as gr\n  try:\n    with gr.Blocks():\n      1 / 0\n"
        + "  except ZeroDivisionError: pass\n"
        + "@hookimpl\ndef register_demos():\n"
        + "  return [Demo(name='nested', title='Nested', summary='s', load=load, build=build)]",
        "build",
        "gr.Blocks",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_broken_plugin_is_one_greyed_tab_with_the_reason(what: str, plugins: Any, host: Any) -> None:
    code, stage, named = BROKEN[what]
    plugins.add_good("before", order=1)
    plugins.add(what, code)
    plugins.add_good("later", order=2)

    server = host()

    failed = {plugin.name: plugin for plugin in server.app.plugins if plugin.state == "failed"}
    assert list(failed) == [what]
    assert failed[what].stage == stage
    assert named in failed[what].reason
    assert client.run(server.url, "before_shout", "hello").json()["data"] == ["HELLO"]
    assert client.call(server.url, "later_shout_queued", "hello") == ("complete", ["HELLO"])
    page = client.text_of(server.url)
    assert "is not available" in page
    assert "half built" not in page
    assert len(client.tab_names(server.url)) == 4  # two good ones, the failed one, status


@pytest.mark.parametrize("what", BROKEN)
def test_strict_mode_raises_the_first_failure_whole(what: str, plugins: Any) -> None:
    from demo_app.page.app import create_app

    code, stage, named = BROKEN[what]
    plugins.add(what, code)
    with pytest.raises(PluginError, match=re.escape(named)) as caught:
        create_app(Settings(plugins_dir=plugins.path, strict=True))
    assert caught.value.stage == stage


def test_missing_requirement_names_it_and_the_command_that_mends_it(plugins: Any) -> None:
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


def test_two_demos_of_one_name_name_both_providers(plugins: Any, host: Any) -> None:
    plugins.add_good("first")
    good = (plugins.path / "first").glob("*.py")
    plugins.add("second", next(iter(good)).read_text())
    server = host()
    second = next(plugin for plugin in server.app.plugins if plugin.name == "second")
    assert (second.state, second.stage) == ("failed", "names")
    assert "demo-first 0.1.0" in second.reason
    assert "demo-second 0.1.0" in second.reason
    assert client.run(server.url, "first_shout", "hello").json()["data"] == ["HELLO"]


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


def test_equal_api_names_of_two_demos_stay_stable(plugins: Any, host: Any) -> None:
    plugins.add_good("one", order=2)
    plugins.add_good("two", order=1)
    server = host()
    names = {d["api_name"] for d in client.config(server.url)["dependencies"] if d["api_visibility"] == "public"}
    assert {"one_shout", "one_shout_queued", "two_shout", "two_shout_queued"} <= names
    assert not any(name.endswith("_1") for name in names)


def test_api_names_that_meet_after_prefixing_fail_the_later_demo(plugins: Any, host: Any) -> None:
    code = HOOK.replace(
        "def build(handle): pass",
        "def build(handle):\n  import gradio as gr\n  gr.Button().click(lambda: None, api_name='{api}')",
    )
    hook = "@hookimpl\ndef register_demos(): return [Demo(name='{n}', title='t', summary='s', load=load, build=build)]"
    plugins.add("a", code.replace("{api}", "b_go") + hook.replace("{n}", "a"))
    plugins.add("a_b", code.replace("{api}", "go") + hook.replace("{n}", "a_b"))
    failed = [plugin for plugin in host().app.plugins if plugin.state == "failed"]
    assert [plugin.name for plugin in failed] == ["a_b"]
    assert "/a_b_go" in failed[0].reason


RENDER = (
    HOOK.replace("def build(handle): pass", "")
    + """
def build(handle):
    import gradio as gr
    box = gr.Textbox(label="in {n}")
    @gr.render(inputs=box)
    def show(text):
        gr.Markdown("{n} says " + (text or "nothing"))
@hookimpl
def register_demos(): return [Demo(name='{n}', title='{n}', summary='s', load=load, build=build)]
"""
)


def test_two_demos_with_render_have_ids_of_their_own(plugins: Any, host: Any) -> None:
    for name in ("left", "right"):
        plugins.add(name, RENDER.replace("{n}", name))
    server = host()
    ids = [r._id for tab in server.app.tabs if tab.blocks is not None for r in tab.blocks.renderables]
    assert len(ids) == 2
    assert len(set(ids)) == 2


def test_a_raising_handler_tells_the_visitor_nothing_of_the_inside(plugins: Any, host: Any, caplog: Any) -> None:
    plugins.add_good("good")
    server = host()
    with caplog.at_level(logging.ERROR):
        answer = client.run(server.url, "good_shout", "boom")
    assert "shadow" not in answer.text
    number = answer.json()["error"].rstrip(".").rsplit(" ", 1)[1]
    logged = next(record for record in caplog.records if number in record.getMessage())
    assert "good/shout" in logged.getMessage()
    assert logged.exc_info is not None
    assert client.run(server.url, "good_shout", "still here").json()["data"] == ["STILL HERE"]


def test_a_demo_error_reaches_the_visitor_as_it_is(plugins: Any, host: Any) -> None:
    plugins.add_good("good")
    server = host()
    assert client.run(server.url, "good_shout", "  ").json()["error"] == "Write something first."
    assert client.call(server.url, "good_shout_queued", "  ")[1]["error"] == "Write something first."


def test_a_reason_with_markup_is_shown_not_run(plugins: Any, host: Any) -> None:
    plugins.add("evil", "raise RuntimeError('<img src=x onerror=alert(1)>')")
    page = client.text_of(host().url)
    assert "&lt;img src=x" in page
    assert "<img src=x" not in page


def test_tabs_stand_in_order_then_name_and_failed_ones_last(plugins: Any, host: Any) -> None:
    plugins.add("aaa", "import nothing_of_this_name")
    plugins.add_good("zebra", order=1)
    plugins.add_good("bear", order=2)
    plugins.add_good("ant", order=2)
    assert client.tab_names(host().url) == ["zebra", "ant", "bear", "aaa", "status"]


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


EXAMPLES = (
    HOOK
    + """
def build(handle):
    import gradio as gr
    box, out = gr.Textbox(label="in"), gr.Textbox(label="out")
    examples = gr.Examples([["hello"]], box, out, fn=lambda text: "{n} says " + text, cache_examples=True)
@hookimpl
def register_demos(): return [Demo(name="{n}", title="{n}", summary="s", load=load, build=build)]
"""
)


def test_cached_examples_stay_with_their_demo_when_plugins_come_and_go(plugins: Any, tmp_path: Any) -> None:
    for name in ("a", "b"):
        plugins.add(name, EXAMPLES.replace("{n}", name))

    def answer(disable: str) -> str:  # each start is a process of its own: that is what numbers components anew
        code = (
            "import json, sys, httpx; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path; from demo_app.testing import serve\n"
            "with serve(plugins_dir=Path(sys.argv[2]), disable=(sys.argv[3],)) as server:\n"
            "    body = {'data': [0], 'session_hash': 'x'}\n"
            "    url = server.url + 'gradio_api/run/b_load_example'\n"
            "    print(httpx.post(url, json=body, timeout=60).text)\n"
        )
        command = [sys.executable, "-c", code, str(ROOT), str(plugins.path), disable]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout + done.stderr

    assert "b says hello" in answer(disable="nobody")
    assert "b says hello" in answer(disable="a")


def test_no_plugins_is_a_page_too(plugins: Any, host: Any) -> None:
    plugins.path.mkdir()
    assert client.tab_names(host().url) == ["status"]


def test_only_launch_makes_a_web_server(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import routes

    from demo_app.testing import serve

    plugins.add_good("one")
    plugins.add("two", BROKEN["build_raises"][0])
    made, create = [], routes.App.create_app

    def count(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return create(*args, **kwargs)

    monkeypatch.setattr(routes.App, "create_app", staticmethod(count))
    with serve(plugins_dir=plugins.path) as server:
        assert len(made) == 1
        assert client.call(server.url, "one_shout_queued", "hello") == ("complete", ["HELLO"])
    assert routes.App.create_app is count
