"""What a plugin returns: a `Demo`, and the `Checkpoint`s it can load. Imports neither gradio nor torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from demo_app.models import ModelHandle
    from demo_app.tuning.tuner import Tuner

M = TypeVar("M")

_SLUG = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][A-Za-z]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
OWN = re.compile(r"own-(.+)-[0-9a-f]{16}")  # names of checkpoints that are a visitor's own


def called(name: str) -> str:
    """What a page calls a checkpoint: its name; of a visitor's own without the part that nobody must read.

    >>> called("own-reviews-0123456789abcdef"), called("tiny")
    ('reviews', 'tiny')
    """
    own = OWN.fullmatch(name)
    return own[1] if own is not None else name


class DemoError(Exception):
    """One sentence that a visitor may read, ending in what to do.

    Raise it in a handler or a `load`: the host shows its text. The text of any other exception stays in the log.
    With `values` the text is a template, which is looked up in the visitor's language and then formatted.

    >>> str(DemoError("There are {n} rows; shorten the file.", n=3))
    'There are 3 rows; shorten the file.'
    """

    def __init__(self, text: str, /, **values: Any) -> None:
        super().__init__(text.format(**values) if values else text)
        self.text = text
        self.values = values

    def __reduce__(self) -> Any:
        return _raised, (type(self), self.args, self.__dict__)


def _raised(kind: type[DemoError], args: tuple[Any, ...], state: dict[str, Any]) -> DemoError:
    """An error as it was before it was pickled, whatever its constructor takes."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(DemoError):
    """What the visitor sent cannot be used; the sentence says what can."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights and the files that belong to them, in the layout of a Hub repository.

    Either on the Hub (`repo_id` and `revision`) or embedded in the plugin's package (`folder`).

    >>> Checkpoint(name="tiny", title="Tiny, embedded", folder=Path("weights/tiny")).on_hub
    False
    """

    name: str  # "tiny", "gpt2": picker, command line and API value
    title: str  # what the picker shows
    repo_id: str | None = None  # on the Hub, pinned:
    revision: str | None = None  #   one commit, 40 hex digits; a branch name is an error
    files: tuple[str, ...] = ("config.json", "model.safetensors")
    folder: Path | None = None  # or embedded in the plugin's package
    size: int | None = None  # bytes to fetch, shown before the click
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)  # of files, by name: checked after a fetch
    license: str | None = None

    def __post_init__(self) -> None:
        where = f"Checkpoint {self.name!r}"
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise ValueError(f"{where}: name must be letters, digits, '_', '-' or '.'; rename it.")
        if not self.title.strip():
            raise ValueError(f"{where}: title is empty; say what the picker shall show.")
        if (self.repo_id is None) == (self.folder is None):
            raise ValueError(f"{where}: give either repo_id and revision (Hub) or folder (embedded).")
        if self.repo_id is not None:
            if not _REPO_ID.fullmatch(self.repo_id):
                raise ValueError(f"{where}: repo_id {self.repo_id!r} must read 'owner/name'.")
            if self.revision is None or not _COMMIT.fullmatch(self.revision):
                raise ValueError(
                    f"{where}: revision {self.revision!r} must be a commit of 40 hex digits, not a branch or a tag, "
                    "or what the demo loads would change under it; copy it from the repository's history."
                )
        elif self.revision is not None:
            raise ValueError(f"{where}: revision belongs to a repo_id; remove it.")
        if not self.files:
            raise ValueError(f"{where}: files is empty; list what `load` reads.")
        for file in self.files:
            if file.startswith("/") or ".." in file.split("/") or "\\" in file:
                raise ValueError(f"{where}: file {file!r} must lie inside the checkpoint's folder.")
        if self.size is not None and self.size < 0:
            raise ValueError(f"{where}: size {self.size} must be the bytes to fetch.")
        for file, digest in self.sha256.items():
            if file not in self.files:
                raise ValueError(f"{where}: sha256 names {file!r}, which is not among files; list it there.")
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"{where}: sha256 of {file!r} must be 64 hex digits.")

    @property
    def on_hub(self) -> bool:
        return self.repo_id is not None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A published output beside what the model here gives; `demo-app selfcheck` prints it."""

    what: str  # "logits of 'So have I!'"
    source: str  # where the expected values were published
    expected: tuple[float, ...] | str
    found: tuple[float, ...] | str
    tolerance: float = 0.0  # absolute, for numbers

    @property
    def difference(self) -> float | None:
        """The largest absolute difference; `None` where texts, or unlike shapes, are compared."""
        if isinstance(self.expected, str) or isinstance(self.found, str) or len(self.expected) != len(self.found):
            return None
        differences = [abs(a - b) for a, b in zip(self.expected, self.found, strict=True)]
        return max(differences, key=lambda d: (math.isnan(d), d), default=0.0)  # NaN is the worst of all

    @property
    def ok(self) -> bool:
        difference = self.difference
        return self.expected == self.found if difference is None else difference <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Demo(Generic[M]):
    """A model factory and the tab that shows what the factory makes.

    `load` and `build` should import torch and gradio inside, so that listing plugins stays instant.
    """

    name: str  # slug: ?demo=name in the address, prefix of every API name
    title: str
    summary: str  # one sentence
    load: Callable[[Path | None, str], M]  # model factory: (folder of the checkpoint, device) -> model
    build: Callable[[ModelHandle[M]], None]  # the tab: called once, inside a gr.Blocks that the host owns
    checkpoints: tuple[Checkpoint, ...] = ()  # the first is the default
    order: int = 100
    selfcheck: Callable[[M, Checkpoint], Iterable[Comparison]] | None = None  # published outputs against this model's
    tuner: Callable[[], Tuner[M]] | None = None  # how its models learn from one's own examples: `demo-app finetune`
    # language -> English text of the tab -> the same in that language: {"zh-CN": {"Shout": "大声说"}}
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"Demo {self.name!r}"
        if not _SLUG.fullmatch(self.name):
            raise ValueError(f"{where}: name must be a slug like 'text_classifier' (a-z, 0-9, '_').")
        if self.name == "status":
            raise ValueError(f"{where}: 'status' is the host's own tab; choose another name.")
        for text in ("title", "summary"):
            if not getattr(self, text).strip():
                raise ValueError(f"{where}: {text} is empty; write one.")
        for function in ("load", "build"):
            if not callable(getattr(self, function)):
                raise TypeError(f"{where}: {function} must be a function.")
        for optional in ("selfcheck", "tuner"):
            if getattr(self, optional) is not None and not callable(getattr(self, optional)):
                raise TypeError(f"{where}: {optional} must be a function, or None.")
        for language, texts in self.translations.items():
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f"{where}: translations has {language!r}; name a language as in 'zh-CN', 'de'.")
            if not all(isinstance(text, str) and text.strip() for pair in texts.items() for text in pair):
                raise ValueError(f"{where}: translations into {language} must be texts; remove the empty ones.")
        if not all(isinstance(checkpoint, Checkpoint) for checkpoint in self.checkpoints):
            raise TypeError(f"{where}: checkpoints must be a tuple of demo_app.Checkpoint.")
        names = [checkpoint.name for checkpoint in self.checkpoints]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{where}: two checkpoints are named {name!r}; rename one.")

    def checkpoint(self, name: str | None = None) -> Checkpoint | None:
        """The checkpoint of that name; with no name the first, or `None` where the demo has none.

        Raises `InputError` for a name that the demo does not have.
        """
        if name is None:
            return self.checkpoints[0] if self.checkpoints else None
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return checkpoint
        known = ", ".join(checkpoint.name for checkpoint in self.checkpoints) or "none"
        raise InputError(f"{self.title} has no checkpoint {name!r}; choose one of: {known}.")
