"""What `handle.use()` gives outside a `with` statement, and inside `build`."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sized_models import MB, Weights, demo_of, models_of

from demo_app import DemoError
from demo_app.models.demo_models import DemoModels
from demo_app.models.lease import building


@pytest.fixture
def handle(tmp_path: Path) -> DemoModels[Weights]:
    demo = demo_of(tmp_path, lambda folder, device: Weights(MB))
    return DemoModels(demo=demo, models=models_of(10 * MB))


def test_a_lease_that_is_not_entered_is_named(handle: DemoModels[Weights], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        with handle.use() as model:
            assert model.array.nbytes == MB
        assert not caplog.records
        handle.use()
    assert "demo sized" in caplog.text
    assert "with handle.use(checkpoint) as model" in caplog.text


def test_a_lease_says_that_it_is_no_model(handle: DemoModels[Weights]) -> None:
    with pytest.raises(AttributeError, match=r"'predict'; write `with handle\.use"):
        handle.use().predict("x")
    with pytest.raises(TypeError, match=r"write `with handle\.use"):
        handle.use()("x")


def test_build_gets_no_model(handle: DemoModels[Weights]) -> None:
    with building(), pytest.raises(DemoError, match=r"build of sized .* in the handler of an event"):
        handle.use()
    with handle.use() as model:
        assert model.array.nbytes == MB
