"""The books of the memory budget: what counts, at which byte it is full, who goes first, and what a page is shown."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sized_models import MB, Weights, demo_of

from demo_app import Checkpoint, Demo, InputError
from demo_app.models import checkpoints
from demo_app.models.checkpoints import default_checkpoint, files_in, label_of, size_text, where
from demo_app.models.slots import Slot, Slots
from demo_app.models.state import LoadError, State


def weigh(folder: Path, device: str) -> Weights:
    """A model as large as the name of its folder says."""
    return Weights(int(folder.name))


def slots_of(budget: int, patience: float = 0.0) -> Slots:
    return Slots(budget, patience, "cpu")


def made(slots: Slots, tmp_path: Path, *sizes: int) -> list[Slot]:
    demo = demo_of(tmp_path, weigh, *(str(size) for size in sizes))
    return [slots.slot(demo, checkpoint) for checkpoint in demo.checkpoints]


def load(slots: Slots, *some: Slot) -> None:
    for slot in some:
        with slots.lease(slot):
            pass


def test_a_load_is_counted_and_its_state_shown(tmp_path: Path) -> None:
    slots = slots_of(10 * MB)
    one, other = made(slots, tmp_path, MB, 2 * MB)
    assert (len(slots), slots.bytes, slots.loaded, slots.loads, slots.evictions) == (2, 0, 0, 0, 0)
    assert one.state == State(status="absent")
    before = time.time()
    with slots.lease(one) as model:
        assert model is one.model
        assert (one.leases, other.leases) == (1, 0)
        assert (slots.loaded, slots.loads) == (1, 1)
        assert not one.evictable
    assert one.leases == 0
    assert one.evictable
    assert (one.state.status, one.state.bytes, one.state.reason) == ("ready", MB, "")
    assert one.state.seconds > 0
    assert before <= one.state.last_used <= time.time()
    load(slots, one, other)
    assert (slots.bytes, slots.loaded, slots.loads, slots.evictions) == (3 * MB, 2, 2, 0)
    assert slots.find("sized", str(MB)) is one
    assert slots.find("sized", "9") is None
    assert slots.all() == [one, other]


@pytest.mark.parametrize(("budget", "evictions"), [(5 * MB, 0), (5 * MB - 1, 1)])
def test_the_budget_is_full_at_its_last_byte(budget: int, evictions: int, tmp_path: Path) -> None:
    slots = slots_of(budget)
    load(slots, *made(slots, tmp_path, 2 * MB, 3 * MB))
    assert slots.evictions == evictions
    assert slots.bytes == (3 * MB if evictions else 5 * MB)


@pytest.mark.parametrize(("budget", "fits"), [(MB, True), (MB - 1, False)])
def test_a_model_may_have_all_of_the_budget_and_no_more(budget: int, fits: bool, tmp_path: Path) -> None:
    slots = slots_of(budget)
    (slot,) = made(slots, tmp_path, MB)
    if fits:
        return load(slots, slot)
    with pytest.raises(LoadError, match=r"needs 1\.0 MB of memory and the budget is 1000\.0 kB") as caught:
        load(slots, slot)
    assert slot.state.status == "failed"
    assert slot.state.reason == str(caught.value)
    assert (slots.bytes, slots.loads, slot.model, slot.attempt) == (0, 0, None, None)


def test_as_many_go_as_are_needed_and_the_one_that_was_idle_for_longest_first(tmp_path: Path) -> None:
    slots = slots_of(10 * MB)
    a, b, c, big = made(slots, tmp_path, 2 * MB, 3 * MB, 4 * MB, 6 * MB)
    load(slots, a, b, c, a)
    load(slots, big)
    assert [slot.model is not None for slot in (a, b, c, big)] == [True, False, False, True]
    assert (slots.evictions, slots.bytes) == (2, 8 * MB)
    assert b.state == State(status="absent")


def test_where_all_is_in_use_the_numbers_are_said(tmp_path: Path) -> None:
    slots = slots_of(5 * MB)
    a, b = made(slots, tmp_path, 4 * MB, 2 * MB)
    with slots.lease(a), pytest.raises(LoadError, match=r"needs 2\.0 MB, but running requests use 4\.0 MB of 5\.0 MB"):
        load(slots, b)
    load(slots, b)
    assert (a.model, slots.bytes) == (None, 2 * MB)


def test_what_is_borrowed_makes_room_and_is_given_back(tmp_path: Path) -> None:
    slots = slots_of(10 * MB)
    a, b = made(slots, tmp_path, 4 * MB, 5 * MB)
    load(slots, a, b)
    with slots.borrow(MB):
        assert slots.evictions == 0
        assert slots.bytes == 9 * MB, "of models alone"
    with slots.borrow(2 * MB):
        assert (a.model, slots.bytes, slots.evictions) == (None, 5 * MB, 1)
        with slots.lease(b), slots.borrow(100 * MB):  # never refused, though nothing more can go
            assert b.model is not None
        with pytest.raises(LoadError, match=r"use 7\.0 MB of 10\.0 MB"), slots.lease(b):
            load(slots, a)
    load(slots, a)
    assert (slots.bytes, slots.evictions) == (9 * MB, 1)


def test_who_waits_for_memory_goes_on_when_it_is_given_back(tmp_path: Path) -> None:
    slots = slots_of(5 * MB, patience=60)
    a, b = made(slots, tmp_path, 4 * MB, 2 * MB)
    inside, leave = threading.Event(), threading.Event()

    def use() -> None:
        with slots.lease(a):
            inside.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(use)
        assert inside.wait(60)
        second = pool.submit(load, slots, b)
        assert not second.done()
        leave.set()
        first.result(60)
        second.result(60)
    assert slots.bytes == 2 * MB


def test_only_what_is_loaded_and_idle_is_unloaded(tmp_path: Path) -> None:
    slots = slots_of(5 * MB)
    (slot,) = made(slots, tmp_path, MB)
    assert not slots.unload(slot)
    with slots.lease(slot):
        assert not slots.unload(slot)
    assert slots.unload(slot)
    assert (slot.model, slot.state, slots.bytes) == (None, State(), 0)


def test_a_released_slot_goes_at_once_or_with_its_last_use(tmp_path: Path) -> None:
    slots = slots_of(10 * MB)
    idle, used, never = made(slots, tmp_path, MB, 2 * MB, 3 * MB)
    load(slots, idle)
    with slots.lease(used):
        with slots.lease(used):
            slots.release([idle, used, never])
            assert (slots.all(), idle.model) == ([used], None)
        assert slots.all() == [used], "somebody else has it still"
        with pytest.raises(InputError, match="was given up meanwhile; choose another"):
            load(slots, used)
    assert (slots.all(), used.model, slots.bytes) == ([], None, 0)


def test_a_load_that_returns_nothing_is_refused(tmp_path: Path) -> None:
    slots = slots_of(MB)
    slot = slots.slot(demo_of(tmp_path, lambda folder, device: None), None)
    with pytest.raises(LoadError, match="its load returned nothing; it must return a model"):
        load(slots, slot)


def test_a_models_slot_on_the_gpu_is_apart_and_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = slots_of(MB)
    (here,) = made(slots, tmp_path, MB)
    monkeypatch.setattr("demo_app.zerogpu.on_gpu", lambda: True)
    (there,) = made(slots, tmp_path, MB)
    assert there is not here
    load(slots, here, there)
    assert (slots.bytes, slots.loaded, slots.evictions, slots.all()) == (MB, 1, 0, [here])
    assert not there.evictable
    assert len(slots) == 2


def test_in_a_copy_of_the_process_nothing_is_in_use(tmp_path: Path) -> None:
    slots = slots_of(5 * MB)
    (slot,) = made(slots, tmp_path, MB)
    with slots.lease(slot), slots.borrow(MB):
        slots._renew()
        assert (slot.leases, slot.attempt, slot.evictable) == (0, None, True)
        assert slots._in_use() == MB
        slot.leases, slots._borrowed = 1, MB  # as it was, for the end of the `with`


# Which checkpoint, and how a page names it


def at(tmp_path: Path, name: str, taken: int = 0, **fields: Any) -> Checkpoint:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(b"0" * taken)
    return Checkpoint(name=name, title=name.title(), folder=folder, files=("model.bin",), **fields)


def far(**fields: Any) -> Checkpoint:
    known = {"name": "far", "title": "Far", "repo_id": "some/model", "revision": "0" * 40, "files": ("model.bin",)}
    return Checkpoint(**(known | fields))


def test_the_default_is_one_from_the_hub_that_is_here_else_an_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, distant = at(tmp_path, "near"), far()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    for offered, chosen in (((distant, near), near), ((near,), near), ((distant,), distant), ((), None)):
        assert default_checkpoint(demo_with(*offered)) is chosen
    assert [where(near), where(distant)] == ["embedded", "to be fetched"]
    snapshot = tmp_path / "cache" / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.bin").write_bytes(b"")
    assert default_checkpoint(demo_with(near, distant)) is distant
    assert where(distant) == "on disk"
    assert near.folder is not None
    (near.folder / "model.bin").unlink()
    assert where(near) == "missing"


def demo_with(*offered: Checkpoint) -> Demo[Any]:
    return Demo(name="d", title="D", summary="s", load=weigh, build=lambda _: None, checkpoints=offered)


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({}, "Near (1.5 kB, embedded)"),
        ({"license": "mit"}, "Near (1.5 kB, mit, embedded)"),
        ({"license": "mit", "size": 2 * MB}, "Near (2.0 MB, mit, embedded)"),
    ],
)
def test_a_label_has_size_licence_and_place(fields: dict[str, Any], label: str, tmp_path: Path) -> None:
    assert label_of(at(tmp_path, "near", 1500, **fields), "embedded") == label


def test_the_label_of_what_has_no_size_has_none() -> None:
    assert label_of(far(), "to be fetched") == "Far (to be fetched)"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (MB, "1.0 MB"),
        (999_900_000, "999.9 MB"),
        (10**9, "1.0 GB"),
        (12_340_000_000, "12.3 GB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert size_text(count) == text


def test_a_folder_is_a_checkpoint_if_it_has_the_files_of_one_of_the_demos(tmp_path: Path) -> None:
    small, large = at(tmp_path, "small"), far(files=("model.bin", "more.bin"))
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(InputError, match=r"The folder mine lacks model\.bin; choose one"):
        files_in(demo_with(large, small), folder)
    (folder / "model.bin").write_bytes(b"")
    assert files_in(demo_with(large, small), folder) == ("model.bin",)
    (folder / "more.bin").write_bytes(b"")
    assert files_in(demo_with(small, large), folder) == ("model.bin", "more.bin"), "the most that it has"
    with pytest.raises(InputError, match="has no checkpoints"):
        files_in(demo_with(), folder)


def test_what_is_on_the_hub_alone_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for size, said in ((None, "on this disk yet: press"), (2 * MB, r"on this disk yet \(2\.0 MB\): press")):
        with pytest.raises(checkpoints.NotFetched, match=f"D: Far is not {said} Fetch .* demo-app download d/far"):
            checkpoints.folder_of(demo_with(), far(size=size))
    assert checkpoints.folder_of(demo_with(), None) is None
