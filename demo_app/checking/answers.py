"""What handlers return while the page runs: as many values as there are outputs, and plain enough to be pickled."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from demo_app.checking.report import Findings
from demo_app.checking.source import PLAIN

if TYPE_CHECKING:
    import gradio as gr

    from demo_app.gradio_internals import Listener

FIT = "Give outputs a component for each value that the handler returns, in their order."


@contextmanager
def watched(blocks: gr.Blocks, demos: Collection[str], found: Findings) -> Iterator[None]:
    """Report what the handlers of these demos on a page return that cannot be shown or sent on."""
    from demo_app.gradio_internals import watch_answers
    from demo_app.page.tabs import of_the_host

    def look(event: Listener, values: Any) -> None:
        demo = max((name for name in demos if event.name.startswith(f"{name}_")), key=len, default=None)
        if demo is None or of_the_host(event.handler):
            return
        where = f"{demo}: /{event.name.removeprefix(f'{demo}_')}"
        what = misfit(values, [part.get_block_name() for part in event.outputs])
        if what and not is_misfit(where, found):
            found.add("handlers", f"{where} {what}.", FIT)
        if why := unpicklable(values):
            what = f"{where} returns what cannot be pickled ({why}), so it cannot run on ZeroGPU or at a worker."
            found.add("handlers", what, "Return plain data; what belongs to the model stays in the model.")

    with watch_answers(blocks, look):
        yield


def is_misfit(where: str, found: Findings) -> bool:
    """Whether it was reported already that the values of an action do not fit; `where` is "demo: /action"."""
    return any(problem.fix == FIT and problem.what.startswith(f"{where} ") for problem in found.problems)


def misfit(values: Any, outputs: list[str]) -> str:
    """ "returns 2 values and has 1 output", if they do not fit; else "". `outputs` are kinds, as in "textbox"."""
    if isinstance(values, dict) and len(outputs) != 1:
        return ""  # updates by component
    count = len(values) if isinstance(values, list | tuple) else 1
    if not outputs:
        nothing = values is None or (isinstance(values, list | tuple) and all(value is None for value in values))
        return "" if nothing else "returns something and has no outputs"
    if len(outputs) == 1:
        too_many = isinstance(values, tuple) and count > 1 and outputs[0] in PLAIN
        return f"returns {count} values and has 1 output" if too_many else ""
    if count != len(outputs):
        return f"returns {count} value{'s' * (count != 1)} and has {len(outputs)} outputs"
    return ""


def unpicklable(value: Any) -> str:
    """Why a value cannot be pickled; "" if it can."""
    try:
        pickle.dumps(value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:120]
    return ""
