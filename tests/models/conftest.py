"""Fixtures for the tests of models."""

from __future__ import annotations

import pytest

from demo_app import machine


@pytest.fixture
def cheap_unloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unloading frees the model and nothing else.

    A hundred garbage collections in a process that has imported torch take a minute; what is given back has tests of
    its own.
    """
    monkeypatch.setattr(machine, "give_back_memory", lambda: None)
