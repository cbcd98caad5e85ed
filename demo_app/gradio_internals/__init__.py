"""The private and undocumented parts of Gradio that demo-app relies on; nothing outside of this folder touches any.

Checked with Gradio 6.31. `tests/test_gradio_internals.py` names each part and checks that it exists and behaves as
described here, so after an upgrade of Gradio that test, and then this folder, are what has to be looked at. Each
function says why the documented interface is not enough.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import components as components_module
from gradio import processing_utils, routes, utils
from gradio.context import Context, LocalContext
from gradio.server_messages import ProcessCompletedMessage

from demo_app.gradio_internals.listening import Listener as Listener

CONFIG_PARTS = ("page", "components", "dependencies", "layout")  # of a page's configuration: what it consists of


# Building a page


class Draft(gr.Blocks):  # type: ignore[misc]  # mypy does not read Gradio
    """Blocks that will be rendered inside a page and are never served themselves.

    `gr.Blocks` computes its configuration whenever it closes, which nobody asks for here.
    """

    def get_config_file(self) -> Any:
        return {}

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for component in self.blocks.values():
            # The events of `value=function` and `every=` are there now. The page would add them once more when it
            # closes, without name and guard
            if getattr(component, "load_event_to_attach", None):
                component.load_event_to_attach = None


class PageBlocks(gr.Blocks):  # type: ignore[misc]
    """Blocks whose configuration and API description a subclass can change before anybody sees them.

    A subclass can also guard its events. Gradio has no documented hook between building a page and serving it, and none
    around an event.
    """

    def change_config(self, config: dict[str, Any]) -> None:
        """Change the page's configuration in place; called once, when the page is complete."""

    def change_api(self, description: Any) -> Any:
        """The description of the API, changed."""
        return description

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if not any(error):
            # While it launches, Gradio computes these parts twice more, which is most of its work; they are final now
            parts = {name: self.config[name] for name in CONFIG_PARTS}
            self.change_config(parts)
            _to_json(parts)
            self.default_config.get_config = lambda: parts

    def get_config_file(self) -> Any:
        return super().get_config_file() | {
            "connect_heartbeat": True
        }  # else only pages with certain events say who is here

    def get_api_info(self, *args: Any, **kwargs: Any) -> Any:
        return self.change_api(super().get_api_info(*args, **kwargs))

    def around(self, listener: Listener, request: gr.Request | None) -> AbstractContextManager[None]:
        """The context of an event: of its arguments, its handler and what that returns, or one step of a generator."""
        return nullcontext()

    def checked(self, listener: Listener, inputs: Sequence[Any], parts: Sequence[Any]) -> Sequence[Any]:
        """What a client sent for each of the parts, before Gradio reads it; raises if it cannot be used.

        `parts` are the components as they are in the session; for a `gr.State` what was sent has no meaning.
        """
        return inputs

    def unreadable(self, listener: Listener, number: int, error: Exception) -> Exception:
        """What to raise in place of the error with which Gradio could not read that argument."""
        return error

    def no_event(self, listener: Listener) -> Exception:
        """What to raise where a client did not send what was clicked on."""
        return ValueError("no event data")

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        request, event = kwargs.get("request"), kwargs.get("event_data")
        listener = Listener(function)
        with self.around(listener, request if isinstance(request, gr.Request) else None):
            if listener.answers_clicks(self) and not isinstance(getattr(event, "_data", None), dict):
                raise self.no_event(listener)
            return await super().process_api(function, *args, **kwargs)

    async def preprocess_data(self, block_fn: Any, inputs: Any, state: Any, explicit_call: bool = False) -> list[Any]:
        listener = Listener(block_fn)
        parts = [
            part if part.stateful or state is None or part._id not in state else state[part._id]
            for part in block_fn.inputs
        ]
        inputs = list(self.checked(listener, inputs, parts))
        read = []
        for number, part in enumerate(block_fn.inputs):  # one by one, so that it is known which one cannot be read
            one = copy.copy(block_fn)
            one.inputs = [part]
            one.component_prop_inputs = [0] if number in block_fn.component_prop_inputs else []
            try:
                read += await super().preprocess_data(one, inputs[number : number + 1], state, explicit_call)
            except gr.Error:
                raise
            except Exception as error:
                raise self.unreadable(listener, number, error) from error
        return read


