"""The problems that `demo-app check` finds, and their text."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from demo_app.registry.plugin import Plugin


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to fix it."""

    stage: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.what} {self.fix}".rstrip()


@dataclass(frozen=True)
class Report:
    """What `check_demo` found."""

    target: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} problem(s)" if self.problems else "ok"
        lines = [f"{self.target}: {verdict}", *(f"  - {problem}" for problem in self.problems)]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes), ""])


@dataclass
class Findings:
    """Problems and notes, collected while the checks run; `tell` hears each at once."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tell: Callable[..., None] = lambda **what: None
    seconds: float = 60.0  # that a step may take

    def add(self, stage: str, what: str, fix: str) -> None:
        """Record a problem, unless the same one is recorded already."""
        problem = Problem(stage, what, fix)
        if problem not in self.problems:
            self.problems.append(problem)
            self.tell(problem=[stage, what, fix])

    def note(self, text: str) -> None:
        """Record a remark that is no problem."""
        self.notes.append(text)
        self.tell(note=text)

    def step(self, name: str, seconds: float | None = None) -> None:
        """Say what is done next, and how long it may take; without a number as long as any other step."""
        self.tell(step=name, **({} if seconds is None else {"seconds": seconds}))


def describe(error: BaseException | None) -> str:
    """The exception as one sentence without its full stop: "ValueError: no such file"."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def plugin_line(error: BaseException | None, plugin: Plugin) -> str:
    """ " (at file:line)" for the innermost line of the plugin's own code in the traceback; "" if there is none."""
    own = owner(plugin)
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    for frame in reversed(frames):
        if own(Path(frame.filename)):
            return f" (at {frame.filename}:{frame.lineno})"
    if isinstance(error, SyntaxError) and error.filename:
        return f" (at {error.filename}:{error.lineno})"
    return ""


def owner(plugin: Plugin) -> Callable[[Path], bool]:
    """A function that says whether a file is the plugin's own code: in its folder, or of its installed package."""
    if plugin.path is not None:
        place = plugin.path
    else:
        try:
            spec = importlib.util.find_spec(plugin.value.partition(":")[0].partition(".")[0])
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.origin:
            return lambda file: False
        origin = Path(spec.origin)
        place = origin.parent if origin.name == "__init__.py" else origin
    return lambda file: file.is_relative_to(place)
