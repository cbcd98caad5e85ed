"""What `handle.use()` gives: a model for the length of a `with` statement, and sentences for what else is tried."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from demo_app.errors import DemoError

log = logging.getLogger(__name__)
M = TypeVar("M")
_building: ContextVar[bool] = ContextVar("building", default=False)

HOW = "write `with handle.use(checkpoint) as model:` and use the model inside"


@contextmanager
def building() -> Iterator[None]:
    """Inside, no model can be leased: a tab is built before the page is there, and would wait for the model."""
    token = _building.set(True)
    try:
        yield
    finally:
        _building.reset(token)


class Lease(Generic[M]):
    """The model while the `with` statement lasts. A lease that was never entered is named in the log."""

    entered = True  # there is nothing to warn of yet

    def __init__(self, leased: AbstractContextManager[M], demo: str) -> None:
        """Raises `DemoError` while a tab is built."""
        if _building.get():
            raise DemoError(
                "build of {demo} uses a model, which nobody has asked for yet; call handle.use() in the handler of an "
                "event.",
                demo=demo,
            )
        self.entered = False
        self._leased = leased
        self._demo = demo

    def __enter__(self) -> M:
        self.entered = True
        return self._leased.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._leased.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"handle.use() gives no model but a lease, which has no {name!r}; {HOW}.")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"handle.use() gives no model but a lease, which cannot be called; {HOW}.")

    def __del__(self) -> None:
        if not self.entered:
            log.warning("demo %s: handle.use() was called and its model never used; %s.", self._demo, HOW)
