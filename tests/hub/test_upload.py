"""An upload, as `demo-app space` and `demo-app publish` make it, and every answer that a Hub may give."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from demo_app.hub import upload as hub_upload
from demo_app.hub.errors import HubBroken, HubError, Offline, RateLimited, Refused, Taken
from demo_app.testing.faults import closed_port, silent_host
from demo_app.testing.hub import Fault, Hub

TOKEN = "hf_a_secret_of_mine"
FILES = {"README.md": b"---\nsdk: gradio\n---\n", "app.py": b"run()", "w/model.safetensors": b"\x00\x01"}


@pytest.fixture
def mine(test_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A Hub where we may write as `me`."""
    test_hub.token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return test_hub


def upload(repo_id: str = "me/page", kind: Literal["model", "space"] = "space", **more: Any) -> hub_upload.Uploaded:
    return hub_upload.upload(more.pop("files", FILES), repo_id, kind=kind, message="x", **more)


def refused(error: type[HubError], sentence: str, **more: Any) -> None:
    with pytest.raises(error) as caught:
        upload(**more)
    assert sentence in str(caught.value)
    assert TOKEN not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_one_commit_has_all_files_and_is_named(mine: Hub) -> None:
    done = upload()
    assert done.url == f"{mine.url}/spaces/me/page"
    page = mine.repos["spaces/me/page"]
    assert (done.commit, len(page.earlier)) == (page.sha, 1)  # before it, what the Hub itself put there
    assert {name: page.files[name] for name in FILES} == FILES


def test_forced_it_replaces_what_is_ours_and_keeps_the_rest(mine: Hub) -> None:
    mine.add("spaces/me/page", {"app.py": b"old", "plugins/a/x.py": b"", "plugins/b/y.py": b"", "notes.txt": b"keep"})
    refused(Taken, "me/page is on the Hub already; choose another name, or say --force")
    assert mine.repos["spaces/me/page"].files["app.py"] == b"old"
    done = upload(force=True, owned=("plugins/",), files={"app.py": b"new", "plugins/b/y.py": b"1"})
    assert done.removed == ("plugins/a/x.py",)
    page = mine.repos["spaces/me/page"].files
    assert dict(page) == {"app.py": b"new", "plugins/b/y.py": b"1", "notes.txt": b"keep"}


def test_without_a_token_nothing_is_asked(test_hub: Hub) -> None:
    refused(Refused, "HF_TOKEN is not set; make an access token that may write, at ")
    assert test_hub.log == []


@pytest.mark.parametrize("slip", ["”", "\n\n x", "\x00"[:0] + " y"])
def test_a_token_with_a_slip_is_not_shown(slip: str, test_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}{slip}")
    refused(Refused, "has a character that no token has")
    assert test_hub.log == []


def test_a_token_that_the_hub_does_not_know(mine: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_last_year")
    refused(Refused, f"does not know the token in HF_TOKEN (401); make a new one at {mine.url}/settings/tokens")


def test_a_name_under_somebody_elses_account(mine: Hub) -> None:
    refused(
        Refused, "HF_TOKEN may not write to someone/page (403): the name is somebody else's", repo_id="someone/page"
    )
    assert mine.repos == {}


def test_somebody_elses_repository_even_when_forced(mine: Hub) -> None:
    mine.add("someone/model", {"a": b""})
    refused(Taken, "is on the Hub already", repo_id="someone/model", kind="model")
    mine.fault = refuse(mine, 403, "preupload")  # this Hub has one writer; the real one says so here
    refused(Refused, "may not write to someone/model (403)", repo_id="someone/model", kind="model", force=True)


@pytest.mark.parametrize(
    ("status", "at", "error", "sentence"),
    [
        (402, "create", Refused, "wants a paid plan for me/page on this hardware (402); a free account may"),
        (403, "commit", Refused, "may not write to me/page (403)"),
        (404, "commit", HubError, "is not there any more (404)"),
        (409, "create", Taken, "was made or changed by somebody else just now (409)"),
        (412, "commit", Taken, "was changed by somebody else just now (412)"),
        (429, "/api/spaces", RateLimited, "too many requests"),
        (
            500,
            "commit",
            HubBroken,
            "an error of its own (500); try again in a minute. If me/page is there by now, say --f",
        ),
        (503, "/api/spaces", HubBroken, "an error of its own (503)"),
        (418, "create", HubBroken, "refuses me/page (418"),
    ],
)
def test_what_the_hub_answers_becomes_a_sentence(
    status: int, at: str, error: type[HubError], sentence: str, mine: Hub
) -> None:
    mine.fault = refuse(mine, status, at)
    refused(error, sentence)


def refuse(hub: Hub, status: int, at: str) -> Fault:
    def fault(handler: Any, method: str, path: str) -> bool:
        if at in path:
            hub.error(handler, status)
        return at in path

    return fault


def test_a_header_that_the_hub_does_not_take_is_quoted(mine: Hub) -> None:
    refused(HubError, '"sdk" must be one of', files={"README.md": b"---\ntitle: x\n---\n"})


def test_a_hub_that_cannot_be_reached(mine: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        refused(Offline, "The Hub (127.0.0.1) cannot be reached; check the network")


def test_a_silent_hub_is_given_up(mine: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_upload, "ASK", 0.3)
    with silent_host(accepts=True) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        refused(Offline, "The Hub (127.0.0.1) does not answer; check the network")


def test_offline_is_respected(mine: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(Offline, "HF_HUB_OFFLINE is set, so nothing can be uploaded")
    assert mine.log == []


def test_an_answer_that_is_not_a_hubs_is_reported(mine: Hub) -> None:
    def portal(handler: Any, method: str, path: str) -> bool:
        mine.send(handler, 200, b"<html>Please log in</html>")
        return True

    mine.fault = portal
    refused(HubBroken, "is not one; check HF_ENDPOINT and the proxy")


@pytest.mark.parametrize("repo_id", ["me/a--b", f"me/{'x' * 97}"])
def test_a_name_that_no_repository_can_have(repo_id: str, mine: Hub) -> None:
    refused(HubError, "is no name for a repository", repo_id=repo_id)