def _to_json(config: Any) -> bytes:
    """As Gradio writes a configuration into the page. Raises what the values in it raise."""
    return routes.ORJSONResponse._render(config)  # type: ignore[no-any-return]


def check_config(blocks: gr.Blocks) -> None:
    """Raise what computing or writing the configuration of one of the components raises: the page would end with it."""
    for component in blocks.blocks.values():
        _to_json(component.get_config())


@contextmanager
def no_web_servers() -> Iterator[None]:
    """Inside, Gradio makes no web server of 80 routes whenever a `gr.Blocks` opens, closes or gets its queue.

    Only the one that `launch()` makes is ever used; each of the others takes a tenth of a second, two for every demo.
    """
    create_app = routes.App.create_app
    routes.App.create_app = staticmethod(lambda *_, **__: None)
    try:
        yield
    finally:
        routes.App.create_app = staticmethod(create_app)


def belongs_to_page(blocks: gr.Blocks) -> str | None:
    """The name of a component in blocks that changes the whole page's routes or layout; `None` if there is none.

    A `gr.LoginButton` adds routes and sessions to the server, which fails without an OAuth application; of `gr.Navbar`
    a page may have one, and of the ids that `gr.DeepLinkButton` has there is one for all.
    """
    kinds = (gr.LoginButton, gr.Navbar, gr.DeepLinkButton)
    return next((type(part).__name__ for part in blocks.blocks.values() if isinstance(part, kinds)), None)


def open_blocks() -> gr.Blocks | None:
    """The outermost `gr.Blocks` whose `with` is running."""
    return Context.root_block


def is_innermost(blocks: gr.Blocks) -> bool:
    """Whether `blocks` are the innermost `with` that is running, so that no other inside was left open or failed."""
    return Context.root_block is blocks and Context.block is blocks


def enclosing_tab() -> gr.Tab | None:
    """The `gr.Tab` whose `with` is the innermost one running; `None` inside anything else."""
    return Context.block if isinstance(Context.block, gr.Tab) else None


def leave_all_blocks() -> None:
    """Make Gradio forget all running `with`s: an exception inside nested blocks leaves the outer ones open."""
    Context.root_block = Context.block = None


def on_page_load(fn: Callable[..., Any], inputs: Any = None, outputs: Any = None, **kwargs: Any) -> None:
    """`blocks.load(...)` of the blocks that are being built, for code that did not create them.

    Raises `RuntimeError` outside of a `gr.Blocks`.
    """
    blocks = open_blocks()
    if blocks is None:
        raise RuntimeError("An event of the page can be added only while a gr.Blocks is being built.")
    blocks.load(fn, inputs, outputs, **kwargs)


# What a page consists of


def listeners(blocks: gr.Blocks) -> list[Listener]:
    """All event listeners of blocks, in the order in which they were added."""
    return [Listener(function) for function in blocks.fns.values()]


def components(blocks: gr.Blocks) -> dict[int, Any]:
    """All that blocks consist of, layout included, by the id that the page's configuration has for it."""
    return dict(blocks.blocks)


def component_id(component: Any) -> int:
    """The id that the page's configuration has for a component."""
    return int(component._id)


def is_given_by_clients(component: Any) -> bool:
    """Whether a client of the API gives its value: not so for a `gr.State`, which the session holds."""
    return not component.skip_api


def number_renders(blocks: gr.Blocks, numbers: Iterator[int]) -> None:
    """Number what `@gr.render` makes: Gradio counts from 0 in each blocks, and two demos on a page would share ids."""
    for renderable in blocks.renderables:
        renderable._id = next(numbers)


