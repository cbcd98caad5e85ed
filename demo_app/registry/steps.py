"""One step of a plugin, its import, its hook or the build of a tab: nothing that it does harms the host.

Whatever it raises becomes a `PluginError`, what it changes of the process is put back, and a slow one is logged and
then given up.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from demo_app.registry.plugin import PluginError, Stage
from demo_app.registry.process import put_back

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds until the log says what is taking so long
LONGEST_REASON = 300  # characters


class TooSlow(BaseException):
    """The step took too long. No `Exception`, so that a plugin that catches those does not go on."""


@contextmanager
def step(plugin: str, stage: Stage, doing: str, failed: str, *, seconds: float, **values: Any) -> Iterator[list[str]]:
    """Run the code inside as one step of a plugin.

    Args:
        plugin: the plugin's name, for the log.
        stage: where the plugin is on its way.
        doing: what the step does, for the log: "importing demo_app_echo".
        failed: the sentence if it fails, with "{reason}" and the names of `values`.
        seconds: when to give up. Only the main thread can be interrupted; other threads, and Windows, only say so.
        values: of the sentence.

    Yields:
        A list that afterwards names what the step changed of the process, which was put back.

    Raises:
        PluginError: if the code inside raises anything but `KeyboardInterrupt`, or takes too long.
    """
    changed: list[str] = []
    try:
        with put_back() as changed, _watched(plugin, doing, seconds):
            yield changed
    except (PluginError, KeyboardInterrupt):
        raise
    except TooSlow:
        text = "{doing} took more than {seconds} s; make it faster, or raise DEMO_APP_BUILD_SECONDS."
        raise PluginError(stage, text, doing=doing, seconds=f"{seconds:g}") from None
    except BaseException as error:
        log.error("plugin %s: %s failed", plugin, doing, exc_info=True)
        raise PluginError(stage, failed, reason=reason_of(error), **values) from error
    finally:
        if changed:
            log.warning("plugin %s: %s changed %s; it was put back", plugin, doing, ", ".join(changed))


def reason_of(error: BaseException) -> str:
    """The exception's kind and its text on one line, shortened; the kind alone if it has no text or that raises."""
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except BaseException:  # a text that raises
        text = ""
    if len(text) > LONGEST_REASON:
        text = text[:LONGEST_REASON] + "..."
    return f"{kind}: {text}" if text else kind


@contextmanager
def _watched(plugin: str, doing: str, seconds: float) -> Iterator[None]:
    """Log what goes on after two seconds, and raise `TooSlow` in the code inside after `seconds`."""
    done = threading.Event()
    started = time.monotonic()

    def watch() -> None:
        if not done.wait(min(PATIENCE, seconds)):
            log.warning("plugin %s: still %s after %.0f s", plugin, doing, time.monotonic() - started)
            if not done.wait(max(0, seconds - PATIENCE)) and not interruptible:
                log.error("plugin %s: %s takes more than %g s and cannot be interrupted here", plugin, doing, seconds)

    def give_up(*_: Any) -> None:
        if not done.is_set():
            raise TooSlow

    interruptible = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    threading.Thread(target=watch, name=f"watch {plugin}", daemon=True).start()
    if not interruptible:
        try:
            yield
        finally:
            done.set()
        return
    before = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again each second, for code that catches everything
        yield
    finally:
        done.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
