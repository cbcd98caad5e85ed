"""What a click does in the panel "Your examples"."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from demo_app import viz
from demo_app.errors import DemoError, InputError
from demo_app.finetune.data import Data, check, read_data
from demo_app.finetune.recipe import Recipe
from demo_app.inputs.uploads import uploaded
from demo_app.page.finetune_tab import views
from demo_app.page.finetune_tab.session import OwnExamples, keep_copy
from demo_app.page.finetune_tab.workshop import FILES, Workshop
from demo_app.page.visitors import uploaded_by, visitor

ANSWERS = {True: "yes", False: "no", None: None}


class ExampleActions:
    """Reads a visitor's examples; one method for each event. All yield updates of the panel."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def data(self, files: list[str] | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Read the examples to fine-tune on. They belong to this session and are deleted with it.

        Args:
            files: what the page asks for: a CSV, pictures, or a ZIP of them.

        Returns:
            Rows, classes and what is wrong, as HTML; whether labels that look alike are the same has to be answered.
        """
        if not files:
            raise InputError("There are no data yet; choose a file.")
        owner, folder = visitor(request), self._new_folder(request)
        sources = []
        for number, file in enumerate(files):
            path = uploaded(str(file))
            if uploaded_by(request, path):
                self.workshop.trainings.remember(owner, path)
            sources.append(keep_copy(path, folder / f"{number:05}"))
        yield from self._read(folder, sources, None)

    def example(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Take examples that the demo brings, to see how fine-tuning goes.

        Returns:
            Rows and classes, as HTML; the rest is for the page.
        """
        folder = self._new_folder(request)
        sources = self.workshop.tuner().sample(folder)
        if not sources:
            raise InputError("{title} has no example; choose a file of your own.", title=self.workshop.demo.title)
        for updates in self._read(folder, sources, None):
            yield *updates, None

    def answer(self, same: str | None, examples: OwnExamples | None) -> Iterator[tuple[Any, ...]]:
        """Say whether labels that differ only in capitals or spaces are one class.

        Args:
            same: yes, they become one; no, they are different classes.
            examples: the session's examples.

        Returns:
            What `finetune_data` returns.
        """
        if examples is None:
            raise InputError("There are no data yet; choose a file.")
        if same not in ("yes", "no"):
            raise InputError("Are they the same? Answer yes or no.")
        yield from self._read(examples.folder, examples.sources, same == "yes")

    def files_removed(self, files: list[str] | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Some of the files, or all, were removed from the list on the page."""
        if files:
            yield from self.data(files, request)
        else:
            yield None, viz.note(FILES[self.workshop.reads], kind="hint"), gr.update(visible=False, value=None)

    def _new_folder(self, request: gr.Request) -> Path:
        folder = self.workshop.trainings.folder(visitor(request))
        return Path(tempfile.mkdtemp(prefix="examples-", dir=folder))

    def _read(self, folder: Path, sources: Sequence[Path], same: bool | None) -> Iterator[tuple[Any, ...]]:
        """Updates of the session's examples, their drawing, and the question about labels that look alike.

        What is wrong with the examples is drawn as well as raised: a raised message does not stay on the page.
        """
        examples: OwnExamples | None = None
        files: dict[str, Any] = {"folder": folder, "sources": tuple(sources), "same": same}
        no_question = gr.update(visible=False, value=None)
        try:
            data = read_data(sources, self.workshop.tuner().reads, max_rows=self.workshop.settings.tune_rows, same=same)
            examples = OwnExamples(
                **files,
                labels=data.labels,
                count=len(data.examples),
                held_out=_held_out(data),
                usable=_is_usable(data),
            )
            drawing, question = views.data_view(data), gr.update(visible=bool(data.alike), value=ANSWERS[same])
            if not (data.alike and same is None):  # in that case the visitor is asked first
                check(data)
        except DemoError as error:
            alert = views.alert(error)
            if examples is None:
                yield OwnExamples(**files), alert, no_question
            else:
                yield examples, drawing + alert, question
            raise
        yield examples, drawing, question


def _held_out(data: Data) -> int:
    """How many examples will be held out: a share of each class, at least one and never all."""
    share = Recipe().held_out
    return sum(min(max(1, round(share * count)), count - 1) for count in data.counts.values())


def _is_usable(data: Data) -> bool:
    """Whether a model can be trained on the data."""
    try:
        check(data)
    except InputError:
        return False
    return True
