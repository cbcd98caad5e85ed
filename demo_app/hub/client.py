"""Watch the HTTP client that huggingface_hub shares among all its callers, through its public event hooks.

Parameters and constants of huggingface_hub decide nearly everything: timeouts, attempts, progress. Three things they
cannot do, and this module does them, with `get_session()` and httpx's documented hooks and timeout:

* A body that is refused with 429 or 408 is an error at once. huggingface_hub would sleep, as long as the Hub's
  Retry-After says, up to five times, while the visitor reads nothing.
* A cancelled download lets go of a silent connection at once. The worker would otherwise hold huggingface_hub's lock on
  the file until a read times out, and whoever wants the same file would wait for it; then it would ask five times more.
* A step of an upload ends after `STEP_SECONDS`. huggingface_hub gives its API calls no timeout at all.

Requests of anybody else in this process pass unchanged, but for that timeout where they have none.
Importing this imports huggingface_hub.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from huggingface_hub import constants, get_session
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # httpx: whichever version it uses
    hf_raise_for_status,
    httpx,
)

STEP_SECONDS = 60.0  # for one step of a request without a timeout of its own, as connecting or reading
CHUNK = 2**16  # bytes between two calls of a progress bar; also where an interrupted body is resumed
RETRIED_IN_SILENCE = (408, 429)  # statuses for which huggingface_hub waits and asks for the body again


class Watch:
    """The requests of one download, made in one thread; another thread may cut them off."""

    def __init__(self, check_stopped: Callable[[], None]) -> None:
        self.check_stopped = check_stopped  # raises once nobody wants the download any more
        self._response: httpx.Response | None = None  # the latest

    def cut(self) -> None:
        """End the response that is being received: its reader gets an error where it waits."""
        response = self._response
        if response is None or response.is_closed:  # then the connection may be somebody else's by now
            return
        stream = response.extensions.get("network_stream")
        if stream is not None:
            with suppress(OSError):  # shutting down wakes the reader; closing would not
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def answered(self, response: httpx.Response) -> None:
        """Called with the head of each response, before its body. Raises `HfHubHTTPError` for a 408 or 429."""
        self._response = response
        if response.status_code in RETRIED_IN_SILENCE:
            hf_raise_for_status(response)


class _Current(threading.local):
    watch: Watch | None = None


_current = _Current()
_preparing = threading.Lock()


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Within it, `watch` sees the requests that huggingface_hub makes in this thread."""
    prepare()
    _current.watch = watch
    try:
        yield
    finally:
        _current.watch = None


def prepare() -> None:
    """Set up huggingface_hub's client as described above, and its constants. Cheap to repeat.

    Gradio imports huggingface_hub, so its variables may have been read before `prepare_environment` set them. Through
    Xet no byte would be counted, no timeout kept and nothing cancelled.
    """
    constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    with _preparing:
        client = get_session()  # another one after a fork, and after a connection could not be made
        hooks = client.event_hooks
        if _before_request not in hooks["request"]:
            client.timeout = STEP_SECONDS
            client.event_hooks = {
                "request": [*hooks["request"], _before_request],
                "response": [*hooks["response"], _after_response],
            }


def _before_request(request: httpx.Request) -> None:
    if _current.watch is not None:
        _current.watch.check_stopped()


def _after_response(response: httpx.Response) -> None:
    if _current.watch is not None:
        _current.watch.answered(response)
