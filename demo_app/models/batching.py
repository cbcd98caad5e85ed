"""Compute concurrent calls in one batch, which costs a network hardly more than one example."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class MicroBatcher(Generic[T, R]):
    """A function of one example, called from many threads, made from a function of a batch.

    No call waits for others to come: one that finds nothing under way is computed at once and alone; those that come
    meanwhile are computed together next, at most `limit` at a time. So at most one thread computes, and under load
    the threads wait for a lock instead of competing for the interpreter.

    >>> shout = MicroBatcher(lambda texts: [text.upper() for text in texts])
    >>> shout("hello")
    'HELLO'
    """

    def __init__(self, batch: Callable[[Sequence[T]], Sequence[R]], limit: int = 16) -> None:
        self._batch = batch
        self._limit = limit
        self._waiting: list[tuple[T, Future[R]]] = []
        self._changing = threading.Lock()  # guards `_waiting`
        self._computing = threading.Lock()  # held by the one thread that computes

    def __call__(self, example: T) -> R:
        """The result for `example`; raises what computing it raises."""
        mine: Future[R] = Future()
        with self._changing:
            self._waiting.append((example, mine))
        while not mine.done():
            with self._computing:
                if not mine.done():
                    self._compute()
        return mine.result()

    def _compute(self) -> None:
        with self._changing:
            taken, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        try:
            results = self._batch([example for example, _ in taken])
            for (_, future), result in zip(taken, results, strict=True):
                future.set_result(result)
        except BaseException:  # one bad example must not fail the others: compute each again, alone
            for example, future in taken:
                if not future.done():
                    self._alone(example, future)

    def _alone(self, example: T, future: Future[R]) -> None:
        try:
            (result,) = self._batch([example])
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
