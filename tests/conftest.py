"""A folder of tiny real plugins, a host that serves it, and a Hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from plugins_on_disk import Plugins

from demo_app.machine import prepare_environment

if TYPE_CHECKING:
    from pathlib import Path

    from demo_app.testing.hub import Hub

prepare_environment()
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")


@pytest.fixture
def hub(test_hub: Hub) -> Hub:
    return test_hub


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    """An empty folder of plugins; what they put on `sys.path` is taken off again."""
    before = list(sys.path)
    yield Plugins(tmp_path / "plugins")
    sys.path[:] = before


@pytest.fixture
def host(plugins: Plugins) -> Iterator[Callable[..., Any]]:
    """Serve the folder of plugins: `host(max_text=100)` gives a running `Server`; closed after the test."""
    from contextlib import ExitStack

    from demo_app.testing import serve

    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serve(**({"plugins_dir": plugins.path} | settings)))
