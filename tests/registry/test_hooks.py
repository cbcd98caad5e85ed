"""What `register_demos` may return, and what is said of everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

from demo_app import Checkpoint, Demo, hookimpl, hookspecs
from demo_app.errors import SettingsError
from demo_app.registry.loading import MOST_DEMOS, add_checkpoint, call_hook, find_demo
from demo_app.registry.plugin import Plugin, PluginError

PLUGIN = Plugin(name="tried", value="tried_module", distribution="tried", version="1", source="installed")


def demo(name: str = "tried", **fields: Any) -> Demo[Any]:
    return Demo(name=name, title="T", summary="S", load=lambda folder, device: 1, build=lambda handle: None, **fields)


def manager() -> pluggy.PluginManager:
    made = pluggy.PluginManager(hookspecs.PROJECT)
    made.add_hookspecs(hookspecs)
    return made


def module(hook: Any, name: str = "register_demos") -> ModuleType:
    made = ModuleType("tried_module")
    setattr(made, name, hookimpl(hook))
    return made


class More(Demo[Any]):
    """A demo that has something of its own."""


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_the_demos_of_a_hook_are_its_demos_in_order(kind: Any) -> None:
    found = call_hook(PLUGIN, module(lambda: kind([demo("one"), demo("two")])), manager())
    assert [one.name for one in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "register_demos returned NoneType; return a list of Demo."),
        (3, "register_demos returned int; return a list of Demo."),
        (demo(), "register_demos returned Demo; return a list of Demo."),
        ([demo(), "text"], "register_demos returned a str in its list; return only Demo."),
        ([None], "register_demos returned a NoneType in its list; return only Demo."),
        ((demo() for _ in range(MOST_DEMOS + 1)), f"register_demos returned more than {MOST_DEMOS} demos"),
    ],
)
def test_what_is_no_list_of_demos_is_refused(returned: Any, sentence: str) -> None:
    registered, own = manager(), module(lambda: returned)
    with pytest.raises(PluginError) as caught:
        call_hook(PLUGIN, own, registered)
    assert caught.value.stage == "hook"
    assert sentence in str(caught.value)
    assert not registered.is_registered(own)


def test_as_many_demos_as_are_allowed_pass() -> None:
    assert len(call_hook(PLUGIN, module(lambda: [demo()] * MOST_DEMOS), manager())) == MOST_DEMOS


def test_a_module_without_a_hook_and_a_misspelt_hook_are_told_the_name() -> None:
    with pytest.raises(PluginError, match=r"tried_module has no @demo_app.hookimpl function; write `register_demos`"):
        call_hook(PLUGIN, ModuleType("tried_module"), manager())
    with pytest.raises(PluginError, match="no hook 'registerdemos'; did you mean 'register_demos'"):
        call_hook(PLUGIN, module(lambda: [], "registerdemos"), manager())
    with pytest.raises(PluginError, match=r"the hook does not fit: .*; write `def register_demos"):
        call_hook(PLUGIN, module(lambda settings: []), manager())


def test_one_module_behind_two_entry_points_is_refused_the_second_time() -> None:
    registered, own = manager(), module(lambda: [demo()])
    call_hook(PLUGIN, own, registered)
    with pytest.raises(PluginError, match="tried_module is registered already, as tried/tried; remove one"):
        call_hook(PLUGIN, own, registered)
    assert registered.is_registered(own), "the first stays"


def test_each_module_is_asked_for_its_own_demos() -> None:
    registered = manager()
    call_hook(replace(PLUGIN, name="first"), module(lambda: [demo("first")]), registered)
    assert [one.name for one in call_hook(PLUGIN, module(lambda: [demo("second")]), registered)] == ["second"]


def test_subclasses_come_back_as_demos_and_checkpoints_with_the_same_fields(tmp_path: Path) -> None:
    class Own(Checkpoint):
        """A checkpoint that has something of its own."""

    checkpoint = Own(name="own", title="Own", folder=tmp_path, files=("a",), license="mit")
    plain = demo(checkpoints=(Checkpoint(name="own", title="Own", folder=tmp_path, files=("a",), license="mit"),))
    for returned in (demo(checkpoints=(checkpoint,)), More(**vars(demo(checkpoints=(checkpoint,))))):
        (found,) = call_hook(PLUGIN, module(lambda returned=returned: [returned]), manager())
        assert type(found) is Demo
        assert found.checkpoints == plain.checkpoints
        assert type(found.checkpoints[0]) is Checkpoint
        assert (found.name, found.title, found.summary, found.load) == (
            returned.name, returned.title, returned.summary, returned.load
        )  # fmt: skip
    as_it_was = demo()
    assert call_hook(PLUGIN, module(lambda: [as_it_was]), manager())[0] is as_it_was


def test_a_demo_is_found_by_its_name_and_all_names_are_listed_otherwise() -> None:
    plugins = [PLUGIN, Plugin(name="b", value="b", distribution="b", version="1", source="folder", demos=(demo("it"),))]
    assert find_demo(plugins, "it") == (plugins[1], plugins[1].demos[0])
    with pytest.raises(SettingsError, match="there is no demo 'other'; there are: it"):
        find_demo(plugins, "other")
    with pytest.raises(SettingsError, match="there are: none"):
        find_demo([PLUGIN], "other")


def test_a_folder_becomes_a_checkpoint_of_its_demo_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    for name in ("b.txt", "a.txt"):
        (folder / name).write_text("x")
    others = [Plugin(name="o", value="o", distribution="o", version="1", source="folder", demos=(demo("other"),))]
    owner = Plugin(name="p", value="p", distribution="p", version="1", source="folder", demos=(demo("x"), demo("it")))
    first, second = add_checkpoint([*others, owner], "it", folder)
    assert first is others[0]
    assert [len(one.checkpoints) for one in second.demos] == [0, 1]
    (added,) = second.demos[1].checkpoints
    assert (added.name, added.files, added.folder) == ("mine", ("a.txt", "b.txt"), folder.resolve())
    with pytest.raises(SettingsError, match="mine"):
        add_checkpoint([first, second], "it", folder)
    with pytest.raises(SettingsError, match="is no folder"):
        add_checkpoint([owner], "it", folder / "a.txt")
    with pytest.raises(SettingsError, match=r"no card in .* says which demo"):
        add_checkpoint([owner], "", folder)
    (folder / "README.md").write_text("---\ndemo: it\n---\n")
    assert [len(one.checkpoints) for one in add_checkpoint([owner], "", folder)[0].demos] == [0, 1]
