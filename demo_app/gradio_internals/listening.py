"""An event listener of a page, in Gradio: what it reads, what it calls, and under which name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import LocalContext


class Listener:
    """An event listener of blocks, Gradio's `BlockFunction`: which handler it calls, with what, under which name."""

    def __init__(self, function: Any) -> None:
        self._function = function

    @property
    def id(self) -> int:
        """Its number on the page: `fn_index` in a request."""
        return int(self._function._id)

    @property
    def handler(self) -> Callable[..., Any] | None:
        """The Python function; `None` for a listener that runs JavaScript alone."""
        found: Callable[..., Any] | None = self._function.fn
        return found

    @property
    def api_name(self) -> str | None:
        """The name in the API; `None` where it has none."""
        name = self._function.api_name
        return name if isinstance(name, str) else None

    @property
    def name(self) -> str:
        """The name in the API, else the name of the handler."""
        return self.api_name or self._function.name or "event"

    @property
    def public(self) -> bool:
        """Whether the API's description shows it, and there is a handler to call."""
        return self.handler is not None and self._function.api_visibility == "public"

    @property
    def queued(self) -> bool:
        """Whether its requests wait in the queue."""
        return bool(self._function.queue)

    @property
    def streamed(self) -> bool:
        """Whether its inputs come in pieces, as from a microphone: it ends when the client closes the stream."""
        return bool(self._function.connection == "stream")

    @property
    def checks_itself(self) -> bool:
        """Whether the handler gets its arguments as they were sent: `preprocess=False`."""
        return not self._function.preprocess

    def answers_clicks(self, blocks: gr.Blocks) -> bool:
        """Whether its handler asks what was clicked on, and the page always says so: a selection, a part of HTML."""
        targets = self._function.targets
        sent = all(name == "select" or isinstance(blocks.blocks.get(part), gr.HTML) for part, name in targets)
        return bool(self._function.collects_event_data and targets and sent)

    def parameter(self, number: int) -> str:
        """The name of that argument in the API; "" where it has none."""
        names = self._function.input_parameter_names
        return (names[number] if number < len(names) else None) or ""

    @property
    def description(self) -> str:
        """What `api_description` says, if it says anything."""
        return str(self._function.api_description or "")

    @property
    def inputs(self) -> list[Any]:
        """The components that it reads."""
        return list(self._function.inputs)

    @property
    def outputs(self) -> list[Any]:
        """The components that it writes."""
        return list(self._function.outputs)

    def rendered(self) -> list[Listener]:
        """After its handler ran: the listeners that this made, in the session of the running event, by `@gr.render`."""
        renderable, config = self._function.renderable, LocalContext.blocks_config.get(None)
        if renderable is None or config is None:
            return []
        return [Listener(function) for function in config.fns.values() if function.rendered_in is renderable]

    @property
    def renders(self) -> bool:
        """Whether its handler is what `@gr.render` decorates."""
        return self._function.renderable is not None

    @property
    def is_rendered(self) -> bool:
        """Whether a `@gr.render` made it, for one visitor."""
        return self._function.rendered_in is not None

    def rename(self, api_name: str) -> None:
        """Give it that name in the API. After `.render()`, equal names would get suffixes by the order of demos."""
        self._function.api_name = api_name

    def replace_handler(self, handler: Callable[..., Any]) -> None:
        """Call that instead of its handler, and call the MCP tool as that is called."""
        self._function.fn = handler
