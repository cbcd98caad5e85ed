"""A plugin's code may raise what it likes and take as long as it likes: it is one sentence that says what to do."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from demo_app.registry.guarded import INTERRUPT, LONGEST, guarded, reason
from demo_app.registry.plugin import Plugin, PluginError

PLUGIN = Plugin(name="tried", value="tried_module", distribution="tried", version="1", source="installed")


class Panic(BaseException):
    """As Rust's panics are."""


class Unspeakable(Exception):
    """Its message cannot be had."""

    def __str__(self) -> str:
        raise ValueError


def run(code: Callable[[], Any], seconds: float = 60, changes: list[str] | None = None) -> None:
    with guarded(PLUGIN, "import", "importing it", "see the log.", seconds, changes):
        code()


def fail(error: BaseException) -> Callable[[], None]:
    def code() -> None:
        raise error

    return code


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("of  two\nlines"), "importing it failed with ValueError: of two lines; see the log."),
        (SystemExit(3), "importing it failed with SystemExit: 3; see the log."),
        (GeneratorExit(), "importing it failed with GeneratorExit; see the log."),
        (Panic("gone"), "importing it failed with Panic: gone; see the log."),
        (Unspeakable(), "importing it failed with Unspeakable; see the log."),
    ],
)
def test_whatever_is_raised_is_one_sentence(error: BaseException, sentence: str, caplog: Any) -> None:
    with pytest.raises(PluginError) as caught:
        run(fail(error))
    assert (str(caught.value), caught.value.stage, caught.value.__cause__) == (sentence, "import", error)
    assert "plugin tried: importing it failed\nTraceback" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PluginError("hook", "Its own words.")])
def test_ctrl_c_and_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run(fail(error))
    assert caught.value is error


@pytest.mark.parametrize(("count", "said"), [(LONGEST, "x" * LONGEST), (LONGEST + 1, "x" * LONGEST + "...")])
def test_a_long_message_is_cut(count: int, said: str) -> None:
    assert reason(ValueError("x" * count)) == f"ValueError: {said}"


def wait_in_c() -> None:
    threading.Event().wait()


def wait_in_python() -> None:
    while True:
        time.sleep(0.001)


def catch_everything() -> None:
    for _ in range(2):
        try:
            wait_in_python()
        except BaseException:
            continue


@pytest.mark.parametrize("code", [wait_in_c, wait_in_python, catch_everything])
def test_in_the_main_thread_all_that_takes_too_long_is_given_up(code: Callable[[], None], caplog: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("this runner has its tests in another thread")
    assert INTERRUPT is not None
    before = signal.getsignal(INTERRUPT)
    if code is catch_everything:
        run(code, seconds=0.1)  # it ended on its own, when it was interrupted the second time
    else:
        sentence = "importing it took longer than 0.1 s and was given up; make it faster, or raise DEMO_APP_BUILD_SEC"
        with pytest.raises(PluginError, match=sentence):
            run(code, seconds=0.1)
        assert "took longer than 0.1 s\nTraceback" in caplog.text
    assert signal.getsignal(INTERRUPT) == before
    assert "is slow" not in caplog.text


def test_in_another_thread_python_code_is_given_up() -> None:
    told: list[str] = []

    def there() -> None:
        try:
            run(wait_in_python, seconds=0.1)
        except PluginError as error:
            told.append(str(error))
        for _ in range(1000):  # nothing comes afterwards
            time.sleep(0)
        told.append("and on")

    thread = threading.Thread(target=there)
    thread.start()
    thread.join(60)
    assert told[0].startswith("importing it took longer than 0.1 s")
    assert told[1:] == ["and on"]


def test_code_that_is_in_time_is_not_interrupted_and_its_watcher_ends() -> None:
    for _ in range(3):
        run(lambda: None, seconds=5)
    deadline = time.monotonic() + 60
    while any(thread.name == "waiting for tried" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("error", [None, ValueError()])
def test_changes_are_collected_whether_it_raises_or_not(error: Exception | None, caplog: Any) -> None:
    changes = ["earlier"]

    def code() -> None:
        os.environ["CHANGED_BY_IT"] = "1"
        if error is not None:
            raise error

    if error is None:
        run(code, changes=changes)
    else:
        with pytest.raises(PluginError):
            run(code, changes=changes)
    assert changes == ["earlier", "os.environ CHANGED_BY_IT"]
    assert "importing it changed what all plugins share, which the host puts back: os.environ CHANGED" in caplog.text
    caplog.clear()
    run(lambda: None)
    assert not caplog.records


def test_launch_says_that_the_host_does_that(caplog: Any) -> None:
    import gradio as gr

    real = gr.Blocks.launch
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("it")
    for _ in range(2):
        run(lambda: page.launch(share=True))
        assert gr.Blocks.launch is real
    assert caplog.text.count("plugin tried: its launch() does nothing; the host serves the page") == 2
