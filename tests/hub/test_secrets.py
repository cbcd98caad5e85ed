"""What a fetch tells others: the token to the Hub alone, and nothing but which files are wanted."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from hub_fetches import (
    TOKEN,
    assert_fetched,
    failure,
    folder_of,
    publish,
    start_child,
)

from demo_app.hub.errors import Gated, HubError
from demo_app.hub.fetch import fetch
from demo_app.hub.files import locate
from demo_app.testing.faults import corrupt_body, refuse, wrong_length
from demo_app.testing.hub import Fault, Hub


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says from DEBUG up, as one text."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    names = ["", *(name for name in logging.root.manager.loggerDict if name.startswith(("h", "demo_app", "filelock")))]
    before = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in before:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield text
    for logger, level in before.items():
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.mark.parametrize("xet", [False, True], ids=["by the HEAD", "redirected"])
def test_the_token_goes_to_the_hub_alone(hub: Hub, xet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files lie elsewhere: the client reads that in the answer to a HEAD, or with Xet on offer is redirected."""
    hub.token, hub.xet = TOKEN, xet
    checkpoint = publish(hub, gated=True)
    failure(checkpoint, Gated)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert_fetched(checkpoint)
    shown = [request for request in hub.log if TOKEN in str(request.headers)]
    assert shown
    assert {request.headers["Host"] for request in shown} == {f"127.0.0.1:{hub.port}"}
    assert {request.headers["Host"] for request in hub.log} == {f"127.0.0.1:{hub.port}", f"localhost:{hub.port}"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda hub: None, id="success"),
        pytest.param(lambda hub: refuse(hub, 401), id="401"),
        pytest.param(lambda hub: refuse(hub, 404, "RepoNotFound"), id="404"),
        pytest.param(lambda hub: refuse(hub, 429, Retry_After="3"), id="429"),
        pytest.param(lambda hub: refuse(hub, 500), id="500"),
        pytest.param(lambda hub: wrong_length(hub, by=3), id="wrong length"),
        pytest.param(lambda hub: corrupt_body(hub), id="damaged"),
        pytest.param(lambda hub: lambda *_: hub.close() or True, id="gone"),
    ],
)
def test_the_token_is_in_no_log_no_error_and_no_note(
    fault: Callable[[Hub], Fault | None],
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    everything_logged: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    checkpoint = publish(hub)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.fault = fault(hub)
    said: list[object] = []
    with nullcontext() if hub.fault is None else pytest.raises(HubError) as caught:
        fetch(checkpoint, said.append)
    if caught is not None:
        said += all_of(caught.value)
    assert TOKEN in str(hub.log[0].headers)
    assert "resolve" in everything_logged.getvalue()
    assert TOKEN not in "\n".join(
        [*map(repr, said), *map(str, said), everything_logged.getvalue(), *capfd.readouterr()]
    )


def test_a_token_that_was_copied_badly_is_reported_and_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = publish(hub)
    monkeypatch.setenv("HF_TOKEN", TOKEN + "…")
    error = failure(checkpoint, HubError)
    assert "HF_TOKEN has a character" in str(error)
    assert TOKEN not in repr(all_of(error))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert_fetched(checkpoint)


def all_of(error: BaseException) -> list[object]:
    """Whatever of an error may end up in a log: itself, its fields, its causes, the traceback."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return [*causes, vars(error), *traceback.format_exception(error)]


@pytest.mark.parametrize("first", ["", "import huggingface_hub"], ids=["alone", "after another has loaded the client"])
def test_nothing_but_the_files_is_asked_for(hub: Hub, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No telemetry, no listing, and no Xet, which cannot be watched: the Hub learns only which files are wanted."""
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    checkpoint = publish(hub)
    assert folder_of(start_child(checkpoint, first)) == locate(checkpoint)
    assert {request.method for request in hub.log} == {"HEAD", "GET"}
    assert all("/resolve/" in request.path or "/stored/" in request.path for request in hub.log)
    assert all(request.body == b"" for request in hub.log)
