"""What many threads ask at the same time is computed in batches, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo_app.models.batching import MicroBatcher

SECONDS = 30


class Slow:
    """Squares numbers, in batches that it remembers; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self._inside = threading.Lock()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        assert self._inside.acquire(blocking=False), "two threads compute at once"
        try:
            self.batches.append(list(numbers))
            self.entered.set()
            assert self.go.wait(SECONDS)
            if 13 in numbers:
                raise ValueError("13 cannot be squared")
            return [number * number for number in numbers]
        finally:
            self._inside.release()


def wait_until_waiting(together: MicroBatcher[int, int], count: int) -> None:
    deadline = threading.Event()
    timer = threading.Timer(SECONDS, deadline.set)
    timer.start()
    while len(together._waiting) < count:
        assert not deadline.is_set(), "the calls never came"
    timer.cancel()


@pytest.mark.parametrize(("limit", "sizes"), [(16, [1, 9]), (4, [1, 4, 4, 1])])
def test_what_comes_meanwhile_is_computed_together_next(limit: int, sizes: list[int]) -> None:
    slow = Slow()
    together = MicroBatcher(slow, limit)
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(together, 0)
        assert slow.entered.wait(SECONDS)
        others = [pool.submit(together, number) for number in range(1, 10)]
        wait_until_waiting(together, 9)
        slow.go.set()

        assert first.result(SECONDS) == 0
        assert [future.result(SECONDS) for future in others] == [number * number for number in range(1, 10)]
    assert [len(batch) for batch in slow.batches] == sizes


def test_one_bad_example_fails_alone() -> None:
    slow = Slow()
    together = MicroBatcher(slow)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(together, 1)
        assert slow.entered.wait(SECONDS)
        good, bad = pool.submit(together, 2), pool.submit(together, 13)
        wait_until_waiting(together, 2)
        slow.go.set()

        assert (first.result(SECONDS), good.result(SECONDS)) == (1, 4)
        with pytest.raises(ValueError, match="13 cannot"):
            bad.result(SECONDS)
    assert together(3) == 9


def test_every_thread_gets_its_own_answer() -> None:
    together = MicroBatcher(lambda numbers: [-number for number in numbers], limit=5)
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(together, range(2000))) == [-number for number in range(2000)]
