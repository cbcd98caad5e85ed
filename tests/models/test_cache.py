"""One load under concurrent first uses, leases, eviction under the budget, failures that are not remembered."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sized_models import MB, Weights, demo_of, models_of

from demo_app import Demo, DemoError, InputError, machine
from demo_app.models.cache import Models
from demo_app.models.state import LoadError
from demo_app.settings import Settings


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released whenever a thread begins to wait for a load of another thread."""
    waiting = threading.Semaphore(0)

    class CountedFuture(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            waiting.release()
            super().result(timeout)

    monkeypatch.setattr("demo_app.models.slots.Future", CountedFuture)
    return waiting


def wait_for(waiters: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        assert waiters.acquire(timeout=30)


def test_sixteen_threads_load_once(tmp_path: Path, waiters: threading.Semaphore) -> None:
    loads = []

    def load(folder: Path | None, device: str) -> Weights:
        loads.append(device)
        wait_for(waiters, 15)
        return Weights(MB)

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load)

    def use() -> int:
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
        assert waiting.result() == "absent"
        holding.result()


@pytest.mark.usefixtures("cheap_unloads")
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
            future.result()
    assert max(worst) <= 3 * MB
    assert models.evictions > 0


def test_a_failure_is_reported_to_all_who_waited_and_not_remembered(
    tmp_path: Path, waiters: threading.Semaphore
) -> None:
    attempts = []

    def load(folder: Path | None, device: str) -> Weights:
        attempts.append(1)
        if len(attempts) == 1:
            wait_for(waiters, 7)
            raise RuntimeError("a secret detail")
        return Weights(MB)

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load)

    def use() -> str:
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


class Panic(BaseException):
    """As a library in Rust raises."""


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), Panic()], ids=repr)
def test_a_load_that_raises_anything_is_reported_and_tried_again(
    error: BaseException, tmp_path: Path, waiters: threading.Semaphore
) -> None:
    attempts = []

    def load(folder: Path | None, device: str) -> Weights:
        attempts.append(1)
        if len(attempts) == 1:
            wait_for(waiters, 1)
            raise error
        return Weights(MB)

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load)

    def use() -> str:
        try:
            with models.use(demo):
                return "loaded"
        except LoadError as caught:
            return str(caught)

    with ThreadPoolExecutor(2) as pool:
        answers = {future.result() for future in [pool.submit(use) for _ in range(2)]}
    assert answers == {f"Sized: tiny could not be loaded ({type(error).__name__}); the log says more."}
    assert use() == "loaded"
    assert models.unload(demo), "no lease is left"


def test_an_interrupt_goes_on_and_those_who_wait_are_told(tmp_path: Path, waiters: threading.Semaphore) -> None:
    def load(folder: Path | None, device: str) -> Weights:
        wait_for(waiters, 1)
        raise KeyboardInterrupt

    models = models_of(10 * MB)
    demo = demo_of(tmp_path, load)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(models.use(demo).__enter__) for _ in range(2)]
        outcomes = {type(future.exception()) for future in futures}
    assert outcomes == {KeyboardInterrupt, LoadError}
    assert models.state(demo).status == "failed"


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_load_changes_of_the_process_is_put_back_and_named(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    monkeypatch.chdir(Path(__file__).parent)
    torch.set_grad_enabled(True)

    def load(folder: Path | None, device: str) -> Weights:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        os.chdir("/")
        if fails:
            raise SystemExit
        return Weights(MB)

    models = models_of(10 * MB)
    with suppress(LoadError), models.use(demo_of(tmp_path, load)):
        pass
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert Path.cwd() == Path(__file__).parent
    said = next(record.getMessage() for record in caplog.records if "put back" in record.getMessage())
    assert said.startswith("Sized: tiny")
    assert "os.chdir" in said
    assert "torch.set_default_dtype" in said


def test_a_load_that_hangs_is_named_to_the_others(tmp_path: Path) -> None:
    hanging, release = threading.Event(), threading.Event()

    def load(folder: Path | None, device: str) -> Weights:
        if folder is not None and folder.name == "a":
            hanging.set()
            release.wait(30)
        return Weights(MB)

    models = models_of(10 * MB, patience=0.02)
    demo = demo_of(tmp_path, load, "a", "b")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(models.use(demo, "a").__enter__)
        assert hanging.wait(30)
        with pytest.raises(LoadError, match="b waits for Sized: a"), models.use(demo, "b"):
            pass
        release.set()
        assert first.exception() is None
    with models.use(demo, "b"):
        assert models.state(demo, "b").status == "ready"


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


@pytest.mark.parametrize("way", ["unload", "evict", "remove", "leave", "remove while leased"])
def test_a_lease_does_not_wait_while_memory_is_given_back(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = models_of(2 * MB)
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB), "a", "b", "c")
    own = (
        models.add_own(demo, tmp_path / "b", title="Mine", visitor="v") if way.startswith(("remove", "leave")) else None
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
        beside.join()
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
        elif way == "remove":
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


def test_small_models_compute_on_one_thread_and_large_ones_on_all(tmp_path: Path) -> None:
    import torch

    sizes = {"small": MB, "large": 40 * MB}
    models = Models(Settings(memory_budget=100 * MB, device="cpu", threads=2))
    demo = demo_of(tmp_path, lambda folder, device: Weights(sizes[folder.name]), "small", "large")
    for name, threads in (("small", 1), ("large", 2), ("small", 1)):
        with models.use(demo, name):
            assert torch.get_num_threads() == threads


def test_a_model_that_is_a_plain_function_needs_no_torch(plugins: Any) -> None:
    """Where no GPU is to be seen: else torch is asked."""
    if any(Path(gpu).exists() for gpu in machine.GPUS):
        pytest.skip("there may be a GPU here")
    plugins.add_good("good")
    code = f"""
import sys
from pathlib import Path
from demo_app.models.cache import Models
from demo_app.registry.loading import load_plugins
from demo_app.settings import Settings
settings = Settings(plugins_dir=Path({str(plugins.path)!r}))
(plugin,) = load_plugins(settings)
with Models(settings).use(plugin.demos[0]) as model:
    print(model("hello"), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["HELLO", "False"]
