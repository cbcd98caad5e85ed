"""What a plugin returns: a `Demo`, and the `Checkpoint`s it can load. Imports neither gradio nor torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from demo_app.errors import InputError

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)

_SLUG = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][A-Za-z]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
OWN = re.compile(r"own-(.+)-[0-9a-f]{16}")  # names of checkpoints that are a visitor's own


def display_name(name: str) -> str:
    """What a page calls a checkpoint: its name, without the secret part in the name of a visitor's own.

    >>> display_name("own-reviews-0123456789abcdef"), display_name("tiny")
    ('reviews', 'tiny')
    """
    own = OWN.fullmatch(name)
    return own[1] if own is not None else name


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
    """A published output beside what the model gives here; `demo-app selfcheck` prints both."""

    what: str  # "logits of 'So have I!'"
    source: str  # where the expected values were published
    expected: tuple[float, ...] | str
    found: tuple[float, ...] | str
    tolerance: float = 0.0  # absolute, for numbers

    @property
    def difference(self) -> float | None:
        """The largest absolute difference; `None` for texts, and for sequences of different lengths."""
        if isinstance(self.expected, str) or isinstance(self.found, str) or len(self.expected) != len(self.found):
            return None
        differences = [abs(a - b) for a, b in zip(self.expected, self.found, strict=True)]
        return max(differences, key=lambda d: (math.isnan(d), d), default=0.0)  # NaN is the worst of all

    @property
    def ok(self) -> bool:
        difference = self.difference
        return self.expected == self.found if difference is None else difference <= self.tolerance


class ModelHandle(Protocol[M]):
    """A demo's access to its models and to the page: what `build` gets."""

    @property
    def demo(self) -> Demo[M]:
        """The demo whose tab is built."""

    @property
    def settings(self) -> Any:
        """The host's `demo_app.settings.Settings`, such as `max_text`, the most characters of a text."""

    def use(self, name: str | None = None) -> AbstractContextManager[M]:
        """Lease the model of the checkpoint `name`, without a name the default one, for the `with` statement.

        The first use loads it. Raises `DemoError` if it cannot be loaded, and inside `build`.

        >>> with handle.use("tiny") as model:  # doctest: +SKIP
        ...     model.predict("a sentence")
        """

    def folder(self, name: str) -> Path | None:
        """The folder of the checkpoint's files; `None` while they are only on the Hub. Loads and downloads nothing."""

    def choices(self, visitor: str | None = None) -> list[tuple[str, str]]:
        """(label, name) of each checkpoint: the demo's, then those that are the visitor's own.

        The label has the size, the licence and where the files are. `visitor` is what
        `demo_app.page.visitors.visitor(request)` returns.
        """

    def picker(self, **kwargs: Any) -> Any:
        """A `gr.Dropdown` of the demo's checkpoints, for use inside `build`; its value is the checkpoint's name.

        Below it, while the chosen checkpoint is only on the Hub: its size, a Fetch button, progress, Cancel. On a page
        that is not public, its last choice asks for a folder, which becomes a choice of that visitor's.
        """

    def add_own(self, folder: Path, title: str, request: Any) -> Any:
        """Make a folder the visitor's own checkpoint, and choose it in the picker; for use inside a handler.

        The folder has the files of one of the demo's checkpoints. Nothing is loaded, and only this visitor is offered
        it. It is forgotten when the page is closed, and the folder stays.

        Args:
            folder: where the files are.
            title: what the picker shows.
            request: the `gr.Request` of the event, which says whose checkpoint it is.

        Returns:
            An update, which the event returns to the `gr.Dropdown` that `picker` made.

        Raises:
            InputError: if files are missing.
        """

    def on_open(self, fn: Callable[..., Any], inputs: Any = None, outputs: Any = None, **kwargs: Any) -> None:
        """Call `fn` when a visitor opens the page, for use inside `build`. It must be fast: every visitor waits for it.

        `inputs`, `outputs` and `kwargs` are those of a Gradio event.
        """

    def finetune(self, picker: Any, reads: Sequence[str]) -> None:
        """Build a whole tab "Fine-tune", for use inside `with gr.Tab(...)`.

        Args:
            picker: the `gr.Dropdown` with the checkpoint to start from; trained checkpoints become choices of it.
            reads: what the demo's `tuner` reads, such as `("text",)`.
        """


class Tuner(Protocol[M_co]):
    """How a demo's models learn from a visitor's examples: a `demo_app.finetune.tuner.Tuner`, which needs torch."""

    reads: tuple[str, ...]  # what an example has beside its label, of "text" and "image"
    head: tuple[str, ...]  # names of the layers that know the classes

    def load(self, folder: Path) -> M_co:
        """The model of a checkpoint."""

    def labels(self, folder: Path) -> tuple[str, ...]:
        """The classes of a checkpoint, in the order of the logits."""

    def sample(self, folder: Path) -> list[Path]:
        """Write examples that a visitor can try into a folder; returns their paths, or none."""


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
        if not isinstance(self.order, int | float) or math.isnan(self.order):
            raise TypeError(f"{where}: order must be a number.")
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
        """The checkpoint of that name; without a name the first, or `None` if the demo has no checkpoints.

        Raises `InputError` for a name that the demo does not have.
        """
        if name is None:
            return self.checkpoints[0] if self.checkpoints else None
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return checkpoint
        known = ", ".join(checkpoint.name for checkpoint in self.checkpoints) or "none"
        raise InputError(
            "{demo} has no checkpoint {name}; choose one of: {known}.", demo=self.title, name=repr(name), known=known
        )
