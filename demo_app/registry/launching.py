"""While a plugin's code is imported and built, `launch()` of any Gradio blocks opens no server and no tunnel."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

BLOCKS = "gradio.blocks"


@contextmanager
def no_launch(say: Callable[[], None]) -> Iterator[None]:
    """Inside, `launch()` returns at once, and `say` is called instead. Gradio may be imported inside, or not at all."""
    put_back: list[Callable[[], None]] = []

    def forbid(module: ModuleType) -> None:
        real = module.Blocks.launch

        def launch(self: Any, *_: Any, **__: Any) -> tuple[None, str, None]:
            say()
            return None, "", None

        module.Blocks.launch = launch
        put_back.append(lambda: setattr(module.Blocks, "launch", real))

    finder = _After(forbid)
    if BLOCKS in sys.modules:
        forbid(sys.modules[BLOCKS])
    else:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
        for restore in put_back:
            restore()


class _After(MetaPathFinder):
    """Calls a function with Gradio's module of blocks once it is imported."""

    def __init__(self, then: Callable[[ModuleType], None]) -> None:
        self._then = then
        self._asks = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != BLOCKS or self._asks:
            return None
        self._asks = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asks = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_then(module: ModuleType) -> None:
                execute(module)
                self._then(module)

            spec.loader.exec_module = execute_then  # type: ignore[method-assign]
        return spec