# Events


def current_request() -> gr.Request | None:
    """The request whose event is being handled in this context; `None` outside of events.

    A handler gets a `gr.Request` only where it declares one, and a guard around all handlers cannot.
    """
    request: gr.Request | None = LocalContext.request.get(None)
    return request


def event_data(event: gr.EventData) -> dict[str, Any]:
    """All fields of an event's data: `gr.EventData` gives each by name, and does not list them."""
    data: dict[str, Any] = event._data
    return data


@contextmanager
def watch_answers(blocks: gr.Blocks, look: Callable[[Listener, Any], None]) -> Iterator[None]:
    """Inside, `look` is called with each event and what its handler returned or yielded, before Gradio reads it.

    The result of an event says nothing of values that Gradio drops, which it does with a warning.
    """
    real = blocks.postprocess_data

    async def postprocess_data(block_fn: Any, predictions: Any, state: Any) -> Any:
        parts = predictions if isinstance(predictions, list | tuple) else [predictions]
        if not any(part is components_module._Keywords.FINISHED_ITERATING for part in parts):
            look(Listener(block_fn), predictions)
        return await real(block_fn, predictions, state)

    blocks.postprocess_data = postprocess_data
    try:
        yield
    finally:
        del blocks.postprocess_data


# Files


def upload_folder() -> Path:
    """Where Gradio keeps the files that visitors upload, and serves files from."""
    return Path(utils.get_upload_folder())


def add_to_uploads(file: Path) -> Path:
    """A copy of the file among the uploads, so that the page may show it where a handler returns its path.

    Gradio does this for what it post-processes; a client whose event has no post-processing needs it done here. The
    copy is deleted as an upload is: once it is old, when there are too many, and when the server stops.
    """
    copy = processing_utils.save_file_to_cache(str(file), cache_dir=str(upload_folder()))
    blocks = LocalContext.blocks.get(None)
    if blocks is not None:
        blocks.upload_file_set.add(copy)
    return Path(copy)


# Serving

UNCHECKED = {"_frontend": False}
"""For `launch()`: Gradio gives up if its own page takes 3 s, as on a busy machine, although the server has answered."""


def queue_length(blocks: gr.Blocks) -> int:
    """How many events wait in the queue."""
    return len(blocks._queue)


def untold(blocks: gr.Blocks) -> bool:
    """Whether an event waits or runs, or its answer is still to be sent."""
    return bool(blocks._queue.event_ids_to_events) or unsent(blocks)


def unsent(blocks: gr.Blocks) -> bool:
    """Whether a visitor has not got an answer yet. Of who left in the middle, it may stay so."""
    return any(map(bool, list(blocks._queue.pending_event_ids_session.values())))


def end_events(blocks: gr.Blocks, output: Mapping[str, Any]) -> None:
    """End every event that waits or runs, with that error as its answer. From the event loop alone.

    Gradio ends them silently when it closes.
    """
    queue = blocks._queue
    for event in list(queue.event_ids_to_events.values()):
        queue.send_message(event, ProcessCompletedMessage(output=dict(output), success=False))


def keep_connections(blocks: gr.Blocks, seconds: float) -> None:
    """Have the web server keep an idle connection that long; by default it closes one after five seconds."""
    blocks.server.config.timeout_keep_alive = seconds


def close_connections_after(blocks: gr.Blocks, seconds: float) -> None:
    """Have the web server cut off running requests that long after it is asked to end; by default it waits."""
    blocks.server.config.timeout_graceful_shutdown = seconds


def end_node(blocks: gr.Blocks) -> None:
    """End the Node process that renders pages with SSR, where there is one; `close()` leaves it running."""
    if blocks.node_process is not None:
        blocks.node_process.kill()


def mcp_problem(blocks: gr.Blocks) -> str | None:
    """Why the MCP server of launched blocks did not start; Gradio goes on without it."""
    problem: str | None = blocks.mcp_error
    return problem
