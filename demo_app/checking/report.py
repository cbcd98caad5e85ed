"""What was found wrong with a plugin, and how it is said."""

from __future__ import annotations

import importlib.util
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from demo_app.registry.plugin import Plugin


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to mend it."""

    stage: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.what} {self.mend}".rstrip()


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
    """What has been found so far."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, stage: str, what: str, mend: str) -> None:
        problem = Problem(stage, what, mend)
        if problem not in self.problems:
            self.problems.append(problem)


def described(error: BaseException | None) -> str:
    """An exception as one sentence without its full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def line_in(error: BaseException | None, plugin: Plugin) -> str:
    """ " (at file:line)" of the plugin's own line that an exception came from; empty where there is none."""
    own = _folders(plugin)
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    for frame in reversed(frames):
        if any(Path(frame.filename).is_relative_to(folder) for folder in own):
            return f" (at {frame.filename}:{frame.lineno})"
    if isinstance(error, SyntaxError) and error.filename:
        return f" (at {error.filename}:{error.lineno})"
    return ""


def _folders(plugin: Plugin) -> list[Path]:
    """Where the plugin's code lies."""
    if plugin.path is not None:
        return [plugin.path]
    spec = importlib.util.find_spec(plugin.value.partition(":")[0].partition(".")[0])
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    return [] if origin is None else [origin.parent if origin.name == "__init__.py" else origin]
