"""A process of its own, with a time limit, for code of a plugin that may hang, crash or end the process.

What it finds it says at once, a line of JSON each, so that nothing is lost when it dies. Its output and its exit code
mean nothing: a plugin may print at exit, close stdout or call `os._exit`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Tell = Callable[..., None]  # tell(**what): what the child has to say, as JSON

START = "import sys; sys.path[:] = {path!r}; from demo_app.checking.child import main; main(sys.argv[1])"
DUMP = getattr(signal, "SIGUSR1", None)  # asks the child where it is; Windows has none
START_SECONDS = 60.0  # for Python and the imports of demo_app; the time of the task counts from its first word
TICK = 0.05  # seconds between looks at a child


def run(
    function: str, task: Any, tell: Tell, *, seconds: float, own: Callable[[Path], bool] = lambda file: False
) -> tuple[str, str]:
    """Call `module:function(task, tell)` in a process of its own, in an empty current folder.

    Args:
        function: its module and name.
        task: what it gets; is pickled.
        tell: is called with everything that the child tells, as soon as it does.
        seconds: that may pass without a word of it.
        own: whether a file belongs to the plugin whose line shall be named.

    Returns:
        How it died, as in "ended the process with signal 11 (Segmentation fault)", and where, " (at file:line)"; both
        are empty if it came to its end.
    """
    with tempfile.TemporaryDirectory(prefix="demo-app-check-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "here").mkdir()
        (folder / "task").write_bytes(pickle.dumps((function, task)))
        path = [os.path.abspath(entry) for entry in sys.path]
        with (folder / "output").open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-c", START.format(path=path), str(folder)],
                cwd=folder / "here",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                how = _listen(child, folder / "said", tell, seconds)
                if how and child.poll() is None and DUMP is not None:
                    child.send_signal(DUMP)
                    _wait(lambda: (folder / "stack").stat().st_size > 0, 2.0)
            finally:
                _end(child)
        return how, _where(folder / "stack", own) if how else ""


def _listen(child: subprocess.Popen[bytes], said: Path, tell: Tell, seconds: float) -> str:
    """Pass on what the child says. Returns "" once it says that it is done, else how it died."""
    position, until = 0, time.monotonic() + seconds + START_SECONDS
    while True:
        code = child.poll()  # before the look at the file: what was written before it died is read
        if said.is_file():
            with said.open("rb") as file:
                file.seek(position)
                text = file.read()
            lines = text[: text.rfind(b"\n") + 1]
            position += len(lines)
            for line in lines.splitlines():
                what = json.loads(line)
                until = time.monotonic() + what.pop("seconds", seconds)
                if what.get("done"):
                    return ""
                tell(**what)
        if code is not None:
            if code >= 0:
                return f"ended the process with exit code {code}"
            named = f" ({signal.strsignal(-code)})" if signal.strsignal(-code) else ""
            return f"ended the process with signal {-code}{named}"
        if time.monotonic() > until:
            return f"did not end within {seconds:.0f} s"
        time.sleep(TICK)


def _wait(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(TICK)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (AttributeError, OSError):  # Windows has no groups; the group may be gone
        child.kill()
    child.wait()


def _where(stack: Path, own: Callable[[Path], bool]) -> str:
    """The innermost line of the plugin in what faulthandler wrote: the thread that crashed comes first."""
    text = stack.read_text("utf-8", errors="replace") if stack.is_file() else ""
    for file, line in re.findall(r'File "(.+)", line (\d+)', text):
        if own(Path(file)):
            return f" (at {file}:{line})"
    return ""


def main(place: str) -> None:
    """In the child: do the task, and end without anything that runs at exit."""
    folder = Path(place)
    function, task = pickle.loads((folder / "task").read_bytes())
    stack = (folder / "stack").open("w")
    faulthandler.enable(stack)
    if DUMP is not None:
        faulthandler.register(DUMP, stack)
    said = (folder / "said").open("a", encoding="utf-8")

    def tell(**what: Any) -> None:
        said.write(json.dumps(what) + "\n")
        said.flush()

    module, _, name = function.partition(":")
    try:
        getattr(import_module(module), name)(task, tell)
        tell(done=True)
    except BaseException:
        import traceback

        traceback.print_exc(file=stack)
        stack.flush()
        os._exit(70)
    os._exit(0)
