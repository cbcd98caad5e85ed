"""Sessions and the queue, in Gradio: sessions that cost next to nothing, and go in the order that the host says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio import state_holder
from gradio.route_utils import FnIndexInferError


class Session(state_holder.SessionState):  # type: ignore[misc]  # mypy does not read Gradio
    """What Gradio keeps of a session, without a configuration of every component of the page.

    Gradio makes that for deep links alone, which the page has not. It takes a good part of building the page, for each
    session, and it keeps all that a visitor typed, access tokens too.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        self.blocks_config = copy.copy(blocks.default_config)
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class Sessions(state_holder.StateHolder):  # type: ignore[misc]
    """The sessions of a page, of which those without an open page go first when there are too many."""

    def __init__(self, blocks: gr.Blocks, is_open: Callable[[str], bool]) -> None:
        super().__init__()
        self.is_open = is_open
        self.set_blocks(blocks)

    def __getitem__(self, session_id: str) -> Any:
        if session_id not in self.session_data:
            with self.lock:
                self.session_data.setdefault(session_id, Session(self.blocks))
        return super().__getitem__(session_id)

    def __iter__(self) -> Iterator[str]:
        """Names of the sessions. Without it Python would iterate by `[0]`, `[1]`, ..., each of which makes one."""
        return iter(list(self.session_data))

    def update(self, session_id: str) -> None:
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            if len(self.session_data) <= self.capacity:
                return
            others = [session for session in self.session_data if session != session_id]
            evicted = next((session for session in others if not self.is_open(session)), others[0])
        self.drop(evicted)

    def drop(self, session_id: str) -> None:
        """Forget a session, and have its states deleted."""
        self.delete_state(session_id)
        with self.lock:
            self.session_data.pop(session_id, None)
            self.time_last_used.pop(session_id, None)

    def hand_over(self, before: str, now: str) -> None:
        """Give the states of one session to another: the same visitor opened the page again."""
        with self.lock:
            old = self.session_data.pop(before, None)  # first: the new one may push out the oldest
            self.time_last_used.pop(before, None)
        if old is not None:
            new = self[now]
            new.state_data |= old.state_data
            new._state_ttl |= old._state_ttl

    def reopened(self, session_id: str) -> None:
        """The page of a session is connected again: Gradio would delete its states an hour after they were set."""
        if session_id in self.session_data:
            self.session_data[session_id].is_closed = False


def use_sessions(app: Any, blocks: gr.Blocks, is_open: Callable[[str], bool]) -> Sessions:
    """Have a web server that is about to start keep its sessions so."""
    app.state_holder = Sessions(blocks, is_open)
    return app.state_holder  # type: ignore[no-any-return]


def waiting(blocks: gr.Blocks) -> list[Any]:
    """The requests of the events that wait in the queue."""
    return [event.request for queue in blocks._queue.event_queue_per_concurrency_id.values() for event in queue.queue]


def is_unknown_action(error: BaseException) -> bool:
    """Whether a request was for an action that the page has not."""
    return isinstance(error, FnIndexInferError | KeyError)


def page_files(blocks: gr.Blocks) -> set[str]:
    """The files that the page was built with, such as example pictures."""
    return {file for part in blocks.blocks.values() for file in getattr(part, "keep_in_cache", ())}
