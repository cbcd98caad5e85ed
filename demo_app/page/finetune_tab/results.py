"""What a click does in the panel of results: look at a trained checkpoint, ask it, use it, download or publish it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from demo_app import viz
from demo_app.api import Checkpoint
from demo_app.errors import DemoError
from demo_app.finetune.data import Example
from demo_app.i18n import say
from demo_app.inputs.uploads import add_upload, uploaded
from demo_app.page.choices import choose_own
from demo_app.page.finetune_tab import views
from demo_app.page.finetune_tab.fields import checked_text
from demo_app.page.finetune_tab.session import Trial, find_trial
from demo_app.page.finetune_tab.workshop import Workshop
from demo_app.page.visitors import uploaded_by, visitor
from demo_app.publishing import parcel

TOP = 5  # classes of an answer

Answers = tuple[dict[str, float], dict[str, float]]  # probabilities by class, of the model before and after


class ResultActions:
    """Looks at trials and uses them; one method for each event."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    @property
    def ask(self) -> Callable[..., Answers]:
        """The action that asks both models, with the inputs that the demo's tuner reads."""
        actions: dict[tuple[str, ...], Callable[..., Answers]]
        actions = {("text",): self.ask_text, ("image",): self.ask_picture, ("image", "text"): self.ask_pair}
        return actions[self.workshop.reads]

    def result(self, which: str | None, trials: tuple[Trial, ...]) -> tuple[Any, ...]:
        """How good one of the trainings is.

        Args:
            which: its number, from 1.
            trials: what the session tried.

        Returns:
            Precision, recall and F1 by class, and what was taken for what, as HTML; all numbers.
        """
        result = find_trial(which, trials).result
        return viz.side_by_side(views.scores_view(result), views.confusion_view(result)), result

    def ask_text(self, text: str | None, which: str | None, trials: tuple[Trial, ...], request: gr.Request) -> Answers:
        """Ask the checkpoint as it was and as it is now.

        Args:
            text: a text of your own.
            which: number of the training, from 1.
            trials: what the session tried.

        Returns:
            The likeliest classes of the one before, and of the one after.
        """
        return self._ask_both(find_trial(which, trials), Example(label="", text=checked_text(text)), request)

    def ask_picture(self, picture: Any, which: str | None, trials: tuple[Trial, ...], request: gr.Request) -> Answers:
        """Ask the checkpoint as it was and as it is now.

        Args:
            picture: a picture of your own.
            which: number of the training, from 1.
            trials: what the session tried.

        Returns:
            The likeliest classes of the one before, and of the one after.
        """
        trial = find_trial(which, trials)
        return self._ask_both(trial, self._example(picture, "", request), request)

    def ask_pair(
        self, picture: Any, text: str | None, which: str | None, trials: tuple[Trial, ...], request: gr.Request
    ) -> Answers:
        """Ask the checkpoint as it was and as it is now.

        Args:
            picture: a picture of your own.
            text: the text that belongs to it.
            which: number of the training, from 1.
            trials: what the session tried.

        Returns:
            The likeliest classes of the one before, and of the one after.
        """
        trial, written = find_trial(which, trials), checked_text(text)
        return self._ask_both(trial, self._example(picture, written, request), request)

    def _example(self, picture: Any, text: str, request: gr.Request) -> Example:
        """An example of an uploaded picture, which is deleted with the session. Raises `InputError`."""
        path = uploaded(picture)
        if uploaded_by(request, path):
            self.workshop.trainings.remember(visitor(request), path)
        return Example(label="", text=text, picture=path.read_bytes, name=path.name)

    def _ask_both(self, trial: Trial, example: Example, request: gr.Request) -> Answers:
        return self._answer(trial.base, example), self._answer(self._own(trial, request).name, example)

    def _answer(self, name: str, example: Example) -> dict[str, float]:
        """The likeliest classes of a checkpoint, likeliest first; none for an encoder without classes."""
        tuner = self.workshop.tuner()
        _, folder = self.workshop.base(name)
        labels = tuner.labels(folder)
        if not labels:
            return {}
        with self.workshop.handle.use(name) as model:
            probabilities = tuner.predict(model, [example])[0].tolist()
        best = sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1])[:TOP]
        return {label: float(probability) for label, probability in best}

    def _own(self, trial: Trial, request: gr.Request) -> Checkpoint:
        """The trained checkpoint as one of the visitor's own; it is added if it is not one yet."""
        owner, models, demo = visitor(request), self.workshop.models, self.workshop.demo
        for checkpoint in models.own(demo, owner):
            if checkpoint.folder == trial.folder.resolve():
                return checkpoint
        return models.add_own(demo, trial.folder, title=say("Fine-tuned {name}", name=trial.title), visitor=owner)

    def use(self, which: str | None, trials: tuple[Trial, ...], request: gr.Request) -> tuple[Any, str]:
        """Choose the trained checkpoint in the tab's picker.

        Args:
            which: number of the training, from 1.
            trials: what the session tried.

        Returns:
            The picker's choices and, as its value, the name by which other actions know the checkpoint; a line for the
            page.
        """
        own = self._own(find_trial(which, trials), request)
        line = say("{title} is chosen in the picker at the top of this tab.", title=own.title)
        return choose_own(self.workshop.handle, own), viz.note(line)

    def zip(self, which: str | None, trials: tuple[Trial, ...], request: gr.Request) -> str:
        """The trained checkpoint with its model card, as a ZIP.

        Args:
            which: number of the training, from 1.
            trials: what the session tried.

        Returns:
            The file.
        """
        trial, trainings = find_trial(which, trials), self.workshop.trainings
        name = f"{self.workshop.demo.name}-{trial.number}-{trial.result['strategy']}.zip"
        target = trainings.folder(visitor(request)) / name
        try:
            served = add_upload(parcel.zipped(trial.folder, self.workshop.demo, target))
        finally:
            target.unlink(missing_ok=True)
        trainings.remember(visitor(request), served)
        return str(served)

    def publish(
        self, name: str | None, token: str | None, private: bool, which: str | None, trials: tuple[Trial, ...]
    ) -> Iterator[tuple[str, Any]]:
        """Make a repository of the trained checkpoint on the Hugging Face Hub.

        Args:
            name: of the repository, USER/NAME; one that is there already is left alone.
            token: your access token, one that may write; it is used once and kept nowhere.
            private: whether only you can see it.
            which: number of the training, from 1.
            trials: what the session tried.

        Returns:
            Where it is, as HTML; an error says what to do.
        """
        yield viz.note("Publishing …"), ""  # empties the token's box first, on the page and in Gradio's session
        try:
            trial = find_trial(which, trials)
            done = parcel.publish(trial.folder, self.workshop.demo, name or "", token or "", private=bool(private))
        except DemoError as error:
            yield views.alert(error), ""
            raise
        address = viz.escape(done.url)
        link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>'
        yield f'<p class="viz viz-lesson">{viz.escape(say("It is on the Hub:"))} {link}</p>', ""
