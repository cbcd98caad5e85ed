"""huggingface_hub's own client, watched through its public hooks."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hub_fetches import publish
from huggingface_hub import close_session, get_session, hf_hub_download

from demo_app.hub import client
from demo_app.hub.errors import Cancelled, Offline
from demo_app.hub.upload import upload
from demo_app.testing.hub import Hub


def test_the_client_is_set_up_once_and_again_after_huggingface_hub_has_made_another() -> None:
    for _ in range(2):
        client.prepare()
        client.prepare()
        hooks = get_session().event_hooks
        assert [len(hooks[kind]) for kind in ("request", "response")] == [2, 1]  # its own, which refuses offline, first
        close_session()


def test_requests_of_others_are_not_watched(hub: Hub, tmp_path: Any) -> None:
    checkpoint = publish(hub)

    def stopped() -> None:
        raise Cancelled("x")

    def ask() -> None:
        hf_hub_download("some/model", "config.json", revision=checkpoint.revision, cache_dir=tmp_path, endpoint=hub.url)

    with client.watching(client.Watch(stopped)):
        beside = threading.Thread(target=ask)
        beside.start()
        beside.join()
        assert hub.paths("GET") != []
        with pytest.raises(Cancelled):
            get_session().get(hub.url)


def test_a_hub_that_falls_silent_in_the_middle_of_an_upload_is_given_up(
    test_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """huggingface_hub gives its requests no timeout."""
    over = threading.Event()

    def fall_silent(handler: Any, method: str, path: str) -> bool:
        return "create" in path and over.wait(30)

    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setattr(client, "STEP_SECONDS", 0.3)
    test_hub.token, test_hub.fault = "hf_mine", fall_silent
    close_session()
    with pytest.raises(Offline, match="does not answer"):
        upload({"a": b"1"}, "me/model", kind="model", message="x")
    over.set()
    close_session()  # with its timeout
