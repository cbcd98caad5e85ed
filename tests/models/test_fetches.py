"""Models whose files are on the Hub: fetched on request, in one download for all who wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sized_models import MB, Weights, models_of

from demo_app import Checkpoint, Demo
from demo_app.hub.errors import Cancelled, Gated, HubError
from demo_app.models.state import NotFetched
from demo_app.testing.faults import refuse, stall_body
from demo_app.testing.hub import Hub

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
WEIGHTS = {"config.json": b"{}", "model.safetensors": b"0" * MB}


@pytest.fixture
def far(hub: Hub) -> Demo[Any]:
    """A demo whose one checkpoint is on the test Hub."""
    hub.add("some/model", WEIGHTS, sha=COMMIT)
    there = Checkpoint(
        name="far", title="Far", repo_id="some/model", revision=COMMIT, files=tuple(WEIGHTS), size=MB + 2
    )
    return Demo(
        name="far",
        title="Demo",
        summary="s",
        load=lambda folder, device: Weights(MB),
        build=lambda _: None,
        checkpoints=(there,),
    )


def test_using_what_is_only_on_the_hub_is_refused_at_once_with_the_remedy(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    sentence = r"^Demo: Far is not on this disk yet \(1\.0 MB\): press Fetch .*demo-app download far/far\.$"
    with pytest.raises(NotFetched, match=sentence), models.use(far, "far"):
        pass
    assert hub.log == []
    assert models.state(far, "far").status == "absent"


def test_a_fetch_reports_its_progress_and_then_the_model_loads(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB / 2
    seen, states = [], []
    for progress in models.fetch(far, "far", "me"):
        seen.append(progress.done)
        states.append(str(models.state(far, "far")))
    assert len(set(seen)) > 2
    assert seen == sorted(seen)
    assert seen[-1] == MB + 2
    assert any(state.startswith("fetching") and state != "fetching 0%" for state in states)
    assert models.state(far, "far").status == "absent"
    with models.use(far, "far"):
        assert models.state(far, "far").status == "ready"
    requests = len(hub.log)
    assert list(models.fetch(far, "far", "me")) == []
    assert len(hub.log) == requests


def test_all_who_fetch_share_one_download(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB
    gate = threading.Barrier(8)

    def fetch(visitor: int) -> int:
        gate.wait()
        return list(models.fetch(far, "far", str(visitor)))[-1].done

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch, range(8))) == {MB + 2}
    assert len(hub.bodies()) == len(WEIGHTS)


def test_a_stalled_download_stops_when_its_last_visitor_cancels(hub: Hub, far: Demo[Any]) -> None:
    models, stalled = models_of(10 * MB), threading.Event()
    hub.fault = stall_body(hub, at=MB // 2, stalled=stalled)
    waiting = models.fetch(far, "far", "me")
    next(waiting)
    assert stalled.wait(30)
    assert not models.cancel(far, "far", "a stranger")
    started = time.monotonic()
    assert models.cancel(far, "far", "me")
    with pytest.raises(Cancelled, match="fetch it again"):
        list(waiting)
    assert time.monotonic() - started < 2
    assert models.state(far, "far").status == "absent"
    hub.fault = None
    list(models.fetch(far, "far", "me"))
    with models.use(far, "far"):
        assert models.state(far, "far").status == "ready"


def test_who_cancels_leaves_the_download_to_the_others(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB / 2
    one, other = models.fetch(far, "far", "one"), models.fetch(far, "far", "other")
    next(one), next(other)
    assert models.cancel(far, "far", "one")
    with pytest.raises(Cancelled, match="others do"):
        list(one)
    again = models.fetch(far, "far", "one")  # and may change their mind
    next(again)
    hub.throttle = None
    assert list(other)[-1].done == list(again)[-1].done == MB + 2
    assert len(hub.bodies()) == len(WEIGHTS)
    assert not models.cancel(far, "far", "other")


def test_the_download_goes_on_when_its_only_visitor_closes_the_page(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.throttle = MB
    only = models.fetch(far, "far", "only")
    next(only)
    only.close()
    assert models.state(far, "far").status == "fetching"
    list(models.fetch(far, "far", "next"))  # joins what still runs
    assert len(hub.bodies()) == len(WEIGHTS)
    with models.use(far, "far"):
        pass


def test_a_failed_fetch_is_reported_to_all_shown_and_tried_again(hub: Hub, far: Demo[Any]) -> None:
    models = models_of(10 * MB)
    hub.fault = refuse(hub, 401)
    for _ in range(2):
        with pytest.raises(Gated, match="HF_TOKEN"):
            list(models.fetch(far, "far", "me"))
        assert models.state(far, "far").status == "failed"
        assert "HF_TOKEN" in models.state(far, "far").reason
    hub.fault = None
    list(models.fetch(far, "far", "me"))
    with models.use(far, "far"):
        assert models.state(far, "far").status == "ready"


def test_a_fault_of_ours_in_a_fetch_is_for_the_log_alone(far: Demo[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("demo_app.hub.fetch.fetch", broken)
    models = models_of(10 * MB)
    with pytest.raises(HubError, match=r"Far could not be fetched \(RuntimeError\); the log says more"):
        list(models.fetch(far, "far", "me"))
    assert "secret" not in models.state(far, "far").reason
