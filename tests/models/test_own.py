"""Checkpoints of a visitor's own: used by their secret names, offered to nobody else, gone without a trace."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sized_models import MB, Weights, demo_of, models_of, own_folder

from demo_app import Demo, DemoError, InputError
from demo_app.models.demo_models import DemoModels
from demo_app.models.state import LoadError


def test_a_visitors_own_checkpoint_is_used_by_its_name_and_nothing_remains_of_it(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    handle = DemoModels(demo=demo, models=models)
    slots = len(models._slots)
    for run in range(10):
        own = models.add_own(demo, own_folder(tmp_path, f"run {run}"), title=f"run {run}", visitor="me")
        with handle.use(own.name) as model:
            assert model.array.nbytes == MB
        assert handle.folder(own.name) == own.folder
        assert models.bytes == MB
        assert models.loaded == 1
        assert models.remove_own(demo, own.name)
        assert not models.remove_own(demo, own.name)
        with pytest.raises(InputError, match="has no checkpoint of your own"):
            handle.folder(own.name)
        with pytest.raises(InputError, match="has no checkpoint of your own"), handle.use(own.name):
            pass
    assert len(models._slots) == slots
    assert (models.bytes, models.own_states(), len(models._own)) == (0, [], 0)


def test_an_own_checkpoint_is_offered_to_nobody_else_and_goes_with_its_visitor(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    other = Demo(name="other", title="Other", summary="s", load=demo.load, build=demo.build, checkpoints=())
    handle, folder = DemoModels(demo=demo, models=models), own_folder(tmp_path, size=MB)
    mine, twin = (models.add_own(demo, folder, title="Mine", visitor="me") for _ in range(2))
    theirs = models.add_own(demo, folder, title="<b>", visitor="them")
    models.add(demo)
    assert len({mine.name, twin.name, theirs.name}) == 3
    assert handle.choices("me")[1:] == [("Mine (1.0 MB, your own)", mine.name), ("Mine (1.0 MB, your own)", twin.name)]
    assert len(handle.choices()) == len(handle.choices("a stranger")) == 1
    assert models.visitor_of(demo, theirs.name) == "them"
    assert [checkpoint.name for _, checkpoint, _ in models.states() if checkpoint] == ["a"]
    with pytest.raises(InputError, match="Other has no checkpoint"):
        models.checkpoint(other, mine.name)
    models.leave("me")
    assert models.own(demo, "me") == []
    assert models.own(demo, "them") == [theirs]
    with pytest.raises(InputError, match="has no checkpoint"):
        models.state(demo, mine.name)


def test_a_checkpoint_removed_in_use_goes_when_the_use_ends(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    own = models.add_own(demo, own_folder(tmp_path), title="mine", visitor="me")
    with models.use(demo, own.name) as one:
        with models.use(demo, own.name) as other:
            assert models.remove_own(demo, own.name)
            with pytest.raises(InputError), models.use(demo, own.name):
                pass
        assert one is other
        assert models.bytes == MB, "the budget counts it while it is used"
    assert (models.bytes, len(models._slots)) == (0, 0)


@pytest.mark.parametrize("fails", [False, True])
def test_a_checkpoint_removed_while_it_loads_never_stays(tmp_path: Path, fails: bool) -> None:
    loading, release = threading.Event(), threading.Event()

    def load(folder: Path | None, device: str) -> Weights:
        loading.set()
        assert release.wait(30)
        if fails:
            raise DemoError("It does not fit; choose another.")
        return Weights(MB)

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load, "a")
    own = models.add_own(demo, own_folder(tmp_path), title="mine", visitor="me")

    def use() -> str:
        try:
            with models.use(demo, own.name):
                return "used"
        except DemoError as error:
            return str(error)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(use)
        assert loading.wait(30)
        models.leave("me")
        release.set()
        assert asked.result() == (
            "It does not fit; choose another."
            if fails
            else "Sized: mine was given up meanwhile; choose another checkpoint."
        )
    assert (models.bytes, len(models._slots)) == (0, 0)


def test_the_model_of_an_own_checkpoint_makes_room_for_others(tmp_path: Path) -> None:
    models = models_of(2 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a", "b")
    own = models.add_own(demo, own_folder(tmp_path), title="mine", visitor="me")
    for name in (own.name, "a", "b"):
        with models.use(demo, name):
            pass
    assert (models.state(demo, own.name).status, models.evictions) == ("absent", 1)
    with models.use(demo, own.name):
        assert [state.status for _, states in models.own_states() for state in states] == ["ready"]
    assert models.unload(demo, own.name)


@pytest.mark.usefixtures("cheap_unloads")
def test_nothing_remains_when_many_come_ask_and_leave_at_the_same_time(tmp_path: Path) -> None:
    models = models_of(3 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    folder = own_folder(tmp_path)

    def use(name: str) -> bool:
        try:
            with models.use(demo, name):
                return True
        except InputError:
            return False

    def come_and_go(visitor: int) -> None:
        for step in range(20):
            own = models.add_own(demo, folder, title="mine", visitor=str(visitor))
            with ThreadPoolExecutor(2) as pool:
                asked = [pool.submit(use, own.name) for _ in range(step % 3)]
                models.leave(str(visitor))
            assert all(future.exception() is None for future in asked)
            assert not use(own.name)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(come_and_go, visitor) for visitor in range(3)]:
            future.result()
    assert (models.bytes, len(models._own), len(models._slots)) == (0, 0, 0)


def test_a_folder_that_lacks_files_or_loses_them_is_refused_with_the_remedy(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    folder = own_folder(tmp_path)
    own = models.add_own(demo, folder, title="mine", visitor="me")
    (folder / "model.bin").unlink()
    with (
        pytest.raises(LoadError, match=r"^Sized: mine lacks files by now.*choose another checkpoint\.$"),
        models.use(demo, own.name),
    ):
        pass
    with pytest.raises(InputError, match=r"^The folder mine lacks model\.bin; choose"):
        models.add_own(demo, folder, title="mine", visitor="me")
