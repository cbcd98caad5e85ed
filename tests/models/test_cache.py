"""One load under concurrent first uses, leases, eviction under the budget, failures that are not remembered."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo_app import Checkpoint, Demo, DemoError, InputError, machine
from demo_app.hub.errors import Cancelled, Gated, HubError
from demo_app.models.cache import Models
from demo_app.models.state import LoadError, NotFetched
from demo_app.settings import Settings
from demo_app.testing.faults import refuse, stall_body
from demo_app.testing.hub import Hub

MB = 10**6


class Weights:
    """A model of a known size."""

    def __init__(self, size: int) -> None:
        self.array = np.zeros(size, dtype=np.uint8)


def demo_of(tmp_path: Path, load: Any, *names: str, size: int = 0) -> Demo[Any]:
    checkpoints = []
    for name in names or ("tiny",):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.bin").write_bytes(b"0" * size)
        checkpoints.append(Checkpoint(name=name, title=name, folder=folder, files=("model.bin",)))
    return Demo(
        name="sized", title="Sized", summary="s", load=load, build=lambda _: None, checkpoints=tuple(checkpoints)
    )


def models_of(budget: int, **kwargs: Any) -> Models:
    return Models(Settings(memory_budget=budget, device="cpu"), **kwargs)


def test_sixteen_threads_load_once(tmp_path: Path) -> None:
    loads, gate = [], threading.Barrier(16)

    def load(folder: Path | None, device: str) -> Weights:
        loads.append(device)
        time.sleep(0.1)  # long enough that all others arrive while it loads
        return Weights(MB)

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load)

    def use() -> int:
        gate.wait()
        with models.use(demo) as model:
            return id(model)

    with ThreadPoolExecutor(16) as pool:
        seen = {future.result() for future in [pool.submit(use) for _ in range(16)]}
    assert loads == ["cpu"]
    assert len(seen) == 1
    assert models.state(demo).status == "ready"
    assert models.state(demo).bytes == MB
    assert models.loads == 1


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    models = models_of(2 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a", "b", "c")
    for name in ("a", "b", "a", "c"):
        with models.use(demo, name):
            pass
    assert [models.state(demo, name).status for name in "abc"] == ["ready", "absent", "ready"]
    assert models.evictions == 1
    assert models.bytes == 2 * MB


def test_a_leased_model_is_not_evicted(tmp_path: Path) -> None:
    models = models_of(2 * MB, patience=0.2)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a", "b", "c")
    with models.use(demo, "a"), models.use(demo, "b"):
        with pytest.raises(LoadError, match=r"running requests use 2\.0 MB of 2\.0 MB"), models.use(demo, "c"):
            pass
        assert models.state(demo, "a").status == models.state(demo, "b").status == "ready"
    with models.use(demo, "c"):
        assert models.state(demo, "c").status == "ready"


def test_a_load_waits_for_a_lease_to_end(tmp_path: Path) -> None:
    models = models_of(MB, patience=30)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a", "b")
    leased, release = threading.Event(), threading.Event()

    def hold() -> None:
        with models.use(demo, "a"):
            leased.set()
            release.wait(30)

    def wait_for_b() -> str:
        with models.use(demo, "b"):
            return models.state(demo, "a").status

    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold)
        assert leased.wait(30)
        waiting = pool.submit(wait_for_b)
        while models.state(demo, "b").status != "loading":
            assert not waiting.done()
        release.set()
        assert waiting.result(30) == "absent"
        holding.result(30)


def test_the_budget_holds_while_many_threads_use_many_models(tmp_path: Path) -> None:
    models = models_of(3 * MB, patience=60)
    names = tuple("abcdef")
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), *names, size=1000)
    worst = []

    def churn(seed: int) -> None:
        for step in range(40):
            with models.use(demo, names[(seed * 7 + step * 5) % 6]) as model:
                assert model.array.nbytes == MB
                worst.append(models.bytes)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(churn, seed) for seed in range(3)]:
            future.result(120)
    assert max(worst) <= 3 * MB
    assert models.evictions > 0


def test_a_failure_is_told_to_all_who_waited_and_not_remembered(tmp_path: Path) -> None:
    attempts = []
    gate = threading.Barrier(8)

    def load(folder: Path | None, device: str) -> Weights:
        attempts.append(1)
        time.sleep(0.1)
        if len(attempts) == 1:
            raise RuntimeError("a secret detail")
        return Weights(MB)

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load)

    def use() -> str:
        gate.wait()
        try:
            with models.use(demo):
                return "loaded"
        except DemoError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        answers = {future.result() for future in [pool.submit(use) for _ in range(8)]}
    assert len(answers) == 1
    assert "secret" not in answers.pop()
    assert models.state(demo).status == "failed"
    assert "RuntimeError" in models.state(demo).reason
    with models.use(demo):
        assert models.state(demo).status == "ready"
    assert len(attempts) == 2


def test_a_model_beyond_the_budget_is_refused_with_both_numbers(tmp_path: Path) -> None:
    models = models_of(2 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(5 * MB))
    with pytest.raises(LoadError, match=r"5\.0 MB.*2\.0 MB"), models.use(demo):
        pass
    assert models.bytes == 0


def test_a_file_beyond_the_budget_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    models = models_of(MB)
    demo = demo_of(tmp_path, lambda folder, device: pytest.fail("loaded"), size=3 * MB)
    with pytest.raises(LoadError, match=r"3\.0 MB.*1\.0 MB"), models.use(demo):
        pass


def test_refusing_a_giant_does_not_evict_the_others(tmp_path: Path) -> None:
    sizes = {"a": MB, "giant": 9 * MB}
    models = models_of(2 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(sizes[folder.name]), "a", "giant")
    with models.use(demo, "a"):
        pass
    with pytest.raises(LoadError), models.use(demo, "giant"):
        pass
    assert models.state(demo, "a").status == "ready"


def test_out_of_memory_says_what_to_do(tmp_path: Path) -> None:
    def load(folder: Path | None, device: str) -> Weights:
        raise MemoryError

    with pytest.raises(LoadError, match="unload another model"), models_of(MB).use(demo_of(tmp_path, load)):
        pass


@pytest.mark.parametrize("way", ["unload", "evict", "disown", "leave", "disown while leased"])
def test_a_lease_does_not_wait_while_memory_is_given_back(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = models_of(2 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a", "b", "c")
    own = (
        models.add_own(demo, tmp_path / "b", title="Mine", visitor="v") if way.startswith(("disown", "leave")) else None
    )
    name = own.name if own is not None else "b"
    with models.use(demo, name) as weights:
        freed = weakref.ref(weights)
    del weights
    with models.use(demo, "a"):
        pass
    leased_beside: list[bool] = []

    def lease() -> None:
        with models.use(demo, "a"):
            pass

    def give_back_memory() -> None:
        assert freed() is None
        beside = threading.Thread(target=lease, daemon=True)
        beside.start()
        beside.join(10)
        leased_beside.append(not beside.is_alive())

    monkeypatch.setattr(machine, "give_back_memory", give_back_memory)
    with models.use(demo, "a"):  # so that the other model is the one to be evicted
        if way == "unload":
            assert models.unload(demo, name)
        elif way == "evict":
            with models.use(demo, "c"):
                pass
        elif way == "leave":
            models.leave("v")
        elif way == "disown":
            assert models.remove_own(demo, name)
        else:
            with models.use(demo, name):
                assert models.remove_own(demo, name)
                assert leased_beside == []
    assert leased_beside == [True]


def test_unload_frees_what_nobody_uses(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB))
    with models.use(demo):
        assert not models.unload(demo)
    assert models.unload(demo)
    assert models.bytes == 0
    assert models.state(demo).status == "absent"


def test_an_unknown_checkpoint_is_an_input_error_that_names_the_known(tmp_path: Path) -> None:
    models = models_of(MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(1), "a", "b")
    with pytest.raises(InputError, match="choose one of: a, b"), models.use(demo, "c"):
        pass


def test_an_embedded_checkpoint_with_a_file_missing_is_named(tmp_path: Path) -> None:
    demo = demo_of(tmp_path, lambda folder, device: Weights(1), "a")
    (tmp_path / "a" / "model.bin").unlink()
    models = models_of(MB)
    with pytest.raises(DemoError, match=r"model\.bin"), models.use(demo):
        pass


def test_a_demo_without_checkpoints_loads_from_nothing() -> None:
    demo = Demo(name="bare", title="Bare", summary="s", load=lambda folder, device: [folder], build=lambda _: None)
    with models_of(MB).use(demo) as model:
        assert model == [None]


def test_bytes_of_torch_modules_count_shared_tensors_once() -> None:
    import torch

    from demo_app.machine import size_of

    module = torch.nn.ModuleDict({"a": torch.nn.Linear(10, 10, bias=False), "b": torch.nn.Linear(10, 10, bias=False)})
    assert size_of(module) == 800
    module["b"].weight = module["a"].weight
    assert size_of(module) == 400
    assert size_of({"model": [module], "labels": ("x", "y")}) == 400


def test_small_models_compute_on_one_thread_and_large_ones_on_all(tmp_path: Path) -> None:
    import torch

    sizes = {"small": MB, "large": 40 * MB}
    models = Models(Settings(memory_budget=100 * MB, device="cpu", threads=2))
    demo = demo_of(tmp_path, lambda folder, device: Weights(sizes[folder.name]), "small", "large")
    for name, threads in (("small", 1), ("large", 2), ("small", 1)):
        with models.use(demo, name):
            assert torch.get_num_threads() == threads


def own_folder(tmp_path: Path, name: str = "mine", size: int = 0) -> Path:
    folder = tmp_path / "own" / name
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"0" * size)
    return folder


def test_a_visitors_own_checkpoint_is_used_by_its_name_and_nothing_remains_of_it(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    handle = models.handle(demo)
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
    assert (models.bytes, models.own_states(), models._own) == (0, [], {})


def test_what_is_ones_own_is_offered_to_nobody_else_and_goes_with_its_visitor(tmp_path: Path) -> None:
    models = models_of(10 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a")
    other = Demo(name="other", title="Other", summary="s", load=demo.load, build=demo.build, checkpoints=())
    handle, folder = models.handle(demo), own_folder(tmp_path, size=MB)
    mine, twin = (models.add_own(demo, folder, title="Mine", visitor="me") for _ in range(2))
    theirs = models.add_own(demo, folder, title="<b>", visitor="them")
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


def test_what_is_disowned_in_use_goes_when_the_use_ends(tmp_path: Path) -> None:
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
    assert (models.bytes, models._slots) == (0, {})


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_disowned_while_it_loads_never_stays(tmp_path: Path, fails: bool) -> None:
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
        assert asked.result(30) == (
            "It does not fit; choose another."
            if fails
            else "Sized: mine was given up meanwhile; choose another checkpoint."
        )
    assert (models.bytes, models._slots) == (0, {})


def test_ones_own_model_makes_room_for_others(tmp_path: Path) -> None:
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
            future.result(120)
    assert (models.bytes, models._own, models._slots) == (0, {}, {})


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


COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
WEIGHTS = {"config.json": b"{}", "model.safetensors": b"0" * MB}


@pytest.fixture
def far(hub: Hub) -> Demo[Any]:
    """A demo whose one checkpoint is on the test Hub."""
    hub.add("some/model", WEIGHTS, sha=COMMIT)
    there = Checkpoint(
        name="far", title="Far", repo_id="some/model", revision=COMMIT, files=tuple(WEIGHTS), size=MB + 2
    )
    return Demo(
        name="far",
        title="Demo",
        summary="s",
        load=lambda folder, device: Weights(MB),
        build=lambda _: None,
        checkpoints=(there,),
    )


def test_using_what_is_not_on_this_disk_is_refused_at_once_with_the_remedy(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    sentence = r"^Demo: Far is not on this disk yet \(1\.0 MB\): press Fetch .*demo-app download far/far\.$"
    with pytest.raises(NotFetched, match=sentence), models.use(far, "far"):
        pass
    assert hub.log == []
    assert models.state(far, "far").status == "absent"


def test_a_fetch_tells_how_far_it_is_and_then_the_model_loads(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB / 2
    seen, states = [], []
    for progress in models.fetch(far, "far", "me"):
        seen.append(progress.done)
        states.append(str(models.state(far, "far")))
    assert len(set(seen)) > 2
    assert seen == sorted(seen)
    assert seen[-1] == MB + 2
    assert any(state.startswith("fetching") and state != "fetching 0%" for state in states)
    assert models.state(far, "far").status == "absent"
    with models.use(far, "far"):
        assert models.state(far, "far").status == "ready"
    requests = len(hub.log)
    assert list(models.fetch(far, "far", "me")) == []
    assert len(hub.log) == requests


def test_all_who_fetch_share_one_download(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB
    gate = threading.Barrier(8)

    def fetch(visitor: int) -> int:
        gate.wait()
        return list(models.fetch(far, "far", str(visitor)))[-1].done

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch, range(8))) == {MB + 2}
    assert len(hub.bodies()) == len(WEIGHTS)


def test_a_stalled_download_stops_when_its_last_visitor_cancels(hub: Hub, far: Demo[Any]) -> None:
    models, stalled = models_of(10 * MB), threading.Event()
    hub.fault = stall_body(hub, at=MB // 2, stalled=stalled)
    waiting = models.fetch(far, "far", "me")
    next(waiting)
    assert stalled.wait(30)
    assert not models.cancel(far, "far", "a stranger")
    started = time.monotonic()
    assert models.cancel(far, "far", "me")
    with pytest.raises(Cancelled, match="fetch it again"):
        list(waiting)
    assert time.monotonic() - started < 2
    assert models.state(far, "far").status == "absent"
    hub.fault = None
    list(models.fetch(far, "far", "me"))
    with models.use(far, "far"):
        assert models.state(far, "far").status == "ready"


def test_who_cancels_leaves_the_download_to_the_others(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB / 2
    one, other = models.fetch(far, "far", "one"), models.fetch(far, "far", "other")
    next(one), next(other)
    assert models.cancel(far, "far", "one")
    with pytest.raises(Cancelled, match="others do"):
        list(one)
    again = models.fetch(far, "far", "one")  # and may change their mind
    next(again)
    hub.throttle = None
    assert list(other)[-1].done == list(again)[-1].done == MB + 2
    assert len(hub.bodies()) == len(WEIGHTS)
    assert not models.cancel(far, "far", "other")


def test_the_download_goes_on_when_its_only_visitor_closes_the_page(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB
    only = models.fetch(far, "far", "only")
    next(only)
    only.close()
    assert models.state(far, "far").status == "fetching"
    list(models.fetch(far, "far", "next"))  # joins what still runs
    assert len(hub.bodies()) == len(WEIGHTS)
    with models.use(far, "far"):
        pass


def test_a_failed_fetch_is_told_to_all_shown_and_tried_again(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.fault = refuse(hub, 401)
    for _ in range(2):
        with pytest.raises(Gated, match="HF_TOKEN"):
            list(models.fetch(far, "far", "me"))
        assert models.state(far, "far").status == "failed"
        assert "HF_TOKEN" in models.state(far, "far").reason
    hub.fault = None
    list(models.fetch(far, "far", "me"))
    with models.use(far, "far"):
        assert models.state(far, "far").status == "ready"


def test_a_fault_of_ours_in_a_fetch_is_for_the_log_alone(far: Demo[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("demo_app.hub.fetch.fetch", broken)
    models = models_of(10 * MB)
    with pytest.raises(HubError, match=r"Far could not be fetched \(RuntimeError\); the log says more"):
        list(models.fetch(far, "far", "me"))
    assert "secret" not in models.state(far, "far").reason


def test_a_model_that_is_a_plain_function_needs_no_torch(plugins: Any) -> None:
    """Where no GPU is to be seen: else torch is asked."""
    if any(Path(gpu).exists() for gpu in machine.GPUS):
        pytest.skip("there may be a GPU here")
    plugins.add_good("good")
    code = f"""
import sys
from pathlib import Path
from demo_app.models import Models
from demo_app.plugins import load_plugins
from demo_app.settings import Settings
settings = Settings(plugins_dir=Path({str(plugins.path)!r}))
(plugin,) = load_plugins(settings)
with Models(settings).use(plugin.demos[0]) as model:
    print(model("hello"), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["HELLO", "False"]
