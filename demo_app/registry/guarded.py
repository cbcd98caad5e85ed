"""Run a plugin's own code: whatever it raises is recorded, it cannot take for ever, and what all share is put back."""

from __future__ import annotations

import ctypes
import logging
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from demo_app.registry.launching import no_launch
from demo_app.registry.plugin import Plugin, PluginError, Stage
from demo_app.registry.process import put_back

log = logging.getLogger(__name__)

SLOW = 2.0  # seconds after which the log says what the start is waiting for
LONGEST = 300  # characters of a plugin's own message on the page; the log has 20,000 of its traceback
INTERRUPT = getattr(signal, "SIGURG", None)  # ignored by default, and used by nobody; none on Windows


class TooSlow(BaseException):
    """Raised inside a plugin's code when its time is up."""


@contextmanager
def guarded(
    plugin: Plugin, stage: Stage, what: str, fix: str, seconds: float, changes: list[str] | None = None
) -> Iterator[None]:
    """Run a plugin's code inside the `with`, where `launch()` of Gradio blocks does nothing.

    Args:
        plugin: whose code it is, for the log.
        stage: for the error.
        what: what runs, such as "importing demo_app_echo".
        fix: what to do if it fails, such as "see the log".
        seconds: after which it is given up. In the main thread this interrupts what waits, too; in other threads, and
            on Windows, the code is left as soon as it is back in Python. A call into C is never interrupted.
        changes: gets the calls that changed what all plugins share, whether the code raises or not.

    Raises:
        PluginError: for whatever the code raises, but for KeyboardInterrupt and a `PluginError` of its own.
    """

    def say() -> None:
        log.warning("plugin %s: its launch() does nothing; the host serves the page", plugin.name)

    changed: list[str] = []
    try:
        with no_launch(say), put_back() as changed, _time_limit(plugin, what, seconds):
            yield
    except (KeyboardInterrupt, PluginError):
        raise
    except TooSlow as error:
        log.error("plugin %s: %s took longer than %g s\n%s", plugin.name, what, seconds, _traceback(error))
        text = "{what} took longer than {seconds} s and was given up; make it faster, or raise DEMO_APP_BUILD_SECONDS."
        raise PluginError(stage, text, what=what, seconds=f"{seconds:g}") from error
    except BaseException as error:
        log.error("plugin %s: %s failed\n%s", plugin.name, what, _traceback(error))
        raise PluginError(
            stage, "{what} failed with {reason}; {fix}", what=what, reason=reason(error), fix=fix
        ) from error
    finally:
        if changes is not None:
            changes += changed
        if changed:
            text = "plugin %s: %s changed what all plugins share, which the host puts back: %s"
            log.warning(text, plugin.name, what, ", ".join(changed))


def reason(error: BaseException) -> str:
    """An exception in one line: its class and its message. An exception whose message cannot be had has none."""
    message = ""
    with suppress(Exception):
        message = " ".join(str(error).split())
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))[-20_000:]
    except Exception:  # its class, or what it holds, cannot be formatted
        return type(error).__name__


@contextmanager
def _time_limit(plugin: Plugin, what: str, seconds: float) -> Iterator[None]:
    """Say after `SLOW` seconds that it is slow; raise `TooSlow` inside the `with` once its time is up."""
    thread, done, fired = threading.get_ident(), threading.Event(), threading.Event()
    by_signal = INTERRUPT is not None and threading.current_thread() is threading.main_thread()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not done.is_set():
            raise TooSlow

    def raise_there() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TooSlow))

    def watch() -> None:
        started = time.monotonic()
        if done.wait(min(SLOW, seconds)):
            return
        if seconds > SLOW:
            log.warning("plugin %s: %s is slow; the page waits for it for up to %g s", plugin.name, what, seconds)
        if done.wait(max(0.0, seconds - (time.monotonic() - started))):
            return
        while True:  # again each second, for code that catches everything
            fired.set()
            if by_signal and INTERRUPT is not None:
                signal.pthread_kill(thread, INTERRUPT)
            else:
                raise_there()
            if done.wait(1.0):
                return

    before = signal.signal(INTERRUPT, interrupt) if by_signal and INTERRUPT is not None else None
    watcher = threading.Thread(target=watch, name=f"waiting for {plugin.name}", daemon=True)
    watcher.start()
    try:
        try:
            yield
        finally:
            done.set()
    except TooSlow:  # which may have come just before the line above
        done.set()
        raise
    finally:
        if by_signal and INTERRUPT is not None:
            signal.signal(INTERRUPT, before)
        else:
            watcher.join()
            if fired.is_set():  # one may come late: it is had here, since Python goes on looking for one taken back
                raise_there()
                with suppress(TooSlow):
                    while True:
                        time.sleep(0)
