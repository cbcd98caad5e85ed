"""Large pictures are decoded in turns: one of 50 megapixels takes a gigabyte while it is decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from demo_app import machine
from demo_app.errors import InputError

SMALL = 4_000_000
"""Pixels of a picture that waits for nobody."""

BYTES = 16
"""For each pixel, while it is decoded: Pillow's own copy, the decoder's, and one in another mode."""

PATIENCE = 60.0  # seconds


class Turns:
    """Decodings of pictures in this process: at most `pixels` at the same time, first come, first served.

    `borrow(bytes)` is entered while a large one is decoded; the host has it make room among the loaded models.
    """

    def __init__(self, pixels: int, patience: float = PATIENCE) -> None:
        self.pixels = pixels
        self.patience = patience
        self.borrow: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext()
        self.renew()

    def renew(self) -> None:
        """Forget all decodings: in a forked copy of the process, the threads that decode are gone."""
        self._first = threading.Lock()  # held by whoever is next
        self._changed = threading.Condition()
        self._now = 0  # pixels that are being decoded

    @contextmanager
    def turn(self, pixels: int) -> Iterator[None]:
        """Wait until a picture of that many pixels may be decoded. Raises `InputError` after `patience` seconds."""
        if pixels <= SMALL:
            yield
            return
        if not self._first.acquire(timeout=self.patience):
            raise _busy()
        try:
            with self._changed:
                if not self._changed.wait_for(
                    lambda: self._now == 0 or self._now + pixels <= self.pixels, self.patience
                ):
                    raise _busy()
                self._now += pixels
        finally:
            self._first.release()
        try:
            with self.borrow(BYTES * pixels):
                yield
        finally:
            machine.trim_memory()  # the allocator keeps blocks of the size that Pillow asks for
            with self._changed:
                self._now -= pixels
                self._changed.notify_all()

    def _fits(self, pixels: int) -> bool:
        return self._now == 0 or self._now + pixels <= self.pixels


def _busy() -> InputError:
    return InputError("Too many large pictures are being read right now; try again in a minute, or take a smaller one.")
